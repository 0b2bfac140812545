-- The time that a leaf's entry or record names, in ms: from it follows how long the oldest waiting leaf has waited. Leaves
-- from before this column count as the oldest there are, until they are in the log.
ALTER TABLE ledger_outbox ADD COLUMN ts INTEGER NOT NULL DEFAULT 0;

-- Time of the epoch leaf of the newest published tree, in ms.
ALTER TABLE ledger_progress ADD COLUMN time INTEGER NOT NULL DEFAULT 0;

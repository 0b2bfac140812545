-- What makes a person's labels: the account log key k (docs/protocol.md section 4).
CREATE TABLE ledger_log_keys (
    person TEXT NOT NULL PRIMARY KEY,
    k BLOB NOT NULL CHECK (length(k) = 32)
) STRICT, WITHOUT ROWID;

-- Private entries with their openings; seq is a position of the server's one order.
CREATE TABLE ledger_entries (
    seq INTEGER NOT NULL PRIMARY KEY,
    person TEXT NOT NULL,
    week INTEGER NOT NULL,
    label BLOB NOT NULL CHECK (length(label) = 32),
    o1 BLOB NOT NULL CHECK (length(o1) = 32),
    o2 BLOB NOT NULL CHECK (length(o2) = 32),
    entry TEXT NOT NULL
) STRICT;

CREATE INDEX ledger_entries_of_person ON ledger_entries (person, seq);

-- Public records as canonical JSON {kind, partner, ts, document}.
CREATE TABLE ledger_records (
    seq INTEGER NOT NULL PRIMARY KEY,
    partner TEXT NOT NULL,
    kind TEXT NOT NULL,
    record TEXT NOT NULL
) STRICT;

CREATE INDEX ledger_records_of_partner ON ledger_records (partner, kind, seq);

-- Every leaf that is or will be in the log; leaf_index is null until the leaf is under a published checkpoint.
CREATE TABLE ledger_outbox (
    leaf_hash BLOB NOT NULL PRIMARY KEY CHECK (length(leaf_hash) = 32),
    position INTEGER NOT NULL,
    leaf BLOB NOT NULL,
    leaf_index INTEGER
) STRICT;

CREATE INDEX ledger_outbox_unsequenced ON ledger_outbox (position) WHERE leaf_index IS NULL;

-- Up to which size of the log leaf_index is known here. Smaller than the signed head: this database was restored.
CREATE TABLE ledger_progress (
    one INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    size INTEGER NOT NULL
) STRICT;

INSERT INTO ledger_progress (one, size) VALUES (1, 0);

-- The newest confirmation under each grant; seq is its ledger entry's.
CREATE TABLE inbox_disposals (
    grant_id TEXT PRIMARY KEY,
    hash TEXT NOT NULL,
    opened_before INTEGER NOT NULL,
    seq INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

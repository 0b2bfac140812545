-- The newest confirmation under each grant; seq is its ledger entry's.
CREATE TABLE inbox_disposals (
    grant_id TEXT COLLATE "C" PRIMARY KEY,
    hash TEXT NOT NULL,
    opened_before BIGINT NOT NULL,
    seq BIGINT NOT NULL
);

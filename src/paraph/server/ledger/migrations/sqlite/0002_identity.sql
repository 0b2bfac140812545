-- Whose leaves these are: the key of the log that this database belongs to (a signed-note vkey).
CREATE TABLE ledger_identity (
    one INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    vkey TEXT NOT NULL
) STRICT;

-- What makes a person's labels: the account log key k (docs/protocol.md section 4).
CREATE TABLE ledger_log_keys (
    person TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    k BYTEA NOT NULL CHECK (octet_length(k) = 32)
);

-- Private entries with their openings; seq is a position of the server's one order.
CREATE TABLE ledger_entries (
    seq BIGINT NOT NULL PRIMARY KEY,
    person TEXT COLLATE "C" NOT NULL,
    week BIGINT NOT NULL,
    label BYTEA NOT NULL CHECK (octet_length(label) = 32),
    o1 BYTEA NOT NULL CHECK (octet_length(o1) = 32),
    o2 BYTEA NOT NULL CHECK (octet_length(o2) = 32),
    entry TEXT NOT NULL
);

CREATE INDEX ledger_entries_of_person ON ledger_entries (person, seq);

-- Public records as canonical JSON {kind, partner, ts, document}.
CREATE TABLE ledger_records (
    seq BIGINT NOT NULL PRIMARY KEY,
    partner TEXT COLLATE "C" NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    record TEXT NOT NULL
);

CREATE INDEX ledger_records_of_partner ON ledger_records (partner, kind, seq);

-- Every leaf that is or will be in the log; leaf_index is null until the leaf is under a published checkpoint.
CREATE TABLE ledger_outbox (
    leaf_hash BYTEA NOT NULL PRIMARY KEY CHECK (octet_length(leaf_hash) = 32),
    position BIGINT NOT NULL,
    leaf BYTEA NOT NULL,
    leaf_index BIGINT
);

CREATE INDEX ledger_outbox_unsequenced ON ledger_outbox (position) WHERE leaf_index IS NULL;

-- Up to which size of the log leaf_index is known here. Smaller than the signed head: this database was restored.
CREATE TABLE ledger_progress (
    one BIGINT NOT NULL PRIMARY KEY CHECK (one = 1),
    size BIGINT NOT NULL
);

INSERT INTO ledger_progress (one, size) VALUES (1, 0);

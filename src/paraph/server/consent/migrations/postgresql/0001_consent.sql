CREATE TABLE consent_partners (
    slug TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    master_key TEXT NOT NULL,
    client_jwk TEXT NOT NULL
);

-- Signed documents are kept as canonical JSON; what is asked for often stands beside them.
CREATE TABLE consent_agreements (
    partner TEXT COLLATE "C" NOT NULL REFERENCES consent_partners (slug),
    version BIGINT NOT NULL,
    hash TEXT NOT NULL,
    document TEXT NOT NULL,
    ended BIGINT,
    PRIMARY KEY (partner, version)
);

CREATE TABLE consent_partner_devices (
    partner TEXT COLLATE "C" NOT NULL REFERENCES consent_partners (slug),
    device_id TEXT COLLATE "C" NOT NULL,
    hash TEXT NOT NULL,
    document TEXT NOT NULL,
    created BIGINT NOT NULL,
    expires BIGINT NOT NULL,
    ended BIGINT,
    PRIMARY KEY (partner, device_id)
);

-- seq is the ledger entry's.
CREATE TABLE consent_enrolments (
    person TEXT COLLATE "C" NOT NULL,
    device_id TEXT COLLATE "C" NOT NULL,
    hash TEXT NOT NULL,
    document TEXT NOT NULL,
    seq BIGINT NOT NULL,
    PRIMARY KEY (person, device_id)
);

-- A person's count of grant states. No row: she never had a grant.
CREATE TABLE consent_versions (
    person TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    version BIGINT NOT NULL
);

-- seq is the ledger entry's, and so also the grant's position in the server's one order; version is the person's
-- count right after it. The revocation is a document, ended an object {reason, ts}.
CREATE TABLE consent_grants (
    grant_id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    person TEXT COLLATE "C" NOT NULL,
    partner TEXT COLLATE "C" NOT NULL REFERENCES consent_partners (slug),
    agreement_version BIGINT NOT NULL,
    until BIGINT NOT NULL,
    hash TEXT NOT NULL,
    document TEXT NOT NULL,
    chain TEXT NOT NULL,
    seq BIGINT NOT NULL,
    version BIGINT NOT NULL,
    revocation TEXT,
    revocation_seq BIGINT,
    revocation_version BIGINT,
    ended TEXT
);

CREATE INDEX consent_grants_of_person ON consent_grants (person, partner, seq);
CREATE INDEX consent_grants_to_partner ON consent_grants (partner, until) WHERE revocation IS NULL AND ended IS NULL;

CREATE TABLE consent_amendments (
    grant_id TEXT COLLATE "C" NOT NULL REFERENCES consent_grants (grant_id),
    seq BIGINT NOT NULL,
    hash TEXT NOT NULL,
    document TEXT NOT NULL,
    chain TEXT NOT NULL,
    version BIGINT NOT NULL,
    PRIMARY KEY (grant_id, seq)
);

CREATE TABLE consent_key_shares (
    person TEXT COLLATE "C" NOT NULL,
    device_id TEXT COLLATE "C" NOT NULL,
    grant_id TEXT COLLATE "C" NOT NULL,
    txn_id TEXT COLLATE "C" NOT NULL,
    seqs TEXT NOT NULL,
    PRIMARY KEY (person, device_id, grant_id, txn_id)
);

-- What org.paraph.grant says last in a room for an author, so that it is written only when it changes.
CREATE TABLE consent_room_notices (
    room_id TEXT COLLATE "C" NOT NULL,
    person TEXT COLLATE "C" NOT NULL,
    content TEXT NOT NULL,
    PRIMARY KEY (person, room_id)
);

CREATE TABLE consent_tokens (
    token_hash BYTEA NOT NULL PRIMARY KEY CHECK (octet_length(token_hash) = 32),
    partner TEXT COLLATE "C" NOT NULL REFERENCES consent_partners (slug),
    expires BIGINT NOT NULL
);

CREATE INDEX consent_tokens_by_expiry ON consent_tokens (expires);

-- Assertions that were used, until they expire by themselves (RFC 7523 section 3).
CREATE TABLE consent_assertions (
    partner TEXT COLLATE "C" NOT NULL REFERENCES consent_partners (slug),
    jti TEXT COLLATE "C" NOT NULL,
    expires BIGINT NOT NULL,
    PRIMARY KEY (partner, jti)
);

CREATE INDEX consent_assertions_by_expiry ON consent_assertions (expires);

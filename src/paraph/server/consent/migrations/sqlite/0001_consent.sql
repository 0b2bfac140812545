CREATE TABLE consent_partners (
    slug TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    master_key TEXT NOT NULL,
    client_jwk TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Signed documents are kept as canonical JSON; what is asked for often stands beside them.
CREATE TABLE consent_agreements (
    partner TEXT NOT NULL REFERENCES consent_partners (slug),
    version INTEGER NOT NULL,
    hash TEXT NOT NULL,
    document TEXT NOT NULL,
    ended INTEGER,
    PRIMARY KEY (partner, version)
) STRICT;

CREATE TABLE consent_partner_devices (
    partner TEXT NOT NULL REFERENCES consent_partners (slug),
    device_id TEXT NOT NULL,
    hash TEXT NOT NULL,
    document TEXT NOT NULL,
    created INTEGER NOT NULL,
    expires INTEGER NOT NULL,
    ended INTEGER,
    PRIMARY KEY (partner, device_id)
) STRICT;

-- seq is the ledger entry's.
CREATE TABLE consent_enrolments (
    person TEXT NOT NULL,
    device_id TEXT NOT NULL,
    hash TEXT NOT NULL,
    document TEXT NOT NULL,
    seq INTEGER NOT NULL,
    PRIMARY KEY (person, device_id)
) STRICT;

-- A person's count of grant states. No row: she never had a grant.
CREATE TABLE consent_versions (
    person TEXT NOT NULL PRIMARY KEY,
    version INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- seq is the ledger entry's, and so also the grant's position in the server's one order; version is the person's
-- count right after it. The revocation is a document, ended an object {reason, ts}.
CREATE TABLE consent_grants (
    grant_id TEXT NOT NULL PRIMARY KEY,
    person TEXT NOT NULL,
    partner TEXT NOT NULL REFERENCES consent_partners (slug),
    agreement_version INTEGER NOT NULL,
    until INTEGER NOT NULL,
    hash TEXT NOT NULL,
    document TEXT NOT NULL,
    chain TEXT NOT NULL,
    seq INTEGER NOT NULL,
    version INTEGER NOT NULL,
    revocation TEXT,
    revocation_seq INTEGER,
    revocation_version INTEGER,
    ended TEXT
) STRICT;

CREATE INDEX consent_grants_of_person ON consent_grants (person, partner, seq);
CREATE INDEX consent_grants_to_partner ON consent_grants (partner, until) WHERE revocation IS NULL AND ended IS NULL;

CREATE TABLE consent_amendments (
    grant_id TEXT NOT NULL REFERENCES consent_grants (grant_id),
    seq INTEGER NOT NULL,
    hash TEXT NOT NULL,
    document TEXT NOT NULL,
    chain TEXT NOT NULL,
    version INTEGER NOT NULL,
    PRIMARY KEY (grant_id, seq)
) STRICT;

CREATE TABLE consent_key_shares (
    person TEXT NOT NULL,
    device_id TEXT NOT NULL,
    grant_id TEXT NOT NULL,
    txn_id TEXT NOT NULL,
    seqs TEXT NOT NULL,
    PRIMARY KEY (person, device_id, grant_id, txn_id)
) STRICT, WITHOUT ROWID;

-- What org.paraph.grant says last in a room for an author, so that it is written only when it changes.
CREATE TABLE consent_room_notices (
    room_id TEXT NOT NULL,
    person TEXT NOT NULL,
    content TEXT NOT NULL,
    PRIMARY KEY (person, room_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE consent_tokens (
    token_hash BLOB NOT NULL PRIMARY KEY CHECK (length(token_hash) = 32),
    partner TEXT NOT NULL REFERENCES consent_partners (slug),
    expires INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX consent_tokens_by_expiry ON consent_tokens (expires);

-- Assertions that were used, until they expire by themselves (RFC 7523 section 3).
CREATE TABLE consent_assertions (
    partner TEXT NOT NULL REFERENCES consent_partners (slug),
    jti TEXT NOT NULL,
    expires INTEGER NOT NULL,
    PRIMARY KEY (partner, jti)
) STRICT, WITHOUT ROWID;

CREATE INDEX consent_assertions_by_expiry ON consent_assertions (expires);

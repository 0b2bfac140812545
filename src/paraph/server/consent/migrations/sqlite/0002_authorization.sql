-- Tokens are bound to a key now (RFC 9449). The old ones would have lived for five minutes more.
DROP TABLE consent_tokens;

-- kind: access or refresh. No grant_id: the partner as a whole. consent_id: the request that a code answered.
CREATE TABLE consent_tokens (
    token_hash BLOB NOT NULL PRIMARY KEY CHECK (length(token_hash) = 32),
    kind TEXT NOT NULL,
    partner TEXT NOT NULL REFERENCES consent_partners (slug),
    grant_id TEXT REFERENCES consent_grants (grant_id),
    consent_id TEXT,
    jkt TEXT NOT NULL,
    issued INTEGER NOT NULL,
    expires INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX consent_tokens_by_expiry ON consent_tokens (expires);
CREATE INDEX consent_tokens_of_consent ON consent_tokens (consent_id) WHERE consent_id IS NOT NULL;

-- What processes must agree upon, such as the key behind DPoP nonces. Made at the first start.
CREATE TABLE consent_secrets (
    name TEXT NOT NULL PRIMARY KEY,
    value BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- DPoP proofs that were used, where several processes take them. Until they are too old anyway.
CREATE TABLE consent_proofs (
    proof_hash BLOB NOT NULL PRIMARY KEY CHECK (length(proof_hash) = 32),
    expires INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX consent_proofs_by_expiry ON consent_proofs (expires);

CREATE TABLE consent_redirect_uris (
    partner TEXT NOT NULL REFERENCES consent_partners (slug),
    uri TEXT NOT NULL,
    PRIMARY KEY (partner, uri)
) STRICT, WITHOUT ROWID;

-- Pushed authorization requests (RFC 9126) and what became of them. status: pushed, open, granted, declined.
-- person: who answers it, the first who opened it. redeemed: when its code was used.
CREATE TABLE consent_requests (
    id TEXT NOT NULL PRIMARY KEY,
    partner TEXT NOT NULL REFERENCES consent_partners (slug),
    redirect_uri TEXT NOT NULL,
    state TEXT,
    code_challenge TEXT NOT NULL,
    jkt TEXT NOT NULL,
    details TEXT NOT NULL,
    expires INTEGER NOT NULL,
    status TEXT NOT NULL,
    person TEXT,
    grant_id TEXT REFERENCES consent_grants (grant_id),
    code_hash BLOB,
    code_expires INTEGER,
    redeemed INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX consent_requests_by_expiry ON consent_requests (expires);
CREATE UNIQUE INDEX consent_requests_by_code ON consent_requests (code_hash) WHERE code_hash IS NOT NULL;

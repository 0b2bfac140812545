-- Tokens are bound to a key now (RFC 9449). The old ones would have lived for five minutes more.
DROP TABLE consent_tokens;

-- kind: access or refresh. No grant_id: the partner as a whole. consent_id: the request that a code answered.
CREATE TABLE consent_tokens (
    token_hash BYTEA NOT NULL PRIMARY KEY CHECK (octet_length(token_hash) = 32),
    kind TEXT NOT NULL,
    partner TEXT COLLATE "C" NOT NULL REFERENCES consent_partners (slug),
    grant_id TEXT COLLATE "C" REFERENCES consent_grants (grant_id),
    consent_id TEXT COLLATE "C",
    jkt TEXT NOT NULL,
    issued BIGINT NOT NULL,
    expires BIGINT NOT NULL
);

CREATE INDEX consent_tokens_by_expiry ON consent_tokens (expires);
CREATE INDEX consent_tokens_of_consent ON consent_tokens (consent_id) WHERE consent_id IS NOT NULL;

-- What processes must agree upon, such as the key behind DPoP nonces. Made at the first start.
CREATE TABLE consent_secrets (
    name TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    value BYTEA NOT NULL
);

-- DPoP proofs that were used, where several processes take them. Until they are too old anyway.
CREATE TABLE consent_proofs (
    proof_hash BYTEA NOT NULL PRIMARY KEY CHECK (octet_length(proof_hash) = 32),
    expires BIGINT NOT NULL
);

CREATE INDEX consent_proofs_by_expiry ON consent_proofs (expires);

CREATE TABLE consent_redirect_uris (
    partner TEXT COLLATE "C" NOT NULL REFERENCES consent_partners (slug),
    uri TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (partner, uri)
);

-- Pushed authorization requests (RFC 9126) and what became of them. status: pushed, open, granted, declined.
-- person: who answers it, the first who opened it. redeemed: when its code was used.
CREATE TABLE consent_requests (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    partner TEXT COLLATE "C" NOT NULL REFERENCES consent_partners (slug),
    redirect_uri TEXT NOT NULL,
    state TEXT,
    code_challenge TEXT NOT NULL,
    jkt TEXT NOT NULL,
    details TEXT NOT NULL,
    expires BIGINT NOT NULL,
    status TEXT NOT NULL,
    person TEXT COLLATE "C",
    grant_id TEXT COLLATE "C" REFERENCES consent_grants (grant_id),
    code_hash BYTEA,
    code_expires BIGINT,
    redeemed BIGINT
);

CREATE INDEX consent_requests_by_expiry ON consent_requests (expires);
CREATE UNIQUE INDEX consent_requests_by_code ON consent_requests (code_hash) WHERE code_hash IS NOT NULL;

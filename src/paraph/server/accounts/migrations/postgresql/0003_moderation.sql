-- What the operator did to an account: a suspended one reads and leaves, a locked one does nothing. And whether whoever
-- ended her account asked for her words to be erased too.
ALTER TABLE accounts ADD COLUMN suspended BIGINT NOT NULL DEFAULT 0;
ALTER TABLE accounts ADD COLUMN locked BIGINT NOT NULL DEFAULT 0;
ALTER TABLE accounts ADD COLUMN erase BIGINT NOT NULL DEFAULT 0;

-- Tokens that live for minutes: `login` begins one session, `openid` tells a third party who its bearer is.
CREATE TABLE accounts_short_tokens (
    token_hash BYTEA NOT NULL PRIMARY KEY CHECK (octet_length(token_hash) = 32),
    purpose TEXT COLLATE "C" NOT NULL,
    user_id TEXT COLLATE "C" NOT NULL,
    expires BIGINT NOT NULL
);
CREATE INDEX accounts_short_tokens_of ON accounts_short_tokens (user_id, purpose, expires);
CREATE INDEX accounts_short_tokens_by_expiry ON accounts_short_tokens (expires);

-- Stages of interactive authentication that were passed on a fallback page, until the request that asked for them.
CREATE TABLE accounts_passed_stages (
    session_hash BYTEA NOT NULL PRIMARY KEY CHECK (octet_length(session_hash) = 32),
    stage TEXT COLLATE "C" NOT NULL,
    user_id TEXT COLLATE "C",    -- whose password it was
    password_number BIGINT,      -- and which of her passwords
    invitation_hash BYTEA CHECK (octet_length(invitation_hash) = 32),  -- the registration token
    expires BIGINT NOT NULL
);
CREATE INDEX accounts_passed_stages_by_expiry ON accounts_passed_stages (expires);

-- What the operator did to an account: a suspended one reads and leaves, a locked one does nothing. And whether whoever
-- ended her account asked for her words to be erased too.
ALTER TABLE accounts ADD COLUMN suspended INTEGER NOT NULL DEFAULT 0;
ALTER TABLE accounts ADD COLUMN locked INTEGER NOT NULL DEFAULT 0;
ALTER TABLE accounts ADD COLUMN erase INTEGER NOT NULL DEFAULT 0;

-- Tokens that live for minutes: `login` begins one session, `openid` tells a third party who its bearer is.
CREATE TABLE accounts_short_tokens (
    token_hash BLOB NOT NULL PRIMARY KEY CHECK (length(token_hash) = 32),
    purpose TEXT NOT NULL,
    user_id TEXT NOT NULL,
    expires INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX accounts_short_tokens_of ON accounts_short_tokens (user_id, purpose, expires);
CREATE INDEX accounts_short_tokens_by_expiry ON accounts_short_tokens (expires);

-- Stages of interactive authentication that were passed on a fallback page, until the request that asked for them.
CREATE TABLE accounts_passed_stages (
    session_hash BLOB NOT NULL PRIMARY KEY CHECK (length(session_hash) = 32),
    stage TEXT NOT NULL,
    user_id TEXT,                -- whose password it was
    password_number INTEGER,         -- and which of her passwords
    invitation_hash BLOB CHECK (length(invitation_hash) = 32),  -- the registration token
    expires INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX accounts_passed_stages_by_expiry ON accounts_passed_stages (expires);

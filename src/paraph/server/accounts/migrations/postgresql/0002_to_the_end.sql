-- When an account was deactivated. Its row stays, with an empty password hash, so that nobody ever takes the name again.
ALTER TABLE accounts ADD COLUMN deactivated BIGINT;

-- Counts the passwords an account has had: a login that checked an earlier one begins no session.
ALTER TABLE accounts ADD COLUMN password_number BIGINT NOT NULL DEFAULT 1;

-- For clients that refresh their tokens: when the access token ends (NULL: with the session), and the SHA-256 of the
-- refresh token that gives the next one.
ALTER TABLE accounts_sessions ADD COLUMN expires BIGINT;
ALTER TABLE accounts_sessions ADD COLUMN refresh_hash BYTEA CHECK (octet_length(refresh_hash) = 32);
CREATE UNIQUE INDEX accounts_sessions_by_refresh_hash ON accounts_sessions (refresh_hash)
WHERE refresh_hash IS NOT NULL;

-- Pairs of tokens that a refresh gave out and nobody has used yet. The first one used becomes the session's own; the
-- others, and the pair before them, are dead from then on.
CREATE TABLE accounts_offers (
    user_id TEXT COLLATE "C" NOT NULL,
    device_id TEXT COLLATE "C" NOT NULL,
    number BIGINT NOT NULL,
    token_hash BYTEA NOT NULL UNIQUE CHECK (octet_length(token_hash) = 32),
    refresh_hash BYTEA NOT NULL UNIQUE CHECK (octet_length(refresh_hash) = 32),
    expires BIGINT NOT NULL,
    PRIMARY KEY (user_id, device_id, number),
    FOREIGN KEY (user_id, device_id) REFERENCES accounts_sessions (user_id, device_id) ON DELETE CASCADE
);

-- By what name the operator knows a registration token, how often it was used, and until when it is good (NULL: for
-- ever). The id of an old one is the beginning of its hash.
ALTER TABLE accounts_registration_tokens ADD COLUMN id TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE accounts_registration_tokens ADD COLUMN used BIGINT NOT NULL DEFAULT 0;
ALTER TABLE accounts_registration_tokens ADD COLUMN expires BIGINT;
UPDATE accounts_registration_tokens SET id = encode(substr(token_hash, 1, 6), 'hex');
CREATE UNIQUE INDEX accounts_registration_tokens_by_id ON accounts_registration_tokens (id);

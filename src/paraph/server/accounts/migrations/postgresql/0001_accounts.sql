-- People. The password is kept as an argon2id hash in its PHC text form.
CREATE TABLE accounts (
    user_id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    password_hash TEXT NOT NULL,
    created BIGINT NOT NULL
);

-- One live access token per device, known by its SHA-256 only.
CREATE TABLE accounts_sessions (
    token_hash BYTEA NOT NULL PRIMARY KEY CHECK (octet_length(token_hash) = 32),
    user_id TEXT COLLATE "C" NOT NULL REFERENCES accounts (user_id),
    device_id TEXT COLLATE "C" NOT NULL,
    created BIGINT NOT NULL,
    last_seen BIGINT NOT NULL,
    UNIQUE (user_id, device_id)
);

-- What lets people in where registration = token, known by its SHA-256 only.
CREATE TABLE accounts_registration_tokens (
    token_hash BYTEA NOT NULL PRIMARY KEY CHECK (octet_length(token_hash) = 32),
    uses_left BIGINT NOT NULL CHECK (uses_left >= 0),
    created BIGINT NOT NULL
);

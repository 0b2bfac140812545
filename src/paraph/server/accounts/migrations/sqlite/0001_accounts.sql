-- People. The password is kept as an argon2id hash in its PHC text form.
CREATE TABLE accounts (
    user_id TEXT NOT NULL PRIMARY KEY,
    password_hash TEXT NOT NULL,
    created INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- One live access token per device, known by its SHA-256 only.
CREATE TABLE accounts_sessions (
    token_hash BLOB NOT NULL PRIMARY KEY CHECK (length(token_hash) = 32),
    user_id TEXT NOT NULL REFERENCES accounts (user_id),
    device_id TEXT NOT NULL,
    created INTEGER NOT NULL,
    last_seen INTEGER NOT NULL,
    UNIQUE (user_id, device_id)
) STRICT, WITHOUT ROWID;

-- What lets people in where registration = token, known by its SHA-256 only.
CREATE TABLE accounts_registration_tokens (
    token_hash BLOB NOT NULL PRIMARY KEY CHECK (length(token_hash) = 32),
    uses_left INTEGER NOT NULL CHECK (uses_left >= 0),
    created INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

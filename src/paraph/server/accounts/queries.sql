-- name: add_account!
INSERT INTO accounts (user_id, password_hash, created) VALUES (:user_id, :password_hash, :created)
ON CONFLICT (user_id) DO NOTHING;

-- name: password_hash
SELECT password_hash FROM accounts WHERE user_id = :user_id;

-- name: set_password_hash!
UPDATE accounts SET password_hash = :password_hash WHERE user_id = :user_id;

-- name: account_exists
SELECT 1 FROM accounts WHERE user_id = :user_id;

-- name: accounts_after
SELECT user_id, created FROM accounts WHERE user_id > :after ORDER BY user_id LIMIT :limit;

-- name: add_session!
INSERT INTO accounts_sessions (token_hash, user_id, device_id, created, last_seen)
VALUES (:token_hash, :user_id, :device_id, :now, :now);

-- name: session
SELECT user_id, device_id, last_seen FROM accounts_sessions WHERE token_hash = :token_hash;

-- name: take_session<!
DELETE FROM accounts_sessions WHERE user_id = :user_id AND device_id = :device_id RETURNING token_hash;

-- name: session_devices
SELECT device_id FROM accounts_sessions WHERE user_id = :user_id ORDER BY device_id;

-- name: set_last_seen!
UPDATE accounts_sessions SET last_seen = :now WHERE token_hash = :token_hash AND last_seen < :now;

-- name: last_seen
SELECT device_id, last_seen FROM accounts_sessions WHERE user_id = :user_id;

-- name: add_registration_token!
INSERT INTO accounts_registration_tokens (token_hash, uses_left, created) VALUES (:token_hash, :uses, :created);

-- name: registration_token_is_valid
SELECT 1 FROM accounts_registration_tokens WHERE token_hash = :token_hash AND uses_left > 0;

-- name: use_registration_token!
UPDATE accounts_registration_tokens SET uses_left = uses_left - 1 WHERE token_hash = :token_hash AND uses_left > 0;

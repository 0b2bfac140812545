-- name: add_account!
INSERT INTO accounts (user_id, password_hash, created) VALUES (:user_id, :password_hash, :created)
ON CONFLICT (user_id) DO NOTHING;

-- name: password
SELECT password_hash, password_number FROM accounts WHERE user_id = :user_id AND deactivated IS NULL;

-- name: set_password!
UPDATE accounts SET password_hash = :password_hash, password_number = password_number + 1
WHERE user_id = :user_id AND deactivated IS NULL;

-- name: rehash_password!
UPDATE accounts SET password_hash = :password_hash WHERE user_id = :user_id AND deactivated IS NULL;

-- name: deactivate!
UPDATE accounts SET password_hash = '', password_number = password_number + 1, deactivated = :now
WHERE user_id = :user_id AND deactivated IS NULL;

-- name: account
SELECT user_id, created, deactivated FROM accounts WHERE user_id = :user_id;

-- name: accounts_after
SELECT user_id, created, deactivated FROM accounts WHERE user_id > :after ORDER BY user_id LIMIT :limit;

-- name: add_session!
INSERT INTO accounts_sessions (token_hash, user_id, device_id, created, last_seen, expires, refresh_hash)
VALUES (:token_hash, :user_id, :device_id, :now, :now, :expires, :refresh_hash);

-- name: session
SELECT user_id, device_id, last_seen, expires FROM accounts_sessions WHERE token_hash = :token_hash;

-- name: session_to_refresh
SELECT user_id, device_id FROM accounts_sessions WHERE refresh_hash = :refresh_hash;

-- name: session_token
SELECT token_hash FROM accounts_sessions WHERE user_id = :user_id AND device_id = :device_id;

-- name: take_session<!
DELETE FROM accounts_sessions WHERE user_id = :user_id AND device_id = :device_id RETURNING token_hash;

-- name: renew_session!
UPDATE accounts_sessions SET token_hash = :token_hash, refresh_hash = :refresh_hash, expires = :expires
WHERE user_id = :user_id AND device_id = :device_id;

-- name: session_devices
SELECT device_id FROM accounts_sessions WHERE user_id = :user_id ORDER BY device_id;

-- name: count_sessions
SELECT COUNT(*) FROM accounts_sessions WHERE user_id = :user_id;

-- name: set_last_seen!
UPDATE accounts_sessions SET last_seen = :now WHERE token_hash = :token_hash AND last_seen < :now;

-- name: last_seen
SELECT device_id, last_seen FROM accounts_sessions WHERE user_id = :user_id;

-- name: newest_offer
SELECT COALESCE(MAX(number), 0) FROM accounts_offers WHERE user_id = :user_id AND device_id = :device_id;

-- name: add_offer!
INSERT INTO accounts_offers (user_id, device_id, number, token_hash, refresh_hash, expires)
VALUES (:user_id, :device_id, :number, :token_hash, :refresh_hash, :expires);

-- name: offer_by_token
SELECT user_id, device_id, token_hash, refresh_hash, expires FROM accounts_offers WHERE token_hash = :token_hash;

-- name: offer_by_refresh
SELECT user_id, device_id, token_hash, refresh_hash, expires FROM accounts_offers WHERE refresh_hash = :refresh_hash;

-- name: drop_offers!
DELETE FROM accounts_offers WHERE user_id = :user_id AND device_id = :device_id AND number <= :upto;

-- name: add_registration_token!
INSERT INTO accounts_registration_tokens (token_hash, id, uses_left, created, expires)
VALUES (:token_hash, :id, :uses, :created, :expires);

-- name: registration_token_is_valid
SELECT 1 FROM accounts_registration_tokens
WHERE token_hash = :token_hash AND uses_left > 0 AND (expires IS NULL OR expires > :now);

-- name: use_registration_token!
UPDATE accounts_registration_tokens SET uses_left = uses_left - 1, used = used + 1
WHERE token_hash = :token_hash AND uses_left > 0 AND (expires IS NULL OR expires > :now);

-- name: registration_tokens_after
SELECT id, uses_left, used, created, expires FROM accounts_registration_tokens
WHERE id > :after ORDER BY id LIMIT :limit;

-- name: drop_registration_token!
DELETE FROM accounts_registration_tokens WHERE id = :id;

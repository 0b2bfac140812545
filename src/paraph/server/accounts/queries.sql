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
UPDATE accounts SET password_hash = '', password_number = password_number + 1, deactivated = :now, erase = :erase
WHERE user_id = :user_id AND deactivated IS NULL;

-- name: account
SELECT user_id, created, deactivated, suspended, locked FROM accounts WHERE user_id = :user_id;

-- name: accounts_after
SELECT user_id, created, deactivated, suspended, locked FROM accounts WHERE user_id > :after ORDER BY user_id LIMIT :limit;

-- name: add_session!
INSERT INTO accounts_sessions (token_hash, user_id, device_id, created, last_seen, expires, refresh_hash)
VALUES (:token_hash, :user_id, :device_id, :now, :now, :expires, :refresh_hash);

-- name: session
SELECT s.user_id, s.device_id, s.last_seen, s.expires, a.suspended, a.locked
FROM accounts_sessions AS s JOIN accounts AS a ON a.user_id = s.user_id WHERE s.token_hash = :token_hash;

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

-- name: add_short_token!
INSERT INTO accounts_short_tokens (token_hash, purpose, user_id, expires)
VALUES (:token_hash, :purpose, :user_id, :expires);

-- name: short_token
SELECT user_id FROM accounts_short_tokens WHERE token_hash = :token_hash AND purpose = :purpose AND expires > :now;

-- name: take_short_token<!
DELETE FROM accounts_short_tokens WHERE token_hash = :token_hash AND purpose = :purpose RETURNING user_id, expires;

-- name: drop_older_short_tokens!
DELETE FROM accounts_short_tokens WHERE user_id = :user_id AND purpose = :purpose AND expires < (
    SELECT expires FROM accounts_short_tokens WHERE user_id = :user_id AND purpose = :purpose
    ORDER BY expires DESC LIMIT 1 OFFSET :keep
);

-- name: drop_short_tokens!
DELETE FROM accounts_short_tokens WHERE user_id = :user_id;

-- name: drop_expired_short_tokens!
DELETE FROM accounts_short_tokens WHERE expires <= :now;

-- name: add_passed_stage!
INSERT INTO accounts_passed_stages (session_hash, stage, user_id, password_number, invitation_hash, expires)
VALUES (:session_hash, :stage, :user_id, :password_number, :invitation_hash, :expires)
ON CONFLICT (session_hash) DO UPDATE SET stage = excluded.stage, user_id = excluded.user_id,
    password_number = excluded.password_number, invitation_hash = excluded.invitation_hash, expires = excluded.expires;

-- name: take_passed_stage<!
DELETE FROM accounts_passed_stages WHERE session_hash = :session_hash
RETURNING stage, user_id, password_number, invitation_hash, expires;

-- name: passed_stage
SELECT 1 FROM accounts_passed_stages WHERE session_hash = :session_hash AND expires > :now;

-- name: drop_expired_stages!
DELETE FROM accounts_passed_stages WHERE expires <= :now;

-- name: standing
SELECT suspended, locked FROM accounts WHERE user_id = :user_id AND deactivated IS NULL;

-- name: set_suspended!
UPDATE accounts SET suspended = :value WHERE user_id = :user_id AND deactivated IS NULL;

-- name: set_locked!
UPDATE accounts SET locked = :value WHERE user_id = :user_id AND deactivated IS NULL;

-- name: live_tokens
SELECT token_hash FROM accounts_sessions WHERE user_id = :user_id;

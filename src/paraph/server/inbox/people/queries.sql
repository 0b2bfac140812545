-- name: add_listed!
INSERT INTO people_listed (user_id) VALUES (:user_id) ON CONFLICT (user_id) DO NOTHING;

-- name: remove_listed!
DELETE FROM people_listed WHERE user_id = :user_id;

-- name: listed
SELECT 1 FROM people_listed WHERE user_id = :user_id;

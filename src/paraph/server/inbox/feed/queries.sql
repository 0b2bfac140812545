-- name: add_feed!
INSERT INTO feed_rows (partner, position, grant_id, kind, person, room_id, about)
VALUES (:partner, :position, :grant_id, :kind, :person, :room_id, :about);

-- name: feed
SELECT position, grant_id, kind, person, room_id, about FROM feed_rows
WHERE partner = :partner AND position > :after AND position <= :upto ORDER BY position, grant_id LIMIT :limit;

-- name: feed_of_grant
SELECT position, grant_id, kind, person, room_id, about FROM feed_rows
WHERE grant_id = :grant_id AND partner = :partner AND position > :after AND position <= :upto
ORDER BY position LIMIT :limit;

-- name: newest_feed
SELECT position FROM feed_rows WHERE partner = :partner ORDER BY position DESC LIMIT 1;

-- name: feed_row
SELECT position, grant_id, kind, person, room_id, about FROM feed_rows
WHERE partner = :partner AND position = :position AND grant_id = :grant_id;

-- name: put_running!
INSERT INTO feed_running (grant_id, partner, person, until) VALUES (:grant_id, :partner, :person, :until)
ON CONFLICT (grant_id) DO UPDATE SET until = excluded.until;

-- name: drop_running!
DELETE FROM feed_running WHERE grant_id = :grant_id;

-- name: run_out
SELECT grant_id, person FROM feed_running WHERE partner = :partner AND until <= :at ORDER BY until LIMIT :limit;

-- name: next_to_run_out
SELECT until FROM feed_running WHERE partner = :partner ORDER BY until LIMIT 1;

-- name: add_secret!
INSERT INTO feed_secrets (name, value) VALUES (:name, :value) ON CONFLICT (name) DO NOTHING;

-- name: secret
SELECT value FROM feed_secrets WHERE name = :name;

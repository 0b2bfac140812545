-- name: fields
SELECT name, value FROM profile_fields WHERE user_id = :user_id ORDER BY name;

-- name: put_field!
INSERT INTO profile_fields (user_id, name, value) VALUES (:user_id, :name, :value)
ON CONFLICT (user_id, name) DO UPDATE SET value = excluded.value;

-- name: drop_field!
DELETE FROM profile_fields WHERE user_id = :user_id AND name = :name;

-- name: forget_fields!
DELETE FROM profile_fields WHERE user_id = :user_id;

-- name: forget_profile!
DELETE FROM profiles WHERE user_id = :user_id;

-- name: named
SELECT user_id FROM profiles WHERE folded >= :low AND folded < :high ORDER BY folded LIMIT :limit;

-- name: called
SELECT DISTINCT user_id FROM memberships WHERE user_id >= :low AND user_id < :high ORDER BY user_id LIMIT :limit;

-- name: entries_to
SELECT
    (SELECT json FROM events AS rules WHERE rules.room_id = memberships.room_id AND rules.type = 'm.room.join_rules'
        AND rules.state_key = '' ORDER BY rules.position DESC LIMIT 1),
    (SELECT json FROM events AS seen WHERE seen.room_id = memberships.room_id
        AND seen.type = 'm.room.history_visibility' AND seen.state_key = '' ORDER BY seen.position DESC LIMIT 1)
FROM memberships WHERE memberships.user_id = :user_id AND memberships.membership = 'join' LIMIT :limit;

-- name: mutual_rooms
SELECT mine.room_id FROM memberships AS mine
JOIN memberships AS theirs ON theirs.user_id = :other AND theirs.room_id = mine.room_id AND theirs.membership = 'join'
WHERE mine.user_id = :user_id AND mine.membership = 'join' AND mine.room_id > :after ORDER BY mine.room_id LIMIT :limit;

-- name: count_mutual_rooms
SELECT COUNT(*) FROM memberships AS mine
JOIN memberships AS theirs ON theirs.user_id = :other AND theirs.room_id = mine.room_id AND theirs.membership = 'join'
WHERE mine.user_id = :user_id AND mine.membership = 'join';

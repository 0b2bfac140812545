-- name: newest_number
SELECT COALESCE(MAX(version), 0) FROM backup_versions WHERE user_id = :user_id;

-- name: count_versions
SELECT COUNT(*) FROM backup_versions WHERE user_id = :user_id AND deleted = 0;

-- name: add_version!
INSERT INTO backup_versions (user_id, version, algorithm, auth_data)
VALUES (:user_id, :version, :algorithm, :auth_data);

-- name: current
SELECT version, algorithm, auth_data, keys, changes, size FROM backup_versions
WHERE user_id = :user_id AND deleted = 0 ORDER BY version DESC LIMIT 1;

-- name: version
SELECT version, algorithm, auth_data, keys, changes, size FROM backup_versions
WHERE user_id = :user_id AND version = :version AND deleted = 0;

-- name: was_version
SELECT 1 FROM backup_versions WHERE user_id = :user_id AND version = :version;

-- name: set_auth_data!
UPDATE backup_versions SET auth_data = :auth_data WHERE user_id = :user_id AND version = :version;

-- name: delete_version!
UPDATE backup_versions SET deleted = 1, auth_data = '', keys = 0, size = 0
WHERE user_id = :user_id AND version = :version;

-- name: count_changes!
UPDATE backup_versions SET keys = keys + :keys, size = size + :size, changes = changes + 1
WHERE user_id = :user_id AND version = :version;

-- name: key
SELECT room_id, session_id, first_message_index, forwarded_count, is_verified, session_data FROM backup_keys
WHERE user_id = :user_id AND version = :version AND room_id = :room_id AND session_id = :session_id;

-- name: keys_of_room
SELECT room_id, session_id, first_message_index, forwarded_count, is_verified, session_data FROM backup_keys
WHERE user_id = :user_id AND version = :version AND room_id = :room_id ORDER BY session_id;

-- name: keys_of_version
SELECT room_id, session_id, first_message_index, forwarded_count, is_verified, session_data FROM backup_keys
WHERE user_id = :user_id AND version = :version ORDER BY room_id, session_id;

-- name: extent_of_key
SELECT COUNT(*), COALESCE(SUM(LENGTH(session_data)), 0) FROM backup_keys
WHERE user_id = :user_id AND version = :version AND room_id = :room_id AND session_id = :session_id;

-- name: extent_of_room
SELECT COUNT(*), COALESCE(SUM(LENGTH(session_data)), 0) FROM backup_keys
WHERE user_id = :user_id AND version = :version AND room_id = :room_id;

-- name: extent_of_version
SELECT COUNT(*), COALESCE(SUM(LENGTH(session_data)), 0) FROM backup_keys
WHERE user_id = :user_id AND version = :version;

-- name: put_key!
INSERT INTO backup_keys (user_id, version, room_id, session_id, first_message_index, forwarded_count, is_verified,
    session_data)
VALUES (:user_id, :version, :room_id, :session_id, :first_message_index, :forwarded_count, :is_verified, :session_data)
ON CONFLICT (user_id, version, room_id, session_id) DO UPDATE SET
    first_message_index = excluded.first_message_index, forwarded_count = excluded.forwarded_count,
    is_verified = excluded.is_verified, session_data = excluded.session_data;

-- name: drop_key!
DELETE FROM backup_keys
WHERE user_id = :user_id AND version = :version AND room_id = :room_id AND session_id = :session_id;

-- name: drop_room!
DELETE FROM backup_keys WHERE user_id = :user_id AND version = :version AND room_id = :room_id;

-- name: drop_all!
DELETE FROM backup_keys WHERE user_id = :user_id AND version = :version;

-- name: forget_keys!
DELETE FROM backup_keys WHERE user_id = :user_id;

-- name: forget_versions!
DELETE FROM backup_versions WHERE user_id = :user_id;

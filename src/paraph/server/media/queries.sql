-- name: add_file!
INSERT INTO media_files (media_id, owner, device_id, ts, expires, uploading_until, room_id)
VALUES (:media_id, :owner, :device_id, :ts, :expires, :uploading_until, :room_id);

-- name: file
SELECT media_id, owner, device_id, ts, expires, uploading_until, size, content_type, file_name, room_id, position
FROM media_files WHERE media_id = :media_id;

-- name: begin_upload!
UPDATE media_files SET device_id = :device_id, uploading_until = :until, room_id = :room_id
WHERE media_id = :media_id AND size IS NULL AND expires > :at AND (uploading_until IS NULL OR uploading_until <= :at);

-- name: give_up_upload!
UPDATE media_files SET uploading_until = NULL WHERE media_id = :media_id AND size IS NULL;

-- name: complete_file!
UPDATE media_files
SET size = :size, ts = :ts, content_type = :content_type, file_name = :file_name, position = :position, uploading_until = NULL
WHERE media_id = :media_id AND size IS NULL;

-- name: remove_awaited!
DELETE FROM media_files WHERE media_id = :media_id AND size IS NULL;

-- name: overdue
SELECT media_id FROM media_files
WHERE size IS NULL AND expires <= :at AND (uploading_until IS NULL OR uploading_until <= :at)
ORDER BY expires LIMIT :limit;

-- name: count_awaited
SELECT COUNT(*) FROM media_files WHERE owner = :owner AND size IS NULL AND expires > :at;

-- name: usage
SELECT bytes FROM media_usage WHERE owner = :owner;

-- name: add_usage!
INSERT INTO media_usage (owner, bytes) VALUES (:owner, :bytes)
ON CONFLICT (owner) DO UPDATE SET bytes = media_usage.bytes + :bytes;

-- name: put_device!
INSERT INTO devices (user_id, device_id, display_name, created) VALUES (:user_id, :device_id, :display_name, :created)
ON CONFLICT (user_id, device_id) DO UPDATE SET display_name = COALESCE(excluded.display_name, devices.display_name);

-- name: set_display_name!
UPDATE devices SET display_name = :display_name WHERE user_id = :user_id AND device_id = :device_id;

-- name: devices_of
SELECT device_id, display_name, device_keys FROM devices WHERE user_id = :user_id ORDER BY device_id;

-- name: device
SELECT device_id, display_name, device_keys FROM devices WHERE user_id = :user_id AND device_id = :device_id;

-- name: device_ids
SELECT device_id FROM devices WHERE user_id = :user_id ORDER BY device_id;

-- name: set_device_keys!
UPDATE devices SET device_keys = :device_keys WHERE user_id = :user_id AND device_id = :device_id;

-- name: drop_device!
DELETE FROM devices WHERE user_id = :user_id AND device_id = :device_id;

-- name: drop_one_time_keys!
DELETE FROM devices_one_time_keys WHERE user_id = :user_id AND device_id = :device_id;

-- name: drop_fallback_keys!
DELETE FROM devices_fallback_keys WHERE user_id = :user_id AND device_id = :device_id;

-- name: drop_queue!
DELETE FROM devices_queue WHERE user_id = :user_id AND device_id = :device_id;

-- name: drop_transactions!
DELETE FROM devices_transactions WHERE user_id = :user_id AND device_id = :device_id;

-- name: drop_signatures_on!
DELETE FROM devices_signatures WHERE target_user_id = :user_id AND target_key_id = :key_id;

-- name: drop_signatures_by!
DELETE FROM devices_signatures WHERE signer_user_id = :user_id AND signer_key_id = :key_id;

-- name: add_one_time_key!
INSERT INTO devices_one_time_keys (user_id, device_id, algorithm, key_id, key)
VALUES (:user_id, :device_id, :algorithm, :key_id, :key);

-- name: one_time_keys
SELECT algorithm, key_id, key, claimed FROM devices_one_time_keys
WHERE user_id = :user_id AND device_id = :device_id;

-- name: drop_one_time_key!
DELETE FROM devices_one_time_keys
WHERE user_id = :user_id AND device_id = :device_id AND algorithm = :algorithm AND key_id = :key_id AND claimed = 0;

-- name: fallback_keys
SELECT algorithm, key_id, key FROM devices_fallback_keys WHERE user_id = :user_id AND device_id = :device_id;

-- name: drop_fallback_key!
DELETE FROM devices_fallback_keys
WHERE user_id = :user_id AND device_id = :device_id AND algorithm = :algorithm;

-- name: claim_one_time_key<!
UPDATE devices_one_time_keys SET claimed = 1 WHERE id = (
    SELECT id FROM devices_one_time_keys
    WHERE user_id = :user_id AND device_id = :device_id AND algorithm = :algorithm AND claimed = 0
    ORDER BY id LIMIT 1
) RETURNING key_id, key;

-- name: forget_claimed_keys!
DELETE FROM devices_one_time_keys
WHERE user_id = :user_id AND device_id = :device_id AND claimed = 1 AND id <= (
    SELECT id FROM devices_one_time_keys
    WHERE user_id = :user_id AND device_id = :device_id AND claimed = 1
    ORDER BY id DESC LIMIT 1 OFFSET :keep
);

-- name: count_one_time_keys
SELECT algorithm, COUNT(*) FROM devices_one_time_keys
WHERE user_id = :user_id AND device_id = :device_id AND claimed = 0 GROUP BY algorithm;

-- name: put_fallback_key!
INSERT INTO devices_fallback_keys (user_id, device_id, algorithm, key_id, key)
VALUES (:user_id, :device_id, :algorithm, :key_id, :key)
ON CONFLICT (user_id, device_id, algorithm) DO UPDATE SET
    used = CASE WHEN devices_fallback_keys.key_id = excluded.key_id AND devices_fallback_keys.key = excluded.key
        THEN devices_fallback_keys.used ELSE 0 END,
    key_id = excluded.key_id,
    key = excluded.key;

-- name: use_fallback_key<!
UPDATE devices_fallback_keys SET used = 1
WHERE user_id = :user_id AND device_id = :device_id AND algorithm = :algorithm RETURNING key_id, key;

-- name: unused_fallback_types
SELECT algorithm FROM devices_fallback_keys
WHERE user_id = :user_id AND device_id = :device_id AND used = 0 ORDER BY algorithm;

-- name: put_cross_signing_key!
INSERT INTO devices_cross_signing (user_id, usage, public_key, document)
VALUES (:user_id, :usage, :public_key, :document)
ON CONFLICT (user_id, usage) DO UPDATE SET public_key = excluded.public_key, document = excluded.document;

-- name: cross_signing_keys
SELECT usage, public_key, document FROM devices_cross_signing WHERE user_id = :user_id;

-- name: drop_cross_signing_key!
DELETE FROM devices_cross_signing WHERE user_id = :user_id AND usage = :usage;

-- name: put_signature!
INSERT INTO devices_signatures (target_user_id, target_key_id, signer_user_id, signer_key_id, signature)
VALUES (:target_user_id, :target_key_id, :signer_user_id, :signer_key_id, :signature)
ON CONFLICT (target_user_id, target_key_id, signer_user_id, signer_key_id)
DO UPDATE SET signature = excluded.signature;

-- name: signatures_on
SELECT target_key_id, signer_user_id, signer_key_id, signature FROM devices_signatures
WHERE target_user_id = :user_id AND signer_user_id IN (:user_id, :viewer);

-- name: add_to_queue!
INSERT INTO devices_queue (user_id, device_id, position, sender, sender_device, type, size, content)
VALUES (:user_id, :device_id, :position, :sender, :sender_device, :type, :size, :content);

-- name: queue_load
SELECT COUNT(*), COALESCE(SUM(size), 0), COALESCE(SUM(CASE WHEN sender = :sender THEN 1 ELSE 0 END), 0)
FROM devices_queue WHERE user_id = :user_id AND device_id = :device_id;

-- name: queue_ends
SELECT MIN(position), MAX(position) FROM devices_queue WHERE user_id = :user_id AND device_id = :device_id;

-- name: queue_part
SELECT position, sender, sender_device, type, content FROM devices_queue
WHERE user_id = :user_id AND device_id = :device_id AND position > :since AND position <= :upto
ORDER BY position LIMIT :limit;

-- name: shorten_queue!
DELETE FROM devices_queue WHERE user_id = :user_id AND device_id = :device_id AND position <= :upto;

-- name: add_transaction!
INSERT INTO devices_transactions (user_id, device_id, type, txn_id, created)
VALUES (:user_id, :device_id, :type, :txn_id, :created)
ON CONFLICT (user_id, device_id, type, txn_id) DO NOTHING;

-- name: forget_transactions!
DELETE FROM devices_transactions WHERE created < :before;

-- name: put_change!
INSERT INTO devices_changes (user_id, position) VALUES (:user_id, :position)
ON CONFLICT (user_id) DO UPDATE SET position = excluded.position;

-- name: changes
SELECT user_id, position FROM devices_changes WHERE position > :since AND position <= :upto;

-- name: newest_change
SELECT COALESCE(MAX(position), 0) FROM devices_changes;

-- name: put_notice!
INSERT INTO devices_notices (user_id, other, parted, position) VALUES (:user_id, :other, :parted, :position)
ON CONFLICT (user_id, other) DO UPDATE SET parted = excluded.parted, position = excluded.position;

-- name: notices
SELECT other, parted, position FROM devices_notices WHERE user_id = :user_id AND position > :since AND position <= :upto;

-- name: newest_notice
SELECT COALESCE(MAX(position), 0) FROM devices_notices WHERE user_id = :user_id;

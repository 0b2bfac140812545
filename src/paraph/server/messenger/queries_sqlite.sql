-- name: encrypted_events
SELECT position, event_id, room_id, sender, device_id, type, state_key, ts, nonce, txn_id, redacted_by, json
FROM events WHERE room_id = :room_id AND position > :after AND type = 'm.room.encrypted' AND redacted_by IS NULL
AND sender IN (SELECT value FROM json_each(:senders))
ORDER BY position LIMIT :limit;

-- name: encrypted_at
SELECT position, event_id, room_id, sender, device_id, type, state_key, ts, nonce, txn_id, redacted_by, json
FROM events WHERE position IN (SELECT value FROM json_each(:positions))
AND type = 'm.room.encrypted' AND redacted_by IS NULL;

-- name: rooms_receipts
SELECT room_id, user_id, type, thread_id, event_id, ts, position, event_position FROM receipts
WHERE room_id IN (SELECT value FROM json_each(:rooms)) AND position > :after AND position <= :upto
ORDER BY room_id, position;

-- name: own_reads
SELECT room_id, thread_id, MAX(event_position) FROM receipts
WHERE room_id IN (SELECT value FROM json_each(:rooms)) AND user_id = :user_id GROUP BY room_id, thread_id;

-- name: rooms_members
SELECT room_id, user_id, membership FROM memberships
WHERE room_id IN (SELECT value FROM json_each(:rooms)) AND membership IN ('join', 'invite');

-- name: rooms_last
SELECT value, (SELECT MAX(position) FROM events WHERE room_id = value) FROM json_each(:rooms);

-- name: rooms_bumped
SELECT value, (
    SELECT MAX(position) FROM (
        SELECT near.position, near.type FROM events AS near WHERE near.room_id = value AND near.position <= :upto
        ORDER BY near.position DESC LIMIT :depth
    ) WHERE type IN (SELECT value FROM json_each(:types))
) FROM json_each(:rooms);

-- name: rooms_former
SELECT room_id, user_id, membership FROM memberships
WHERE room_id IN (SELECT value FROM json_each(:rooms)) AND membership IN ('ban', 'leave');

-- name: rooms_state_history
SELECT position, event_id, room_id, sender, device_id, type, state_key, ts, nonce, txn_id, redacted_by, json
FROM events WHERE room_id IN (SELECT value FROM json_each(:rooms))
AND type = :type AND state_key = :state_key AND position <= :upto;

-- SQLite lacks LATERAL: positions are found room by room, and events by their positions.

-- name: rooms_backwards
SELECT position, event_id, room_id, sender, device_id, type, state_key, ts, nonce, txn_id, redacted_by, json
FROM (SELECT value AS asked FROM json_each(:asked)) CROSS JOIN events WHERE position IN (
    SELECT near.position FROM events AS near
    WHERE near.room_id = json_extract(asked, '$.room_id')
    AND near.position > json_extract(asked, '$.after') AND near.position <= json_extract(asked, '$.upto')
    ORDER BY near.position DESC LIMIT :limit
);

-- name: rooms_state_at
SELECT position, event_id, room_id, sender, device_id, type, state_key, ts, nonce, txn_id, redacted_by, json
FROM (SELECT value AS asked FROM json_each(:asked)) CROSS JOIN events WHERE position IN (
    SELECT MAX(near.position) FROM events AS near
    WHERE near.room_id = json_extract(asked, '$.room_id') AND near.state_key IS NOT NULL
    AND near.type <> :but AND near.position <= json_extract(asked, '$.upto') GROUP BY near.type, near.state_key
);

-- name: rooms_state_between
SELECT position, event_id, room_id, sender, device_id, type, state_key, ts, nonce, txn_id, redacted_by, json
FROM (SELECT value AS asked FROM json_each(:asked)) CROSS JOIN events
WHERE room_id = json_extract(asked, '$.room_id') AND state_key IS NOT NULL
AND position > json_extract(asked, '$.after') AND position <= json_extract(asked, '$.upto');

-- name: rooms_state_entries
SELECT position, event_id, room_id, sender, device_id, type, state_key, ts, nonce, txn_id, redacted_by, json
FROM (SELECT value AS asked FROM json_each(:asked)) CROSS JOIN events WHERE position = (
    SELECT MAX(near.position) FROM events AS near
    WHERE near.room_id = json_extract(asked, '$.room_id') AND near.type = json_extract(asked, '$.type')
    AND near.state_key = json_extract(asked, '$.state_key') AND near.position <= json_extract(asked, '$.upto')
);

-- name: encrypted_events
SELECT position, event_id, room_id, sender, device_id, type, state_key, ts, nonce, txn_id, redacted_by, json
FROM events WHERE room_id = :room_id AND position > :after AND type = 'm.room.encrypted' AND redacted_by IS NULL
AND sender = ANY(ARRAY(SELECT jsonb_array_elements_text(CAST(CAST(:senders AS text) AS jsonb))))
ORDER BY position LIMIT :limit;

-- name: encrypted_at
SELECT position, event_id, room_id, sender, device_id, type, state_key, ts, nonce, txn_id, redacted_by, json
FROM events
WHERE position = ANY(ARRAY(SELECT CAST(value AS bigint) FROM jsonb_array_elements_text(CAST(CAST(:positions AS text) AS jsonb))))
AND type = 'm.room.encrypted' AND redacted_by IS NULL;

-- name: rooms_receipts
SELECT room_id, user_id, type, thread_id, event_id, ts, position, event_position FROM receipts
WHERE room_id = ANY(ARRAY(SELECT jsonb_array_elements_text(CAST(CAST(:rooms AS text) AS jsonb))))
AND position > :after AND position <= :upto ORDER BY room_id, position;

-- name: own_reads
SELECT room_id, thread_id, MAX(event_position) FROM receipts
WHERE room_id = ANY(ARRAY(SELECT jsonb_array_elements_text(CAST(CAST(:rooms AS text) AS jsonb))))
AND user_id = :user_id GROUP BY room_id, thread_id;

-- name: rooms_state_history
SELECT position, event_id, room_id, sender, device_id, type, state_key, ts, nonce, txn_id, redacted_by, json
FROM events WHERE room_id = ANY(ARRAY(SELECT jsonb_array_elements_text(CAST(CAST(:rooms AS text) AS jsonb))))
AND type = :type AND state_key = :state_key AND position <= :upto;

-- Each LATERAL below has an ORDER BY, a GROUP BY or a LIMIT of its own: it is then run for one room after the other.

-- BETWEEN, as no other membership sorts between the two: one search of the index for each room, not two.
-- name: rooms_members
SELECT found.* FROM jsonb_array_elements_text(CAST(CAST(:rooms AS text) AS jsonb)) AS asked (room)
CROSS JOIN LATERAL (
    SELECT room_id, user_id, membership FROM memberships
    WHERE room_id = asked.room AND membership BETWEEN 'invite' AND 'join' ORDER BY membership, user_id
) AS found;

-- name: rooms_last
SELECT asked.room, (SELECT MAX(position) FROM events WHERE room_id = asked.room)
FROM jsonb_array_elements_text(CAST(CAST(:rooms AS text) AS jsonb)) AS asked (room);

-- name: rooms_bumped
SELECT asked.room, (
    SELECT MAX(newest.position) FROM (
        SELECT position, type FROM events WHERE room_id = asked.room AND position <= :upto
        ORDER BY position DESC LIMIT :depth
    ) AS newest
    WHERE newest.type = ANY(ARRAY(SELECT jsonb_array_elements_text(CAST(CAST(:types AS text) AS jsonb))))
)
FROM jsonb_array_elements_text(CAST(CAST(:rooms AS text) AS jsonb)) AS asked (room);

-- name: rooms_former
SELECT found.* FROM jsonb_array_elements_text(CAST(CAST(:rooms AS text) AS jsonb)) AS asked (room)
CROSS JOIN LATERAL (
    SELECT room_id, user_id, membership FROM memberships
    WHERE room_id = asked.room AND membership IN ('ban', 'leave') ORDER BY user_id LIMIT 10
) AS found;

-- name: rooms_backwards
SELECT found.*
FROM jsonb_to_recordset(CAST(CAST(:asked AS text) AS jsonb)) AS asked (room_id text, after bigint, upto bigint)
CROSS JOIN LATERAL (
    SELECT position, event_id, room_id, sender, device_id, type, state_key, ts, nonce, txn_id, redacted_by, json
    FROM events WHERE room_id = asked.room_id AND position > asked.after AND position <= asked.upto
    ORDER BY position DESC LIMIT :limit
) AS found;

-- name: rooms_state_at
SELECT found.*
FROM jsonb_to_recordset(CAST(CAST(:asked AS text) AS jsonb)) AS asked (room_id text, upto bigint)
CROSS JOIN LATERAL (
    SELECT MAX(position) AS position FROM events
    WHERE room_id = asked.room_id AND state_key IS NOT NULL AND type <> :but AND position <= asked.upto
    GROUP BY type, state_key
) AS newest
CROSS JOIN LATERAL (
    SELECT position, event_id, room_id, sender, device_id, type, state_key, ts, nonce, txn_id, redacted_by, json
    FROM events WHERE position = newest.position LIMIT 1
) AS found;

-- name: rooms_state_between
SELECT found.*
FROM jsonb_to_recordset(CAST(CAST(:asked AS text) AS jsonb)) AS asked (room_id text, after bigint, upto bigint)
CROSS JOIN LATERAL (
    SELECT position, event_id, room_id, sender, device_id, type, state_key, ts, nonce, txn_id, redacted_by, json
    FROM events WHERE room_id = asked.room_id AND state_key IS NOT NULL
    AND position > asked.after AND position <= asked.upto ORDER BY position
) AS found;

-- name: rooms_state_entries
SELECT found.*
FROM jsonb_to_recordset(CAST(CAST(:asked AS text) AS jsonb))
    AS asked (room_id text, type text, state_key text, upto bigint)
CROSS JOIN LATERAL (
    SELECT position, event_id, room_id, sender, device_id, type, state_key, ts, nonce, txn_id, redacted_by, json
    FROM events WHERE room_id = asked.room_id AND type = asked.type AND state_key = asked.state_key
    AND position <= asked.upto ORDER BY position DESC LIMIT 1
) AS found;

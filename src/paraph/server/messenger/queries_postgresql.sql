-- name: encrypted_events
SELECT position, event_id, room_id, sender, device_id, type, state_key, ts, nonce, txn_id, redacted_by, json
FROM events WHERE room_id = :room_id AND position > :after AND type = 'm.room.encrypted' AND redacted_by IS NULL
AND sender = ANY(ARRAY(SELECT jsonb_array_elements_text(CAST(CAST(:senders AS text) AS jsonb))))
ORDER BY position LIMIT :limit;

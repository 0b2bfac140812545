-- name: bundled
SELECT target_id, rel_type, COUNT(*), MAX(position), MAX(CASE WHEN sender = :user_id THEN 1 ELSE 0 END)
FROM relations
WHERE target_id = ANY(ARRAY(SELECT jsonb_array_elements_text(CAST(CAST(:targets AS text) AS jsonb))))
AND rel_type IN ('m.replace', 'm.thread', 'm.reference') AND valid = 1 AND position <= :upto
AND sender <> ALL(ARRAY(SELECT jsonb_array_elements_text(CAST(CAST(:ignored AS text) AS jsonb))))
GROUP BY target_id, rel_type;

-- name: events_at
SELECT position, event_id, room_id, sender, device_id, type, state_key, ts, nonce, txn_id, redacted_by, json
FROM events
WHERE position = ANY(ARRAY(SELECT CAST(value AS bigint) FROM jsonb_array_elements_text(CAST(CAST(:positions AS text) AS jsonb))));

-- name: parents
SELECT event_id, rel_type, target_id FROM relations
WHERE event_id = ANY(ARRAY(SELECT jsonb_array_elements_text(CAST(CAST(:event_ids AS text) AS jsonb))));

-- name: related
SELECT DISTINCT target_id FROM relations
WHERE target_id = ANY(ARRAY(SELECT jsonb_array_elements_text(CAST(CAST(:targets AS text) AS jsonb))))
AND (:any_type = 1 OR rel_type = ANY(ARRAY(SELECT jsonb_array_elements_text(CAST(CAST(:rel_types AS text) AS jsonb)))))
AND (:any_sender = 1 OR sender = ANY(ARRAY(SELECT jsonb_array_elements_text(CAST(CAST(:senders AS text) AS jsonb)))));

-- name: bundled
SELECT target_id, rel_type, COUNT(*), MAX(position), MAX(CASE WHEN sender = :user_id THEN 1 ELSE 0 END)
FROM relations WHERE target_id IN (SELECT value FROM json_each(:targets))
AND rel_type IN ('m.replace', 'm.thread', 'm.reference') AND valid = 1 AND position <= :upto
AND sender NOT IN (SELECT value FROM json_each(:ignored))
GROUP BY target_id, rel_type;

-- name: events_at
SELECT position, event_id, room_id, sender, device_id, type, state_key, ts, nonce, txn_id, redacted_by, json
FROM events WHERE position IN (SELECT value FROM json_each(:positions));

-- name: parents
SELECT event_id, rel_type, target_id FROM relations WHERE event_id IN (SELECT value FROM json_each(:event_ids));

-- name: related
SELECT DISTINCT target_id FROM relations WHERE target_id IN (SELECT value FROM json_each(:targets))
AND (:any_type = 1 OR rel_type IN (SELECT value FROM json_each(:rel_types)))
AND (:any_sender = 1 OR sender IN (SELECT value FROM json_each(:senders)));

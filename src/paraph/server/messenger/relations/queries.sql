-- name: add_relation!
INSERT INTO relations (position, event_id, room_id, target_id, rel_type, type, sender, ts, key, valid)
VALUES (:position, :event_id, :room_id, :target_id, :rel_type, :type, :sender, :ts, :key, :valid);

-- name: parent
SELECT rel_type, target_id FROM relations WHERE event_id = :event_id;

-- name: same_annotation
SELECT 1 FROM relations
WHERE target_id = :target_id AND sender = :sender AND type = :type AND key = :key AND rel_type = 'm.annotation' LIMIT 1;

-- name: remove_relation!
DELETE FROM relations WHERE position = :position;

-- name: put_thread!
INSERT INTO threads (root_id, room_id, latest) VALUES (:root_id, :room_id, :latest)
ON CONFLICT (root_id) DO UPDATE SET latest = excluded.latest;

-- name: latest_in_thread
SELECT position FROM relations WHERE target_id = :root_id AND rel_type = 'm.thread' ORDER BY position DESC LIMIT 1;

-- name: remove_thread!
DELETE FROM threads WHERE root_id = :root_id;

-- name: is_thread
SELECT 1 FROM threads WHERE root_id = :root_id;

-- name: children_backwards
SELECT events.position, events.event_id, events.room_id, events.sender, events.device_id, events.type, events.state_key,
    events.ts, events.nonce, events.txn_id, events.redacted_by, events.json
FROM relations JOIN events ON events.position = relations.position
WHERE relations.target_id = :target_id AND relations.position > :after AND relations.position <= :upto
AND relations.room_id = :room_id AND (:rel_type = '' OR relations.rel_type = :rel_type)
AND (:type = '' OR relations.type = :type)
ORDER BY relations.position DESC LIMIT :limit;

-- name: children_forwards
SELECT events.position, events.event_id, events.room_id, events.sender, events.device_id, events.type, events.state_key,
    events.ts, events.nonce, events.txn_id, events.redacted_by, events.json
FROM relations JOIN events ON events.position = relations.position
WHERE relations.target_id = :target_id AND relations.position > :after AND relations.position <= :upto
AND relations.room_id = :room_id AND (:rel_type = '' OR relations.rel_type = :rel_type)
AND (:type = '' OR relations.type = :type)
ORDER BY relations.position LIMIT :limit;

-- Every event has one parent at most, so nothing is met twice.
-- name: descendants
WITH RECURSIVE descendants (event_id, position, rel_type, type, depth) AS (
    SELECT event_id, position, rel_type, type, 1 FROM relations WHERE target_id = :target_id AND room_id = :room_id
    UNION ALL
    SELECT child.event_id, child.position, child.rel_type, child.type, descendants.depth + 1
    FROM descendants JOIN relations AS child ON child.target_id = descendants.event_id WHERE descendants.depth < :depth
)
SELECT position FROM descendants WHERE position > :after AND position <= :upto
AND (:rel_type = '' OR rel_type = :rel_type) AND (:type = '' OR type = :type);

-- name: threads_of_room
SELECT threads.latest, events.position, events.event_id, events.room_id, events.sender, events.device_id, events.type,
    events.state_key, events.ts, events.nonce, events.txn_id, events.redacted_by, events.json
FROM threads JOIN events ON events.event_id = threads.root_id
WHERE threads.room_id = :room_id AND threads.latest <= :upto AND (:participant = '' OR events.sender = :participant
    OR EXISTS (SELECT 1 FROM relations WHERE relations.target_id = threads.root_id
        AND relations.rel_type = 'm.thread' AND relations.sender = :participant))
ORDER BY threads.latest DESC LIMIT :limit;

-- name: newest_edit
SELECT events.position, events.event_id, events.room_id, events.sender, events.device_id, events.type, events.state_key,
    events.ts, events.nonce, events.txn_id, events.redacted_by, events.json
FROM events WHERE events.position = (
    SELECT position FROM relations WHERE target_id = :target_id AND rel_type = 'm.replace' AND valid = 1
    AND position <= :upto ORDER BY ts DESC, event_id DESC LIMIT 1
);

-- name: references
SELECT event_id, sender, position FROM relations
WHERE target_id = :target_id AND rel_type = 'm.reference' AND position <= :upto ORDER BY position LIMIT :limit;

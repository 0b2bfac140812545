-- name: add_alias!
INSERT INTO room_aliases (alias, room_id, creator) VALUES (:alias, :room_id, :creator) ON CONFLICT DO NOTHING;

-- name: alias
SELECT room_id, creator FROM room_aliases WHERE alias = :alias;

-- name: aliases_of
SELECT alias FROM room_aliases WHERE room_id = :room_id ORDER BY alias;

-- name: remove_alias!
DELETE FROM room_aliases WHERE alias = :alias;

-- name: move_aliases!
UPDATE room_aliases SET room_id = :new_room_id WHERE room_id = :room_id;

-- name: put_listed!
INSERT INTO listed_rooms (room_id, members, kind, folded, entry)
VALUES (:room_id, :members, :kind, :folded, :entry)
ON CONFLICT (room_id) DO UPDATE SET members = excluded.members, kind = excluded.kind, folded = excluded.folded,
entry = excluded.entry;

-- name: remove_listed!
DELETE FROM listed_rooms WHERE room_id = :room_id;

-- name: listed
SELECT 1 FROM listed_rooms WHERE room_id = :room_id;

-- name: listed_below
SELECT members, room_id, kind, folded, entry FROM listed_rooms
WHERE members <= :members AND (members < :members OR room_id < :room_id)
ORDER BY members DESC, room_id DESC LIMIT :limit;

-- name: listed_above
SELECT members, room_id, kind, folded, entry FROM listed_rooms
WHERE members >= :members AND (members > :members OR room_id > :room_id)
ORDER BY members, room_id LIMIT :limit;

-- name: count_listed
SELECT COUNT(*) FROM (SELECT 1 FROM listed_rooms WHERE members >= 0 LIMIT :limit) AS found;

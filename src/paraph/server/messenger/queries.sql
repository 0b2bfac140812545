-- name: add_event!
INSERT INTO events (position, event_id, room_id, sender, device_id, type, state_key, ts, nonce, txn_id, txn_key, json)
VALUES (:position, :event_id, :room_id, :sender, :device_id, :type, :state_key, :ts, :nonce, :txn_id, :txn_key, :json)
ON CONFLICT DO NOTHING;

-- name: event_id_of_txn
SELECT event_id FROM events WHERE txn_key = :txn_key;

-- name: event
SELECT position, event_id, room_id, sender, device_id, type, state_key, ts, nonce, txn_id, redacted_by, json
FROM events WHERE event_id = :event_id;

-- name: events_backwards
SELECT position, event_id, room_id, sender, device_id, type, state_key, ts, nonce, txn_id, redacted_by, json
FROM events WHERE room_id = :room_id AND position > :after AND position <= :upto
ORDER BY position DESC LIMIT :limit;

-- name: events_forwards
SELECT position, event_id, room_id, sender, device_id, type, state_key, ts, nonce, txn_id, redacted_by, json
FROM events WHERE room_id = :room_id AND position > :after AND position <= :upto
ORDER BY position LIMIT :limit;

-- name: events_between
SELECT position, event_id, room_id, sender, device_id, type, state_key, ts, nonce, txn_id, redacted_by, json
FROM events WHERE position > :after AND position <= :upto ORDER BY position;

-- name: state_at
SELECT position, event_id, room_id, sender, device_id, type, state_key, ts, nonce, txn_id, redacted_by, json
FROM events WHERE position IN (
    SELECT MAX(position) FROM events
    WHERE room_id = :room_id AND state_key IS NOT NULL AND position <= :upto GROUP BY type, state_key
) ORDER BY position;

-- name: state_entry
SELECT position, event_id, room_id, sender, device_id, type, state_key, ts, nonce, txn_id, redacted_by, json
FROM events WHERE room_id = :room_id AND type = :type AND state_key = :state_key AND position <= :upto
ORDER BY position DESC LIMIT 1;

-- name: state_of_type
SELECT position, event_id, room_id, sender, device_id, type, state_key, ts, nonce, txn_id, redacted_by, json
FROM events WHERE position IN (
    SELECT MAX(position) FROM events
    WHERE room_id = :room_id AND type = :type AND state_key IS NOT NULL GROUP BY state_key
);

-- name: state_history
SELECT position, event_id, room_id, sender, device_id, type, state_key, ts, nonce, txn_id, redacted_by, json
FROM events WHERE room_id = :room_id AND type = :type AND state_key = :state_key AND position <= :upto
ORDER BY position;

-- name: redact_event!
UPDATE events SET json = :json, redacted_by = :redacted_by WHERE event_id = :event_id;

-- name: next_of_key
SELECT position, event_id, room_id, sender, device_id, type, state_key, ts, nonce, txn_id, redacted_by, json
FROM events WHERE room_id = :room_id AND type = :type AND state_key = :state_key AND position > :after
ORDER BY position LIMIT 1;

-- name: rewrite_event!
UPDATE events SET json = :json WHERE event_id = :event_id;

-- name: put_membership!
INSERT INTO memberships (user_id, room_id, membership, position) VALUES (:user_id, :room_id, :membership, :position)
ON CONFLICT (user_id, room_id) DO UPDATE
SET membership = excluded.membership, position = excluded.position, forgotten = 0;

-- name: memberships_of
SELECT room_id, membership, position FROM memberships WHERE user_id = :user_id AND forgotten = 0;

-- name: forgotten_by
SELECT room_id, membership, position FROM memberships WHERE user_id = :user_id AND forgotten = 1;

-- name: membership
SELECT membership, position FROM memberships WHERE user_id = :user_id AND room_id = :room_id AND forgotten = 0;

-- name: forget!
UPDATE memberships SET forgotten = 1 WHERE user_id = :user_id AND room_id = :room_id;

-- name: joined_rooms
SELECT room_id FROM memberships WHERE user_id = :user_id AND membership = 'join' ORDER BY room_id;

-- name: members
SELECT user_id FROM memberships WHERE room_id = :room_id AND membership = :membership ORDER BY user_id;

-- name: sharers
SELECT DISTINCT theirs.user_id FROM memberships AS mine
JOIN memberships AS theirs ON theirs.room_id = mine.room_id AND theirs.membership = 'join'
WHERE mine.user_id = :user_id AND mine.membership = 'join' AND theirs.user_id <> :user_id;

-- name: share_a_room
SELECT 1 FROM memberships AS mine
JOIN memberships AS theirs ON theirs.room_id = mine.room_id AND theirs.membership = 'join'
WHERE mine.user_id = :user_id AND mine.membership = 'join' AND theirs.user_id = :other LIMIT 1;

-- name: room_began
SELECT ts FROM events WHERE room_id = :room_id ORDER BY position LIMIT 1;

-- name: last_encrypted
SELECT ts FROM events WHERE room_id = :room_id AND type = 'm.room.encrypted' AND redacted_by IS NULL
ORDER BY position DESC LIMIT 1;

-- name: put_receipt!
INSERT INTO receipts (room_id, user_id, type, thread_id, event_id, ts, position, event_position)
VALUES (:room_id, :user_id, :type, :thread_id, :event_id, :ts, :position, :event_position)
ON CONFLICT (room_id, user_id, type, thread_id) DO UPDATE
SET event_id = excluded.event_id, ts = excluded.ts, position = excluded.position,
    event_position = excluded.event_position;

-- name: receipts_of
SELECT thread_id, event_position FROM receipts WHERE room_id = :room_id AND user_id = :user_id AND type = :type;

-- name: last_receipt
SELECT position FROM receipts WHERE room_id = :room_id ORDER BY position DESC LIMIT 1;

-- name: put_account_data!
INSERT INTO account_data (user_id, room_id, type, content, position)
VALUES (:user_id, :room_id, :type, :content, :position)
ON CONFLICT (user_id, room_id, type) DO UPDATE SET content = excluded.content, position = excluded.position;

-- name: account_data
SELECT content FROM account_data WHERE user_id = :user_id AND room_id = :room_id AND type = :type;

-- name: data_of_rooms
SELECT room_id, content FROM account_data WHERE user_id = :user_id AND room_id > '' AND type = :type;

-- name: room_data
SELECT type, content FROM account_data WHERE user_id = :user_id AND room_id = :room_id ORDER BY type;

-- name: forget_account_data!
DELETE FROM account_data WHERE user_id = :user_id;

-- name: forget_filters!
DELETE FROM filters WHERE user_id = :user_id;

-- name: account_data_after
SELECT room_id, type, content, position FROM account_data
WHERE user_id = :user_id AND position > :after AND position <= :upto ORDER BY position;

-- name: profile
SELECT displayname, avatar_url FROM profiles WHERE user_id = :user_id;

-- name: put_profile!
INSERT INTO profiles (user_id, displayname, avatar_url, folded) VALUES (:user_id, :displayname, :avatar_url, :folded)
ON CONFLICT (user_id) DO UPDATE
SET displayname = excluded.displayname, avatar_url = excluded.avatar_url, folded = excluded.folded;

-- name: put_filter!
INSERT INTO filters (user_id, filter_id, definition) VALUES (:user_id, :filter_id, :definition)
ON CONFLICT (user_id, filter_id) DO NOTHING;

-- name: filter
SELECT definition FROM filters WHERE user_id = :user_id AND filter_id = :filter_id;

-- name: add!
INSERT INTO complaints (position, reporter, room_id, event_id, user_id, reason, ts)
VALUES (:position, :reporter, :room_id, :event_id, :user_id, :reason, :ts);

-- name: complaints_below
SELECT position, reporter, room_id, event_id, user_id, reason, ts FROM complaints
WHERE position < :position ORDER BY position DESC LIMIT :limit;

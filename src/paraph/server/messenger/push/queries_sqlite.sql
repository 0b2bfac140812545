-- name: pushers_in_rooms
SELECT memberships.room_id, pushers.user_id, pushers.app_id, pushers.pushkey, pushers.device_id,
    pushers.app_display_name, pushers.device_display_name, pushers.profile_tag, pushers.lang, pushers.data,
    pushers.set_at, pushers.since, pushers.failures, pushers.next_attempt
FROM memberships JOIN pushers ON pushers.user_id = memberships.user_id
WHERE memberships.room_id IN (SELECT value FROM json_each(:rooms)) AND memberships.membership = 'join';

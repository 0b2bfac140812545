-- name: put_pusher!
INSERT INTO pushers (user_id, app_id, pushkey, device_id, app_display_name, device_display_name, profile_tag, lang,
    data, set_at, since)
VALUES (:user_id, :app_id, :pushkey, :device_id, :app_display_name, :device_display_name, :profile_tag, :lang, :data,
    :set_at, :since)
ON CONFLICT (user_id, app_id, pushkey) DO UPDATE SET device_id = excluded.device_id,
    app_display_name = excluded.app_display_name, device_display_name = excluded.device_display_name,
    profile_tag = excluded.profile_tag, lang = excluded.lang, data = excluded.data, set_at = excluded.set_at,
    failures = 0, next_attempt = 0;

-- name: pushers_of
SELECT user_id, app_id, pushkey, device_id, app_display_name, device_display_name, profile_tag, lang, data, set_at,
    since, failures, next_attempt
FROM pushers WHERE user_id = :user_id ORDER BY set_at, app_id, pushkey;

-- name: remove_pusher!
DELETE FROM pushers WHERE user_id = :user_id AND app_id = :app_id AND pushkey = :pushkey;

-- name: forget_pushes!
DELETE FROM pushes WHERE user_id = :user_id AND app_id = :app_id AND pushkey = :pushkey;

-- name: others_with_key
SELECT user_id FROM pushers WHERE app_id = :app_id AND pushkey = :pushkey AND user_id <> :user_id;

-- name: any_pusher
SELECT 1 FROM pushers LIMIT 1;

-- name: put_push!
INSERT INTO pushes (user_id, app_id, pushkey, position, tweaks)
VALUES (:user_id, :app_id, :pushkey, :position, :tweaks) ON CONFLICT DO NOTHING;

-- name: waiting_pushers
SELECT user_id, app_id, pushkey, device_id, app_display_name, device_display_name, profile_tag, lang, data, set_at,
    since, failures, next_attempt
FROM (SELECT DISTINCT user_id, app_id, pushkey FROM pushes) AS due JOIN pushers USING (user_id, app_id, pushkey)
ORDER BY next_attempt LIMIT :limit;

-- name: first_push
SELECT position, tweaks FROM pushes WHERE user_id = :user_id AND app_id = :app_id AND pushkey = :pushkey
ORDER BY position LIMIT 1;

-- name: pushed!
DELETE FROM pushes WHERE user_id = :user_id AND app_id = :app_id AND pushkey = :pushkey AND position = :position;

-- name: pusher_tried!
UPDATE pushers SET failures = :failures, next_attempt = :next_attempt
WHERE user_id = :user_id AND app_id = :app_id AND pushkey = :pushkey;

-- name: push_progress
SELECT upto FROM push_progress WHERE one = 1;

-- name: set_push_progress!
INSERT INTO push_progress (one, upto) VALUES (1, :upto) ON CONFLICT (one) DO UPDATE SET upto = excluded.upto;

-- name: covered
SELECT position, grant_id FROM feed_rows
WHERE partner = :partner AND kind = 'message' AND position IN (SELECT value FROM json_each(:positions));

-- name: add_attachment_grant!
INSERT INTO attachment_grants (media_id, grant_id) VALUES (:media_id, :grant_id);

-- name: attachment_grant
SELECT 1 FROM attachment_grants WHERE media_id = :media_id AND grant_id = :grant_id;

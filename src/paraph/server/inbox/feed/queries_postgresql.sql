-- name: covered
SELECT position, grant_id FROM feed_rows WHERE partner = :partner AND kind = 'message' AND position = ANY(ARRAY(
    SELECT CAST(value AS bigint) FROM jsonb_array_elements_text(CAST(CAST(:positions AS text) AS jsonb))
));

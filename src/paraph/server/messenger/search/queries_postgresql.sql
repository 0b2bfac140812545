-- name: with_words
SELECT position, CAST(SUM(times) AS bigint) FROM search_words
WHERE room_id = ANY(ARRAY(SELECT jsonb_array_elements_text(CAST(CAST(:rooms AS text) AS jsonb))))
AND word = ANY(ARRAY(SELECT jsonb_array_elements_text(CAST(CAST(:words AS text) AS jsonb))))
AND position <= :upto
GROUP BY position HAVING COUNT(*) = :number ORDER BY position DESC LIMIT :limit;

-- name: with_words
SELECT position, SUM(times) FROM search_words
WHERE room_id IN (SELECT value FROM json_each(:rooms)) AND word IN (SELECT value FROM json_each(:words))
AND position <= :upto
GROUP BY position HAVING COUNT(*) = :number ORDER BY position DESC LIMIT :limit;

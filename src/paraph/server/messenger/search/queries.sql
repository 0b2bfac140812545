-- name: add_word!
INSERT INTO search_words (room_id, word, position, times) VALUES (:room_id, :word, :position, :times)
ON CONFLICT DO NOTHING;

-- name: remove_words!
DELETE FROM search_words WHERE position = :position;

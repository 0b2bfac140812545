-- The words of messages that this server can read. Where it requires encryption there are none, and this stays empty.
CREATE TABLE search_words (
    room_id TEXT COLLATE "C" NOT NULL,
    word TEXT COLLATE "C" NOT NULL,
    position BIGINT NOT NULL,   -- of the event
    times BIGINT NOT NULL,
    PRIMARY KEY (room_id, word, position)
);
CREATE INDEX search_words_by_position ON search_words (position);

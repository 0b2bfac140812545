-- The words of messages that this server can read. Where it requires encryption there are none, and this stays empty.
CREATE TABLE search_words (
    room_id TEXT NOT NULL,
    word TEXT NOT NULL,
    position INTEGER NOT NULL,   -- of the event
    times INTEGER NOT NULL,
    PRIMARY KEY (room_id, word, position)
) STRICT, WITHOUT ROWID;
CREATE INDEX search_words_by_position ON search_words (position);

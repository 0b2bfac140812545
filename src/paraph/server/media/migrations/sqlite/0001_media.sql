-- What people upload. A row is there before its file: one without `size` waits for its bytes until `expires`, and then
-- goes together with whatever was written of them. `uploading_until`: somebody is sending them now. Times are in ms; `ts`
-- is when the file was announced, and then when it was complete, and `position` where that stands in the server's one
-- order. `room_id` is the room that the uploader named.
CREATE TABLE media_files (
    media_id TEXT NOT NULL PRIMARY KEY,
    owner TEXT NOT NULL,
    device_id TEXT NOT NULL,
    ts INTEGER NOT NULL,
    expires INTEGER NOT NULL,
    uploading_until INTEGER,
    size INTEGER,
    content_type TEXT,
    file_name TEXT,
    room_id TEXT,
    position INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX media_files_awaited ON media_files (expires) WHERE size IS NULL;
CREATE INDEX media_files_awaited_of ON media_files (owner) WHERE size IS NULL;

-- Bytes that a person's complete files take.
CREATE TABLE media_usage (
    owner TEXT NOT NULL PRIMARY KEY,
    bytes INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- An event that relates to another one of its room (Client-Server API, "Forming relationships between events").
-- `m.relates_to` stands in the clear of encrypted events as well, so this holds for both. Redacting the event ends it.
CREATE TABLE relations (
    position INTEGER PRIMARY KEY,
    event_id TEXT NOT NULL,
    room_id TEXT NOT NULL,
    target_id TEXT NOT NULL,
    rel_type TEXT NOT NULL,
    type TEXT NOT NULL,
    sender TEXT NOT NULL,
    ts INTEGER NOT NULL,
    key TEXT,                  -- of an annotation
    valid INTEGER NOT NULL     -- 0: an edit that changes nothing, since it breaks a rule for edits
) STRICT;
CREATE UNIQUE INDEX relations_by_event ON relations (event_id);
CREATE INDEX relations_by_target ON relations (target_id, position);
CREATE INDEX relations_by_kind ON relations (target_id, rel_type, position);
CREATE INDEX relations_annotations ON relations (target_id, sender, type, key) WHERE rel_type = 'm.annotation';
CREATE INDEX relations_edits ON relations (target_id, ts, event_id) WHERE rel_type = 'm.replace';
CREATE INDEX relations_participants ON relations (target_id, sender) WHERE rel_type = 'm.thread';

CREATE TABLE threads (
    root_id TEXT PRIMARY KEY,
    room_id TEXT NOT NULL,
    latest INTEGER NOT NULL    -- the position of the thread's newest event
) STRICT, WITHOUT ROWID;
CREATE INDEX threads_by_latest ON threads (room_id, latest);

INSERT INTO relations (position, event_id, room_id, target_id, rel_type, type, sender, ts, key, valid)
SELECT found.position, found.event_id, found.room_id, found.target_id, found.rel_type, found.type, found.sender,
    found.ts, found.key,
    CASE WHEN found.rel_type <> 'm.replace' THEN 1 WHEN found.sender = target.sender AND found.type = target.type
        AND found.state_key IS NULL AND target.state_key IS NULL
        AND (found.type = 'm.room.encrypted' OR found.new_content = 'object')
        AND COALESCE(CASE WHEN json_valid(CAST(target.json AS TEXT)) THEN
            json_extract(CAST(target.json AS TEXT), '$.content."m.relates_to".rel_type') END, '') <> 'm.replace'
        THEN 1 ELSE 0 END
FROM (
    SELECT position, event_id, room_id, type, sender, ts, state_key,
        json_extract(CAST(json AS TEXT), '$.content."m.relates_to".event_id') AS target_id,
        json_extract(CAST(json AS TEXT), '$.content."m.relates_to".rel_type') AS rel_type,
        CASE WHEN json_type(CAST(json AS TEXT), '$.content."m.relates_to".key') = 'text'
            THEN json_extract(CAST(json AS TEXT), '$.content."m.relates_to".key') END AS key,
        json_type(CAST(json AS TEXT), '$.content."m.new_content"') AS new_content
    FROM events WHERE instr(json, CAST('"m.relates_to"' AS BLOB)) > 0
        AND json_type(CAST(json AS TEXT), '$.content."m.relates_to".event_id') = 'text'
        AND json_type(CAST(json AS TEXT), '$.content."m.relates_to".rel_type') = 'text'
) AS found
JOIN events AS target ON target.event_id = found.target_id AND target.room_id = found.room_id
WHERE length(CAST(found.rel_type AS BLOB)) <= 255 AND (found.key IS NULL OR length(CAST(found.key AS BLOB)) <= 255);

INSERT INTO threads (root_id, room_id, latest)
SELECT target_id, room_id, MAX(position) FROM relations WHERE rel_type = 'm.thread' GROUP BY target_id, room_id;

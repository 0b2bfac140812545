-- An event that relates to another one of its room (Client-Server API, "Forming relationships between events").
-- `m.relates_to` stands in the clear of encrypted events as well, so this holds for both. Redacting the event ends it.
CREATE TABLE relations (
    position BIGINT PRIMARY KEY,
    event_id TEXT COLLATE "C" NOT NULL,
    room_id TEXT COLLATE "C" NOT NULL,
    target_id TEXT COLLATE "C" NOT NULL,
    rel_type TEXT COLLATE "C" NOT NULL,
    type TEXT COLLATE "C" NOT NULL,
    sender TEXT COLLATE "C" NOT NULL,
    ts BIGINT NOT NULL,
    key TEXT COLLATE "C",      -- of an annotation
    valid BIGINT NOT NULL      -- 0: an edit that changes nothing, since it breaks a rule for edits
);
CREATE UNIQUE INDEX relations_by_event ON relations (event_id);
CREATE INDEX relations_by_target ON relations (target_id, position);
CREATE INDEX relations_by_kind ON relations (target_id, rel_type, position);
CREATE INDEX relations_annotations ON relations (target_id, sender, type, key) WHERE rel_type = 'm.annotation';
CREATE INDEX relations_edits ON relations (target_id, ts, event_id) WHERE rel_type = 'm.replace';
CREATE INDEX relations_participants ON relations (target_id, sender) WHERE rel_type = 'm.thread';

CREATE TABLE threads (
    root_id TEXT COLLATE "C" PRIMARY KEY,
    room_id TEXT COLLATE "C" NOT NULL,
    latest BIGINT NOT NULL     -- the position of the thread's newest event
);
CREATE INDEX threads_by_latest ON threads (room_id, latest);

INSERT INTO relations (position, event_id, room_id, target_id, rel_type, type, sender, ts, key, valid)
SELECT found.position, found.event_id, found.room_id, found.target_id, found.rel_type, found.type, found.sender,
    found.ts, found.key,
    CASE WHEN found.rel_type <> 'm.replace' THEN 1 WHEN found.sender = target.sender AND found.type = target.type
        AND found.state_key IS NULL AND target.state_key IS NULL
        AND (found.type = 'm.room.encrypted' OR found.new_content = 'object')
        AND COALESCE(CAST(convert_from(target.json, 'UTF8') AS jsonb) #>> '{content,m.relates_to,rel_type}', '')
            <> 'm.replace'
        THEN 1 ELSE 0 END
FROM (
    SELECT position, event_id, room_id, type, sender, ts, state_key,
        relates_to ->> 'event_id' AS target_id, relates_to ->> 'rel_type' AS rel_type,
        CASE WHEN jsonb_typeof(relates_to -> 'key') = 'string' THEN relates_to ->> 'key' END AS key,
        jsonb_typeof(content -> 'm.new_content') AS new_content
    FROM (
        SELECT position, event_id, room_id, type, sender, ts, state_key,
            CAST(convert_from(json, 'UTF8') AS jsonb) -> 'content' AS content,
            CAST(convert_from(json, 'UTF8') AS jsonb) #> '{content,m.relates_to}' AS relates_to
        FROM events WHERE position('"m.relates_to"'::bytea IN json) > 0
    ) AS parsed
    WHERE jsonb_typeof(relates_to -> 'event_id') = 'string' AND jsonb_typeof(relates_to -> 'rel_type') = 'string'
) AS found
JOIN events AS target ON target.event_id = found.target_id AND target.room_id = found.room_id
WHERE octet_length(found.rel_type) <= 255 AND (found.key IS NULL OR octet_length(found.key) <= 255);

INSERT INTO threads (root_id, room_id, latest)
SELECT target_id, room_id, MAX(position) FROM relations WHERE rel_type = 'm.thread' GROUP BY target_id, room_id;

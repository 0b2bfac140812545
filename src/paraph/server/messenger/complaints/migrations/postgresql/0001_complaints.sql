-- What people reported (Client-Server API, "Reporting Content"), for the operator to read. Of an event, a room or a
-- person, exactly what was reported is named; a report of an event names its room and its sender as well.
CREATE TABLE complaints (
    position BIGINT NOT NULL PRIMARY KEY,
    reporter TEXT COLLATE "C" NOT NULL,
    room_id TEXT COLLATE "C",
    event_id TEXT COLLATE "C",
    user_id TEXT COLLATE "C",
    reason TEXT COLLATE "C" NOT NULL,
    ts BIGINT NOT NULL
);

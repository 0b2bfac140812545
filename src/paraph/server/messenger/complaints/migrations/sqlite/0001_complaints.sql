-- What people reported (Client-Server API, "Reporting Content"), for the operator to read. Of an event, a room or a
-- person, exactly what was reported is named; a report of an event names its room and its sender as well.
CREATE TABLE complaints (
    position INTEGER PRIMARY KEY,
    reporter TEXT NOT NULL,
    room_id TEXT,
    event_id TEXT,
    user_id TEXT,
    reason TEXT NOT NULL,
    ts INTEGER NOT NULL
) STRICT;

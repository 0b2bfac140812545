-- What rooms are called besides their ids (Client-Server API, "Room aliases").
CREATE TABLE room_aliases (
    alias TEXT PRIMARY KEY,
    room_id TEXT NOT NULL,
    creator TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX room_aliases_by_room ON room_aliases (room_id, alias);

-- Rooms that anybody may find. Each holds what the list shows of it, as of the newest change; folded is what a search
-- looks through.
CREATE TABLE listed_rooms (
    room_id TEXT PRIMARY KEY,
    members INTEGER NOT NULL,
    kind TEXT NOT NULL,       -- the room's type; '' for the usual one
    folded TEXT NOT NULL,
    entry BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX listed_rooms_by_members ON listed_rooms (members, room_id);

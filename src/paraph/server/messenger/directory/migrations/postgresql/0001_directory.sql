-- What rooms are called besides their ids (Client-Server API, "Room aliases").
CREATE TABLE room_aliases (
    alias TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    room_id TEXT COLLATE "C" NOT NULL,
    creator TEXT COLLATE "C" NOT NULL
);
CREATE INDEX room_aliases_by_room ON room_aliases (room_id, alias);

-- Rooms that anybody may find. Each holds what the list shows of it, as of the newest change; folded is what a search
-- looks through.
CREATE TABLE listed_rooms (
    room_id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    members BIGINT NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,       -- the room's type; '' for the usual one
    folded TEXT COLLATE "C" NOT NULL,
    entry BYTEA NOT NULL
);
CREATE INDEX listed_rooms_by_members ON listed_rooms (members, room_id);

-- Every event of every room, in the server's one order. Room state at position p is derived: the newest event of each
-- (type, state_key) up to p, so there is no second copy that could disagree.
CREATE TABLE events (
    position BIGINT PRIMARY KEY,
    event_id TEXT COLLATE "C" NOT NULL,
    room_id TEXT COLLATE "C" NOT NULL,
    sender TEXT NOT NULL,
    device_id TEXT NOT NULL,  -- '' for what the platform writes itself
    type TEXT COLLATE "C" NOT NULL,
    state_key TEXT COLLATE "C",  -- null for message events
    ts BIGINT NOT NULL,
    nonce TEXT NOT NULL,  -- random; with the other columns and the content it gives the event id again
    txn_id TEXT,  -- as the client chose it, echoed to the sending device
    txn_key BYTEA,  -- hash of device, endpoint and txn_id: the same request never writes twice
    redacted_by TEXT,
    json BYTEA NOT NULL  -- the client event without room_id, serialised once
);
CREATE UNIQUE INDEX events_by_id ON events (event_id);
CREATE INDEX events_by_room ON events (room_id, position);
CREATE UNIQUE INDEX events_by_txn ON events (txn_key) WHERE txn_key IS NOT NULL;
CREATE INDEX events_by_state ON events (room_id, type, state_key, position) WHERE state_key IS NOT NULL;
CREATE INDEX events_state_order ON events (room_id, position) WHERE state_key IS NOT NULL;

-- What each person is to each room now; position is that of the last change (a new display name is none).
CREATE TABLE memberships (
    user_id TEXT COLLATE "C" NOT NULL,
    room_id TEXT COLLATE "C" NOT NULL,
    membership TEXT COLLATE "C" NOT NULL,
    position BIGINT NOT NULL,
    forgotten BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (user_id, room_id)
);
CREATE INDEX memberships_by_room ON memberships (room_id, membership, user_id);

CREATE TABLE receipts (
    room_id TEXT COLLATE "C" NOT NULL,
    user_id TEXT COLLATE "C" NOT NULL,
    type TEXT COLLATE "C" NOT NULL,
    thread_id TEXT COLLATE "C" NOT NULL,  -- '' for the unthreaded receipt
    event_id TEXT NOT NULL,
    ts BIGINT NOT NULL,
    position BIGINT NOT NULL,
    PRIMARY KEY (room_id, user_id, type, thread_id)
);
CREATE INDEX receipts_by_position ON receipts (room_id, position);

CREATE TABLE account_data (
    user_id TEXT COLLATE "C" NOT NULL,
    room_id TEXT COLLATE "C" NOT NULL,  -- '' for global data
    type TEXT COLLATE "C" NOT NULL,
    content BYTEA NOT NULL,
    position BIGINT NOT NULL,
    PRIMARY KEY (user_id, room_id, type)
);
CREATE INDEX account_data_by_position ON account_data (user_id, position);

CREATE TABLE profiles (
    user_id TEXT COLLATE "C" PRIMARY KEY,
    displayname TEXT,
    avatar_url TEXT,
    folded TEXT COLLATE "C" NOT NULL  -- the display name as the directory searches it
);
CREATE INDEX profiles_by_name ON profiles (folded);

CREATE TABLE filters (
    user_id TEXT COLLATE "C" NOT NULL,
    filter_id TEXT COLLATE "C" NOT NULL,
    definition BYTEA NOT NULL,
    PRIMARY KEY (user_id, filter_id)
);

-- Where people want to be told of notifications while no client of theirs is open (Client-Server API, "Pushers").
CREATE TABLE pushers (
    user_id TEXT COLLATE "C" NOT NULL,
    app_id TEXT COLLATE "C" NOT NULL,
    pushkey TEXT COLLATE "C" NOT NULL,
    device_id TEXT COLLATE "C" NOT NULL,           -- whose session set it, and with whose session it ends
    app_display_name TEXT COLLATE "C" NOT NULL,
    device_display_name TEXT COLLATE "C" NOT NULL,
    profile_tag TEXT COLLATE "C" NOT NULL,
    lang TEXT COLLATE "C" NOT NULL,
    data BYTEA NOT NULL,                -- JSON, with the gateway's url
    set_at BIGINT NOT NULL,           -- ms
    since BIGINT NOT NULL,            -- the position behind which it is told of events
    failures BIGINT NOT NULL DEFAULT 0,
    next_attempt BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (user_id, app_id, pushkey)
);
CREATE INDEX pushers_by_key ON pushers (app_id, pushkey);

-- Notifications that a gateway has not taken yet.
CREATE TABLE pushes (
    user_id TEXT COLLATE "C" NOT NULL,
    app_id TEXT COLLATE "C" NOT NULL,
    pushkey TEXT COLLATE "C" NOT NULL,
    position BIGINT NOT NULL,         -- of the event
    tweaks BYTEA NOT NULL,              -- JSON
    PRIMARY KEY (user_id, app_id, pushkey, position)
);

-- Up to where events were held against the rules of people with pushers; one row.
CREATE TABLE push_progress (
    one BIGINT PRIMARY KEY,
    upto BIGINT NOT NULL
);

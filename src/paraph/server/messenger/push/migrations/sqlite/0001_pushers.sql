-- Where people want to be told of notifications while no client of theirs is open (Client-Server API, "Pushers").
CREATE TABLE pushers (
    user_id TEXT NOT NULL,
    app_id TEXT NOT NULL,
    pushkey TEXT NOT NULL,
    device_id TEXT NOT NULL,           -- whose session set it, and with whose session it ends
    app_display_name TEXT NOT NULL,
    device_display_name TEXT NOT NULL,
    profile_tag TEXT NOT NULL,
    lang TEXT NOT NULL,
    data BLOB NOT NULL,                -- JSON, with the gateway's url
    set_at INTEGER NOT NULL,           -- ms
    since INTEGER NOT NULL,            -- the position behind which it is told of events
    failures INTEGER NOT NULL DEFAULT 0,
    next_attempt INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (user_id, app_id, pushkey)
) STRICT, WITHOUT ROWID;
CREATE INDEX pushers_by_key ON pushers (app_id, pushkey);

-- Notifications that a gateway has not taken yet.
CREATE TABLE pushes (
    user_id TEXT NOT NULL,
    app_id TEXT NOT NULL,
    pushkey TEXT NOT NULL,
    position INTEGER NOT NULL,         -- of the event
    tweaks BLOB NOT NULL,              -- JSON
    PRIMARY KEY (user_id, app_id, pushkey, position)
) STRICT, WITHOUT ROWID;

-- Up to where events were held against the rules of people with pushers; one row.
CREATE TABLE push_progress (
    one INTEGER PRIMARY KEY,
    upto INTEGER NOT NULL
) STRICT;

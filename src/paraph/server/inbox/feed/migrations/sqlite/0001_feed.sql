-- What a partner's stream of changes consists of: one row for each grant that covers it. position is that of the thing
-- itself in the server's one order; about is JSON, by kind. Whether a partner gets it is decided when it reads.
CREATE TABLE feed_rows (
    partner TEXT NOT NULL,
    position INTEGER NOT NULL,
    grant_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    person TEXT NOT NULL,
    room_id TEXT,
    about TEXT,
    PRIMARY KEY (partner, position, grant_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX feed_rows_of_grant ON feed_rows (grant_id, position);

-- When each grant that has not ended otherwise runs out by itself, so that the stream can say so.
CREATE TABLE feed_running (
    grant_id TEXT NOT NULL PRIMARY KEY,
    partner TEXT NOT NULL,
    person TEXT NOT NULL,
    until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX feed_running_out ON feed_running (partner, until);

-- The key behind every opaque string, the same for all processes.
CREATE TABLE feed_secrets (
    name TEXT NOT NULL PRIMARY KEY,
    value BLOB NOT NULL
) STRICT, WITHOUT ROWID;

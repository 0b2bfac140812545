-- A person's backups, numbered from 1 and never again under the same number. `keys` counts those in it, `size` the
-- characters of their ciphertext, `changes` how often they changed. A deleted one stays as a number, with nothing in it.
CREATE TABLE backup_versions (
    user_id TEXT COLLATE "C" NOT NULL,
    version BIGINT NOT NULL,
    algorithm TEXT NOT NULL,
    auth_data TEXT NOT NULL,
    keys BIGINT NOT NULL DEFAULT 0,
    size BIGINT NOT NULL DEFAULT 0,
    changes BIGINT NOT NULL DEFAULT 0,
    deleted BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (user_id, version)
);

-- One message key each: what tells the better of two apart, and the ciphertext.
CREATE TABLE backup_keys (
    user_id TEXT COLLATE "C" NOT NULL,
    version BIGINT NOT NULL,
    room_id TEXT COLLATE "C" NOT NULL,
    session_id TEXT COLLATE "C" NOT NULL,
    first_message_index BIGINT NOT NULL,
    forwarded_count BIGINT NOT NULL,
    is_verified BIGINT NOT NULL,
    session_data TEXT NOT NULL,
    PRIMARY KEY (user_id, version, room_id, session_id)
);

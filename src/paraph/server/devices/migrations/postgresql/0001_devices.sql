-- People's devices. device_keys is canonical JSON without `unsigned`, with the owner's signatures as uploaded.
CREATE TABLE devices (
    user_id TEXT COLLATE "C" NOT NULL,
    device_id TEXT COLLATE "C" NOT NULL,
    display_name TEXT,
    created BIGINT NOT NULL,
    device_keys TEXT,
    PRIMARY KEY (user_id, device_id)
);

-- One-time keys of people's and partners' devices, oldest id first. A claimed key stays for a while, so that a late
-- second upload of it is recognised instead of being handed out again.
CREATE TABLE devices_one_time_keys (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id TEXT COLLATE "C" NOT NULL,
    device_id TEXT COLLATE "C" NOT NULL,
    algorithm TEXT COLLATE "C" NOT NULL,
    key_id TEXT COLLATE "C" NOT NULL,
    claimed BIGINT NOT NULL DEFAULT 0 CHECK (claimed IN (0, 1)),
    key TEXT NOT NULL,
    UNIQUE (user_id, device_id, algorithm, key_id)
);

CREATE INDEX devices_one_time_keys_left ON devices_one_time_keys (user_id, device_id, algorithm) WHERE claimed = 0;

-- What is handed out, again and again, when no one-time key is left.
CREATE TABLE devices_fallback_keys (
    user_id TEXT COLLATE "C" NOT NULL,
    device_id TEXT COLLATE "C" NOT NULL,
    algorithm TEXT COLLATE "C" NOT NULL,
    key_id TEXT NOT NULL,
    used BIGINT NOT NULL DEFAULT 0 CHECK (used IN (0, 1)),
    key TEXT NOT NULL,
    PRIMARY KEY (user_id, device_id, algorithm)
);

-- Master, self-signing and user-signing keys; document is canonical JSON with the owner's signatures as uploaded.
CREATE TABLE devices_cross_signing (
    user_id TEXT COLLATE "C" NOT NULL,
    usage TEXT COLLATE "C" NOT NULL CHECK (usage IN ('master', 'self_signing', 'user_signing')),
    public_key TEXT NOT NULL,
    document TEXT NOT NULL,
    PRIMARY KEY (user_id, usage)
);

-- Verified signatures that came later. target_key_id is a device id or a master key; signer_key_id is `ed25519:…`.
CREATE TABLE devices_signatures (
    target_user_id TEXT COLLATE "C" NOT NULL,
    target_key_id TEXT COLLATE "C" NOT NULL,
    signer_user_id TEXT COLLATE "C" NOT NULL,
    signer_key_id TEXT COLLATE "C" NOT NULL,
    signature TEXT NOT NULL,
    PRIMARY KEY (target_user_id, target_key_id, signer_user_id, signer_key_id)
);

CREATE INDEX devices_signatures_by_signer ON devices_signatures (signer_user_id, signer_key_id);

-- Messages waiting for a device, of people and of partners, until a later sync acknowledges them.
CREATE TABLE devices_queue (
    user_id TEXT COLLATE "C" NOT NULL,
    device_id TEXT COLLATE "C" NOT NULL,
    position BIGINT NOT NULL,
    sender TEXT COLLATE "C" NOT NULL,
    sender_device TEXT,
    type TEXT NOT NULL,
    size BIGINT NOT NULL,
    content TEXT NOT NULL,
    PRIMARY KEY (user_id, device_id, position)
);

CREATE INDEX devices_queue_by_sender ON devices_queue (user_id, device_id, sender, size);

-- Which to-device requests were taken, so that a repeated one does nothing.
CREATE TABLE devices_transactions (
    user_id TEXT COLLATE "C" NOT NULL,
    device_id TEXT COLLATE "C" NOT NULL,
    type TEXT COLLATE "C" NOT NULL,
    txn_id TEXT COLLATE "C" NOT NULL,
    created BIGINT NOT NULL,
    PRIMARY KEY (user_id, device_id, type, txn_id)
);

CREATE INDEX devices_transactions_by_age ON devices_transactions (created);

-- When a person's devices or identity last changed, for all who share a room with them.
CREATE TABLE devices_changes (
    user_id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    position BIGINT NOT NULL
);

CREATE INDEX devices_changes_by_position ON devices_changes (position);

-- What one person alone is to learn of another: look again (0), or no longer of interest (1).
CREATE TABLE devices_notices (
    user_id TEXT COLLATE "C" NOT NULL,
    other TEXT COLLATE "C" NOT NULL,
    parted BIGINT NOT NULL CHECK (parted IN (0, 1)),
    position BIGINT NOT NULL,
    PRIMARY KEY (user_id, other)
);

CREATE INDEX devices_notices_by_position ON devices_notices (user_id, position);

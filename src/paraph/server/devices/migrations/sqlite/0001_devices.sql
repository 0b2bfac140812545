-- People's devices. device_keys is canonical JSON without `unsigned`, with the owner's signatures as uploaded.
CREATE TABLE devices (
    user_id TEXT NOT NULL,
    device_id TEXT NOT NULL,
    display_name TEXT,
    created INTEGER NOT NULL,
    device_keys TEXT,
    PRIMARY KEY (user_id, device_id)
) STRICT, WITHOUT ROWID;

-- One-time keys of people's and partners' devices, oldest id first. A claimed key stays for a while, so that a late
-- second upload of it is recognised instead of being handed out again.
CREATE TABLE devices_one_time_keys (
    id INTEGER NOT NULL PRIMARY KEY,
    user_id TEXT NOT NULL,
    device_id TEXT NOT NULL,
    algorithm TEXT NOT NULL,
    key_id TEXT NOT NULL,
    claimed INTEGER NOT NULL DEFAULT 0 CHECK (claimed IN (0, 1)),
    key TEXT NOT NULL,
    UNIQUE (user_id, device_id, algorithm, key_id)
) STRICT;

CREATE INDEX devices_one_time_keys_left ON devices_one_time_keys (user_id, device_id, algorithm) WHERE claimed = 0;

-- What is handed out, again and again, when no one-time key is left.
CREATE TABLE devices_fallback_keys (
    user_id TEXT NOT NULL,
    device_id TEXT NOT NULL,
    algorithm TEXT NOT NULL,
    key_id TEXT NOT NULL,
    used INTEGER NOT NULL DEFAULT 0 CHECK (used IN (0, 1)),
    key TEXT NOT NULL,
    PRIMARY KEY (user_id, device_id, algorithm)
) STRICT, WITHOUT ROWID;

-- Master, self-signing and user-signing keys; document is canonical JSON with the owner's signatures as uploaded.
CREATE TABLE devices_cross_signing (
    user_id TEXT NOT NULL,
    usage TEXT NOT NULL CHECK (usage IN ('master', 'self_signing', 'user_signing')),
    public_key TEXT NOT NULL,
    document TEXT NOT NULL,
    PRIMARY KEY (user_id, usage)
) STRICT, WITHOUT ROWID;

-- Verified signatures that came later. target_key_id is a device id or a master key; signer_key_id is `ed25519:…`.
CREATE TABLE devices_signatures (
    target_user_id TEXT NOT NULL,
    target_key_id TEXT NOT NULL,
    signer_user_id TEXT NOT NULL,
    signer_key_id TEXT NOT NULL,
    signature TEXT NOT NULL,
    PRIMARY KEY (target_user_id, target_key_id, signer_user_id, signer_key_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX devices_signatures_by_signer ON devices_signatures (signer_user_id, signer_key_id);

-- Messages waiting for a device, of people and of partners, until a later sync acknowledges them.
CREATE TABLE devices_queue (
    user_id TEXT NOT NULL,
    device_id TEXT NOT NULL,
    position INTEGER NOT NULL,
    sender TEXT NOT NULL,
    sender_device TEXT,
    type TEXT NOT NULL,
    size INTEGER NOT NULL,
    content TEXT NOT NULL,
    PRIMARY KEY (user_id, device_id, position)
) STRICT, WITHOUT ROWID;

CREATE INDEX devices_queue_by_sender ON devices_queue (user_id, device_id, sender, size);

-- Which to-device requests were taken, so that a repeated one does nothing.
CREATE TABLE devices_transactions (
    user_id TEXT NOT NULL,
    device_id TEXT NOT NULL,
    type TEXT NOT NULL,
    txn_id TEXT NOT NULL,
    created INTEGER NOT NULL,
    PRIMARY KEY (user_id, device_id, type, txn_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX devices_transactions_by_age ON devices_transactions (created);

-- When a person's devices or identity last changed, for all who share a room with them.
CREATE TABLE devices_changes (
    user_id TEXT NOT NULL PRIMARY KEY,
    position INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX devices_changes_by_position ON devices_changes (position);

-- What one person alone is to learn of another: look again (0), or no longer of interest (1).
CREATE TABLE devices_notices (
    user_id TEXT NOT NULL,
    other TEXT NOT NULL,
    parted INTEGER NOT NULL CHECK (parted IN (0, 1)),
    position INTEGER NOT NULL,
    PRIMARY KEY (user_id, other)
) STRICT, WITHOUT ROWID;

CREATE INDEX devices_notices_by_position ON devices_notices (user_id, position);

-- A partner's proposals. The document, with its ciphertext, is kept only while the draft is open; `status` is queued,
-- sealed, declined, expired or withdrawn. A claim is a lease: claimed_by counts until claimed_until.
CREATE TABLE inbox_drafts (
    draft_id TEXT NOT NULL PRIMARY KEY,
    partner TEXT NOT NULL,
    person TEXT NOT NULL,
    grant_id TEXT NOT NULL,
    hash TEXT NOT NULL,
    document TEXT,
    created INTEGER NOT NULL,
    expires INTEGER NOT NULL,
    posted_seq INTEGER NOT NULL,
    reached INTEGER NOT NULL DEFAULT 0,
    status TEXT NOT NULL DEFAULT 'queued',
    claimed_by TEXT,
    claimed_until INTEGER,
    settled_seq INTEGER,
    room_id TEXT,
    event_id TEXT,
    reason TEXT
) STRICT, WITHOUT ROWID;

CREATE INDEX inbox_drafts_of_person ON inbox_drafts (person, posted_seq) WHERE status = 'queued';
CREATE INDEX inbox_drafts_under_grant ON inbox_drafts (grant_id, posted_seq) WHERE status = 'queued';
CREATE INDEX inbox_drafts_due ON inbox_drafts (expires);

-- How many one-time keys of a device were claimed under a grant on a day (days since 1970, UTC).
CREATE TABLE inbox_key_claims (
    grant_id TEXT NOT NULL,
    device_id TEXT NOT NULL,
    day INTEGER NOT NULL,
    claims INTEGER NOT NULL,
    PRIMARY KEY (grant_id, device_id, day)
) STRICT, WITHOUT ROWID;

-- seq is the ledger entry's.
CREATE TABLE inbox_deletes (
    partner TEXT NOT NULL,
    room_id TEXT NOT NULL,
    event_id TEXT NOT NULL,
    grant_id TEXT NOT NULL,
    redaction_id TEXT NOT NULL,
    seq INTEGER NOT NULL,
    PRIMARY KEY (partner, event_id)
) STRICT, WITHOUT ROWID;

-- A partner's proposals. The document, with its ciphertext, is kept only while the draft is open; `status` is queued,
-- sealed, declined, expired or withdrawn. A claim is a lease: claimed_by counts until claimed_until.
CREATE TABLE inbox_drafts (
    draft_id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    partner TEXT COLLATE "C" NOT NULL,
    person TEXT COLLATE "C" NOT NULL,
    grant_id TEXT COLLATE "C" NOT NULL,
    hash TEXT COLLATE "C" NOT NULL,
    document TEXT COLLATE "C",
    created BIGINT NOT NULL,
    expires BIGINT NOT NULL,
    posted_seq BIGINT NOT NULL,
    reached BIGINT NOT NULL DEFAULT 0,
    status TEXT COLLATE "C" NOT NULL DEFAULT 'queued',
    claimed_by TEXT COLLATE "C",
    claimed_until BIGINT,
    settled_seq BIGINT,
    room_id TEXT COLLATE "C",
    event_id TEXT COLLATE "C",
    reason TEXT COLLATE "C"
);

CREATE INDEX inbox_drafts_of_person ON inbox_drafts (person, posted_seq) WHERE status = 'queued';
CREATE INDEX inbox_drafts_under_grant ON inbox_drafts (grant_id, posted_seq) WHERE status = 'queued';
CREATE INDEX inbox_drafts_due ON inbox_drafts (expires);

-- How many one-time keys of a device were claimed under a grant on a day (days since 1970, UTC).
CREATE TABLE inbox_key_claims (
    grant_id TEXT COLLATE "C" NOT NULL,
    device_id TEXT COLLATE "C" NOT NULL,
    day BIGINT NOT NULL,
    claims BIGINT NOT NULL,
    PRIMARY KEY (grant_id, device_id, day)
);

-- seq is the ledger entry's.
CREATE TABLE inbox_deletes (
    partner TEXT COLLATE "C" NOT NULL,
    room_id TEXT COLLATE "C" NOT NULL,
    event_id TEXT COLLATE "C" NOT NULL,
    grant_id TEXT COLLATE "C" NOT NULL,
    redaction_id TEXT COLLATE "C" NOT NULL,
    seq BIGINT NOT NULL,
    PRIMARY KEY (partner, event_id)
);

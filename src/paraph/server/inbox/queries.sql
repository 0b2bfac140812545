-- name: add_draft!
INSERT INTO inbox_drafts (draft_id, partner, person, grant_id, hash, document, created, expires, posted_seq)
VALUES (:draft_id, :partner, :person, :grant_id, :hash, :document, :created, :expires, :posted_seq);

-- name: draft
SELECT draft_id, partner, person, grant_id, hash, document, created, expires, posted_seq, reached, status, claimed_by,
    claimed_until, settled_seq, room_id, event_id, reason
FROM inbox_drafts WHERE draft_id = :draft_id;

-- name: grants_with_drafts
SELECT DISTINCT grant_id FROM inbox_drafts WHERE person = :person AND status = 'queued' AND expires > :at;

-- name: oldest_drafts_under
SELECT draft_id, partner, person, grant_id, hash, document, created, expires, posted_seq, reached, status, claimed_by,
    claimed_until, settled_seq, room_id, event_id, reason
FROM inbox_drafts WHERE grant_id = :grant_id AND status = 'queued' AND expires > :at ORDER BY posted_seq LIMIT :limit;

-- name: open_drafts_under
SELECT draft_id FROM inbox_drafts WHERE grant_id = :grant_id AND status = 'queued' ORDER BY posted_seq;

-- name: count_open_drafts_under
SELECT COUNT(*) FROM inbox_drafts WHERE grant_id = :grant_id AND status = 'queued' AND expires > :at;

-- name: due_drafts
SELECT draft_id FROM inbox_drafts WHERE status = 'queued' AND expires <= :at ORDER BY expires LIMIT :limit;

-- name: reach_draft!
UPDATE inbox_drafts SET reached = 1 WHERE draft_id = :draft_id;

-- name: claim_draft!
UPDATE inbox_drafts SET claimed_by = :device_id, claimed_until = :until
WHERE draft_id = :draft_id AND status = 'queued'
    AND (claimed_by IS NULL OR claimed_by = :device_id OR claimed_until <= :at);

-- name: settle_draft!
UPDATE inbox_drafts
SET status = :status, document = NULL, claimed_by = NULL, claimed_until = NULL, settled_seq = :seq,
    room_id = :room_id, event_id = :event_id, reason = :reason
WHERE draft_id = :draft_id AND status = 'queued';

-- name: old_draft
SELECT draft_id FROM inbox_drafts WHERE expires <= :before AND status <> 'queued' LIMIT 1;

-- name: forget_drafts!
DELETE FROM inbox_drafts WHERE status <> 'queued' AND expires <= :before;

-- name: count_key_claim!
INSERT INTO inbox_key_claims (grant_id, device_id, day, claims) VALUES (:grant_id, :device_id, :day, 1)
ON CONFLICT (grant_id, device_id, day) DO UPDATE SET claims = inbox_key_claims.claims + 1
WHERE inbox_key_claims.claims < :most;

-- name: forget_key_claims!
DELETE FROM inbox_key_claims WHERE grant_id = :grant_id AND device_id = :device_id AND day < :day;

-- name: add_delete!
INSERT INTO inbox_deletes (partner, room_id, event_id, grant_id, redaction_id, seq)
VALUES (:partner, :room_id, :event_id, :grant_id, :redaction_id, :seq);

-- name: delete
SELECT room_id, grant_id, redaction_id, seq FROM inbox_deletes WHERE partner = :partner AND event_id = :event_id;

-- name: disposal
SELECT hash, opened_before, seq FROM inbox_disposals WHERE grant_id = :grant_id;

-- name: put_disposal!
INSERT INTO inbox_disposals (grant_id, hash, opened_before, seq)
VALUES (:grant_id, :hash, :opened_before, :seq)
ON CONFLICT (grant_id) DO UPDATE
SET hash = excluded.hash, opened_before = excluded.opened_before, seq = excluded.seq;

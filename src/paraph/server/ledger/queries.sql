-- name: log_key
SELECT k FROM ledger_log_keys WHERE person = :person;

-- name: add_log_key!
INSERT INTO ledger_log_keys (person, k) VALUES (:person, :k) ON CONFLICT (person) DO NOTHING;

-- name: add_entry!
INSERT INTO ledger_entries (seq, person, week, label, o1, o2, entry)
VALUES (:seq, :person, :week, :label, :o1, :o2, :entry);

-- name: entry
SELECT seq, week, label, o1, o2, entry FROM ledger_entries WHERE seq = :seq;

-- name: entries_of
SELECT seq, week, label, o1, o2, entry FROM ledger_entries
WHERE person = :person AND seq >= :from_seq ORDER BY seq LIMIT :limit;

-- name: add_record!
INSERT INTO ledger_records (seq, partner, kind, record) VALUES (:seq, :partner, :kind, :record);

-- name: records_of
SELECT record FROM ledger_records WHERE partner = :partner AND kind = :kind ORDER BY seq;

-- name: newest_record
SELECT record FROM ledger_records WHERE partner = :partner AND kind = :kind ORDER BY seq DESC LIMIT 1;

-- name: add_leaf!
INSERT INTO ledger_outbox (leaf_hash, position, leaf, ts) VALUES (:leaf_hash, :position, :leaf, :ts)
ON CONFLICT (leaf_hash) DO NOTHING;

-- name: unsequenced
-- By what is not sequenced yet, never by "after the last one seen": commits need not come in order of position.
SELECT leaf FROM ledger_outbox WHERE leaf_index IS NULL ORDER BY position LIMIT :limit;

-- name: count_unsequenced
SELECT count(*) FROM ledger_outbox WHERE leaf_index IS NULL;

-- name: mark_leaf!
UPDATE ledger_outbox SET leaf_index = :leaf_index WHERE leaf_hash = :leaf_hash AND leaf_index IS NULL;

-- name: leaf_index
SELECT leaf_index FROM ledger_outbox WHERE leaf_hash = :leaf_hash;

-- name: add_identity!
INSERT INTO ledger_identity (one, vkey) VALUES (1, :vkey) ON CONFLICT (one) DO NOTHING;

-- name: identity
SELECT vkey FROM ledger_identity;

-- name: progress
SELECT size FROM ledger_progress;

-- name: set_progress!
UPDATE ledger_progress SET size = :size, time = :time;

-- name: freshness
SELECT time, (SELECT ts FROM ledger_outbox WHERE leaf_index IS NULL ORDER BY position LIMIT 1) FROM ledger_progress;

-- name: records_from
-- The nth record of a kind is found by its place: agreements count from 1.
SELECT record FROM ledger_records WHERE partner = :partner AND kind = :kind ORDER BY seq LIMIT :limit OFFSET :skip;

-- name: records_before
SELECT seq, record FROM ledger_records
WHERE partner = :partner AND kind = :kind AND seq < :before ORDER BY seq DESC LIMIT :limit;

-- name: all_records_before
SELECT seq, record FROM ledger_records WHERE seq < :before ORDER BY seq DESC LIMIT :limit;

-- name: kinds_since
SELECT kind, count(*), max(seq) FROM ledger_records WHERE seq > :after GROUP BY kind;

-- name: waiting_kinds
SELECT kind, count(*) FROM ledger_outbox JOIN ledger_records ON seq = position WHERE leaf_index IS NULL GROUP BY kind;

-- name: leaf_at
SELECT leaf, leaf_index, position FROM ledger_outbox WHERE leaf_hash = :leaf_hash;

-- name: outbox_page
SELECT leaf_hash, leaf, leaf_index FROM ledger_outbox WHERE leaf_hash > :after ORDER BY leaf_hash LIMIT :limit;

-- name: entries_page
SELECT seq, week, label, o1, o2, entry, person, (SELECT k FROM ledger_log_keys WHERE person = ledger_entries.person)
FROM ledger_entries WHERE seq > :after ORDER BY seq LIMIT :limit;

-- name: records_page
SELECT seq, record FROM ledger_records WHERE seq > :after ORDER BY seq LIMIT :limit;

-- name: known_identity
SELECT vkey FROM ledger_identity;

-- name: opened_leaf
SELECT o1, o2, entry FROM ledger_outbox JOIN ledger_entries ON seq = position WHERE leaf_hash = :leaf_hash;

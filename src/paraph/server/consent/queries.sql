-- name: partner
SELECT slug, name, master_key, client_jwk FROM consent_partners WHERE slug = :slug;

-- name: partners
SELECT slug, name, master_key, client_jwk FROM consent_partners ORDER BY slug;

-- name: put_partner!
INSERT INTO consent_partners (slug, name, master_key, client_jwk) VALUES (:slug, :name, :master_key, :client_jwk)
ON CONFLICT (slug) DO UPDATE SET name = excluded.name, client_jwk = excluded.client_jwk;

-- name: agreements
SELECT document, ended FROM consent_agreements WHERE partner = :partner ORDER BY version;

-- name: add_agreement!
INSERT INTO consent_agreements (partner, version, hash, document)
VALUES (:partner, :version, :hash, :document);

-- name: end_agreements!
UPDATE consent_agreements SET ended = :ended WHERE partner = :partner AND version <= :version AND ended IS NULL;

-- name: partner_device
SELECT document, hash, ended FROM consent_partner_devices WHERE partner = :partner AND device_id = :device_id;

-- name: live_partner_devices
SELECT device_id, document FROM consent_partner_devices
WHERE partner = :partner AND ended IS NULL AND created <= :at AND expires > :at ORDER BY device_id;

-- name: add_partner_device!
INSERT INTO consent_partner_devices (partner, device_id, hash, document, created, expires)
VALUES (:partner, :device_id, :hash, :document, :created, :expires);

-- name: end_partner_device!
UPDATE consent_partner_devices SET ended = :ended
WHERE partner = :partner AND device_id = :device_id AND ended IS NULL;

-- name: enrolment
SELECT hash, document, seq FROM consent_enrolments WHERE person = :person AND device_id = :device_id;

-- name: enrolments
SELECT device_id, document FROM consent_enrolments WHERE person = :person ORDER BY device_id;

-- name: enrolled_ids
SELECT device_id FROM consent_enrolments WHERE person = :person;

-- name: put_enrolment!
INSERT INTO consent_enrolments (person, device_id, hash, document, seq)
VALUES (:person, :device_id, :hash, :document, :seq)
ON CONFLICT (person, device_id) DO UPDATE
SET hash = excluded.hash, document = excluded.document, seq = excluded.seq;

-- name: version
SELECT version FROM consent_versions WHERE person = :person;

-- name: people_with_versions
SELECT person FROM consent_versions;

-- name: bump_version!
INSERT INTO consent_versions (person, version) VALUES (:person, 1)
ON CONFLICT (person) DO UPDATE SET version = consent_versions.version + 1;

-- name: version_for_device
SELECT v.version FROM consent_versions AS v
JOIN consent_enrolments AS e ON e.person = v.person AND e.device_id = :device_id WHERE v.person = :person;

-- name: grant
SELECT grant_id, hash, document, chain, seq, version, revocation, revocation_seq, revocation_version, ended
FROM consent_grants WHERE grant_id = :grant_id;

-- name: open_grant
SELECT grant_id FROM consent_grants
WHERE grant_id = :grant_id AND revocation IS NULL AND ended IS NULL AND until > :at;

-- name: grants_of
SELECT grant_id, hash, document, chain, seq, version, revocation, revocation_seq, revocation_version, ended
FROM consent_grants WHERE person = :person ORDER BY seq;

-- name: count_open_grants_of
SELECT count(*) FROM consent_grants
WHERE person = :person AND revocation IS NULL AND ended IS NULL AND until > :at;

-- name: open_grants_of
SELECT grant_id, hash, document, chain, seq, version, revocation, revocation_seq, revocation_version, ended
FROM consent_grants
WHERE person = :person AND revocation IS NULL AND ended IS NULL AND until > :at ORDER BY seq;

-- name: open_grants_between
SELECT grant_id, hash, document, chain, seq, version, revocation, revocation_seq, revocation_version, ended
FROM consent_grants
WHERE person = :person AND partner = :partner AND revocation IS NULL AND ended IS NULL AND until > :at ORDER BY seq;

-- name: open_grants_to
SELECT grant_id, hash, document, chain, seq, version, revocation, revocation_seq, revocation_version, ended
FROM consent_grants
WHERE partner = :partner AND revocation IS NULL AND ended IS NULL AND until > :at ORDER BY person, seq;

-- name: open_grantors_to
SELECT DISTINCT person FROM consent_grants
WHERE partner = :partner AND revocation IS NULL AND ended IS NULL AND until > :at ORDER BY person;

-- name: add_grant!
INSERT INTO consent_grants
    (grant_id, person, partner, agreement_version, until, hash, document, chain, seq, version)
VALUES (:grant_id, :person, :partner, :agreement_version, :until, :hash, :document, :chain, :seq, :version);

-- name: revoke_grant!
UPDATE consent_grants
SET revocation = :revocation, revocation_seq = :seq, revocation_version = :version
WHERE grant_id = :grant_id AND revocation IS NULL;

-- name: end_grants!
UPDATE consent_grants SET ended = :ended
WHERE partner = :partner AND agreement_version <= :version AND revocation IS NULL AND ended IS NULL;

-- name: amendments
SELECT hash, document, chain, seq, version FROM consent_amendments WHERE grant_id = :grant_id ORDER BY seq;

-- name: add_amendment!
INSERT INTO consent_amendments (grant_id, seq, hash, document, chain, version)
VALUES (:grant_id, :seq, :hash, :document, :chain, :version);

-- name: key_share
SELECT seqs FROM consent_key_shares
WHERE person = :person AND device_id = :device_id AND grant_id = :grant_id AND txn_id = :txn_id;

-- name: add_key_share!
INSERT INTO consent_key_shares (person, device_id, grant_id, txn_id, seqs)
VALUES (:person, :device_id, :grant_id, :txn_id, :seqs);

-- name: room_notice
SELECT content FROM consent_room_notices WHERE person = :person AND room_id = :room_id;

-- name: rooms_with_notices
SELECT room_id FROM consent_room_notices WHERE person = :person;

-- name: put_room_notice!
INSERT INTO consent_room_notices (person, room_id, content) VALUES (:person, :room_id, :content)
ON CONFLICT (person, room_id) DO UPDATE SET content = excluded.content;

-- name: add_token!
INSERT INTO consent_tokens (token_hash, kind, partner, grant_id, consent_id, jkt, issued, expires)
VALUES (:token_hash, :kind, :partner, :grant_id, :consent_id, :jkt, :issued, :expires);

-- name: token
SELECT kind, partner, grant_id, consent_id, jkt, issued, expires FROM consent_tokens WHERE token_hash = :token_hash;

-- name: drop_token!
DELETE FROM consent_tokens WHERE token_hash = :token_hash AND partner = :partner;

-- name: drop_tokens_of_consent!
DELETE FROM consent_tokens WHERE consent_id = :consent_id;

-- name: drop_tokens!
DELETE FROM consent_tokens WHERE expires <= :at;

-- name: add_assertion!
INSERT INTO consent_assertions (partner, jti, expires) VALUES (:partner, :jti, :expires)
ON CONFLICT (partner, jti) DO NOTHING;

-- name: drop_assertions!
DELETE FROM consent_assertions WHERE expires <= :at;

-- name: add_secret!
INSERT INTO consent_secrets (name, value) VALUES (:name, :value) ON CONFLICT (name) DO NOTHING;

-- name: secret
SELECT value FROM consent_secrets WHERE name = :name;

-- name: add_proof!
INSERT INTO consent_proofs (proof_hash, expires) VALUES (:proof_hash, :expires) ON CONFLICT (proof_hash) DO NOTHING;

-- name: drop_proofs!
DELETE FROM consent_proofs WHERE expires <= :at;

-- name: redirect_uris
SELECT uri FROM consent_redirect_uris WHERE partner = :partner ORDER BY uri;

-- name: drop_redirect_uris!
DELETE FROM consent_redirect_uris WHERE partner = :partner;

-- name: add_redirect_uri!
INSERT INTO consent_redirect_uris (partner, uri) VALUES (:partner, :uri);

-- name: add_request!
INSERT INTO consent_requests (id, partner, redirect_uri, state, code_challenge, jkt, details, expires, status)
VALUES (:id, :partner, :redirect_uri, :state, :code_challenge, :jkt, :details, :expires, 'pushed');

-- name: request
SELECT id, partner, redirect_uri, state, code_challenge, jkt, details, expires, status, person, grant_id, code_hash,
    code_expires, redeemed
FROM consent_requests WHERE id = :id;

-- name: request_by_code
SELECT id, partner, redirect_uri, state, code_challenge, jkt, details, expires, status, person, grant_id, code_hash,
    code_expires, redeemed
FROM consent_requests WHERE code_hash = :code_hash;

-- name: open_request!
UPDATE consent_requests SET status = 'open', expires = :expires WHERE id = :id AND status = 'pushed';

-- name: claim_request!
UPDATE consent_requests SET person = :person WHERE id = :id AND person IS NULL;

-- name: answer_request!
UPDATE consent_requests SET status = :status, grant_id = :grant_id, expires = :expires
WHERE id = :id AND status = 'open';

-- name: put_code!
UPDATE consent_requests SET code_hash = :code_hash, code_expires = :code_expires
WHERE id = :id AND redeemed IS NULL;

-- name: redeem!
UPDATE consent_requests SET redeemed = :redeemed, expires = :expires WHERE id = :id AND redeemed IS NULL;

-- name: drop_requests!
DELETE FROM consent_requests WHERE expires <= :at;

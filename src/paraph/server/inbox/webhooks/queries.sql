-- name: put_webhook!
INSERT INTO webhooks (webhook_id, partner, url, created, told) VALUES (:webhook_id, :partner, :url, :created, :told)
ON CONFLICT (partner, url) DO UPDATE SET told = excluded.told, next_attempt = 0, failures = 0, failing_since = NULL,
    disabled = NULL;

-- name: webhooks_of
SELECT webhook_id, partner, url, created, told, next_attempt, failures, failing_since, disabled
FROM webhooks WHERE partner = :partner ORDER BY created, webhook_id;

-- name: active_webhooks
SELECT webhook_id, partner, url, created, told, next_attempt, failures, failing_since, disabled
FROM webhooks WHERE disabled IS NULL ORDER BY webhook_id;

-- name: remove_webhook!
DELETE FROM webhooks WHERE partner = :partner AND webhook_id = :webhook_id;

-- name: told_webhook!
UPDATE webhooks SET told = :told, next_attempt = :next_attempt, failures = 0, failing_since = NULL
WHERE webhook_id = :webhook_id AND told = :before AND disabled IS NULL;

-- name: failed_webhook!
UPDATE webhooks
SET failures = failures + 1, next_attempt = :next_attempt, failing_since = COALESCE(failing_since, :at),
    disabled = :disabled
WHERE webhook_id = :webhook_id AND told = :before AND disabled IS NULL;

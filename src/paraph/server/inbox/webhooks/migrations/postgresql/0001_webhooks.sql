-- Endpoints of partners. told: up to where in its partner's stream the endpoint was told; so what is new is told even
-- after a crash, and of many changes in a row once. next_attempt and failing_since are in ms; failures are those in a
-- row. disabled: why nothing is sent any more.
CREATE TABLE webhooks (
    webhook_id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    partner TEXT COLLATE "C" NOT NULL,
    url TEXT COLLATE "C" NOT NULL,
    created BIGINT NOT NULL,
    told BIGINT NOT NULL,
    next_attempt BIGINT NOT NULL DEFAULT 0,
    failures BIGINT NOT NULL DEFAULT 0,
    failing_since BIGINT,
    disabled TEXT
);

CREATE UNIQUE INDEX webhooks_of_partner ON webhooks (partner, url);

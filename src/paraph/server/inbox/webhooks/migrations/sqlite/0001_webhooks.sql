-- Endpoints of partners. told: up to where in its partner's stream the endpoint was told; so what is new is told even
-- after a crash, and of many changes in a row once. next_attempt and failing_since are in ms; failures are those in a
-- row. disabled: why nothing is sent any more.
CREATE TABLE webhooks (
    webhook_id TEXT NOT NULL PRIMARY KEY,
    partner TEXT NOT NULL,
    url TEXT NOT NULL,
    created INTEGER NOT NULL,
    told INTEGER NOT NULL,
    next_attempt INTEGER NOT NULL DEFAULT 0,
    failures INTEGER NOT NULL DEFAULT 0,
    failing_since INTEGER,
    disabled TEXT
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX webhooks_of_partner ON webhooks (partner, url);

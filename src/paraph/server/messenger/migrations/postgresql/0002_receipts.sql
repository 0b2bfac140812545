-- Where in the room's order the event of a receipt stands: receipts only move forward, and counts begin behind them.
ALTER TABLE receipts ADD COLUMN event_position BIGINT NOT NULL DEFAULT 0;
UPDATE receipts SET event_position =
    COALESCE((SELECT events.position FROM events WHERE events.event_id = receipts.event_id), 0);

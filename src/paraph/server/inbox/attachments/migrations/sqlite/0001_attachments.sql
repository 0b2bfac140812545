-- Which grants covered an attachment when it was uploaded. What came while a grant was paused or a room closed is under
-- none, as with messages. Whether a partner gets it is decided when it asks.
CREATE TABLE attachment_grants (
    media_id TEXT NOT NULL,
    grant_id TEXT NOT NULL,
    PRIMARY KEY (media_id, grant_id)
) STRICT, WITHOUT ROWID;

-- An older version cannot build the message. It re-requests what is not answered.
DELETE FROM outbox WHERE headers IS NULL OR body IS NULL;
CREATE TABLE outbox_new (
    id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    event_id TEXT NOT NULL,
    topic TEXT NOT NULL,
    message_key TEXT NOT NULL,
    headers TEXT NOT NULL,
    body TEXT NOT NULL,
    created_at_us BIGINT NOT NULL,
    send_after_us BIGINT NOT NULL
);
INSERT INTO outbox_new SELECT * FROM outbox;
DROP TABLE outbox;
ALTER TABLE outbox_new RENAME TO outbox;
CREATE INDEX outbox_send_after ON outbox (send_after_us);
CREATE INDEX outbox_event ON outbox (event_id);

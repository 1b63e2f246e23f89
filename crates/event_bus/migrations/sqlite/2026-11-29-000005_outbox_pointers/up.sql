-- As on PostgreSQL. SQLite changes no column of a table, so it is copied.
CREATE TABLE outbox_new (
    id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    event_id TEXT NOT NULL,
    topic TEXT NOT NULL,
    message_key TEXT NOT NULL,
    headers TEXT,
    body TEXT,
    created_at_us BIGINT NOT NULL,
    send_after_us BIGINT NOT NULL
);
INSERT INTO outbox_new SELECT * FROM outbox;
DROP TABLE outbox;
ALTER TABLE outbox_new RENAME TO outbox;
CREATE INDEX outbox_send_after ON outbox (send_after_us);
CREATE INDEX outbox_event ON outbox (event_id);

CREATE TABLE outbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    event_id TEXT NOT NULL,
    topic TEXT NOT NULL,
    message_key TEXT NOT NULL,
    headers TEXT NOT NULL,
    body TEXT NOT NULL,
    created_at_us BIGINT NOT NULL,
    send_after_us BIGINT NOT NULL
);
CREATE INDEX outbox_send_after ON outbox (send_after_us);

CREATE TABLE dead_letters (
    id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    topic TEXT NOT NULL,
    partition BIGINT NOT NULL,
    message_offset BIGINT NOT NULL,
    message_time_ms BIGINT NOT NULL,
    message_key BLOB,
    headers TEXT NOT NULL,
    body BLOB NOT NULL,
    reason TEXT NOT NULL,
    received_at_us BIGINT NOT NULL,
    UNIQUE (topic, partition, message_offset, message_time_ms)
);

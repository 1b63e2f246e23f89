-- Payments that the payee's bank sends back, until whoever paid has been told.
CREATE TABLE returns (
    payment_key BIGINT PRIMARY KEY NOT NULL REFERENCES payments (id),
    event_id TEXT NOT NULL UNIQUE,
    attempts BIGINT NOT NULL,
    due_at_us BIGINT
);
CREATE INDEX returns_due ON returns (due_at_us) WHERE due_at_us IS NOT NULL;

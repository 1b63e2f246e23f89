-- One row: how far the clock is trusted by which idempotency keys are purged, in microseconds since 1970.
CREATE TABLE key_clock (
    id BIGINT PRIMARY KEY NOT NULL CHECK (id = 1),
    at_us BIGINT NOT NULL
);

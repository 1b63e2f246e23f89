-- Why a claim needs attention: the watchdog's reason, and the reason that payments gave, under the revision of its saga.
-- `needs_attention` is true while there is either.
ALTER TABLE claims ADD COLUMN outcome_overdue BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE claims ADD COLUMN payment_attention TEXT;
ALTER TABLE claims ADD COLUMN payment_attention_revision BIGINT NOT NULL DEFAULT 0;
UPDATE claims SET outcome_overdue = TRUE WHERE needs_attention;

-- One row: the time that the service is known to have reached by running, in microseconds since 1970. A clock that is ahead of it
-- is not trusted.
CREATE TABLE trusted_clock (
    id BIGINT PRIMARY KEY NOT NULL CHECK (id = 1),
    at_us BIGINT NOT NULL
);

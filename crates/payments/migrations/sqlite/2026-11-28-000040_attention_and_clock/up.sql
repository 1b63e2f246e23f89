-- Whether claim_process was informed that the payment needs a person, and under which revision of the saga it was informed last
-- (0: never); and the gateway's last answer that was not definite, in a few words.
ALTER TABLE sagas ADD COLUMN attention_raised BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE sagas ADD COLUMN attention_revision BIGINT NOT NULL DEFAULT 0;
ALTER TABLE sagas ADD COLUMN last_answer TEXT;

-- One row: the time that the service is known to have reached by running, in microseconds since 1970. A clock that is ahead of it
-- is not trusted.
CREATE TABLE trusted_clock (
    id BIGINT PRIMARY KEY NOT NULL CHECK (id = 1),
    at_us BIGINT NOT NULL
);

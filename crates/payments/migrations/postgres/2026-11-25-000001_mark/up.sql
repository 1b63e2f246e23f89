-- One row: when this database was made or restored, and whether claim_process has asked anew since.
CREATE TABLE database_mark (
    id BIGINT PRIMARY KEY NOT NULL CHECK (id = 1),
    at_us BIGINT NOT NULL,
    restored BOOLEAN NOT NULL,
    asked BOOLEAN NOT NULL
);

-- The revision under which the gateway call in hand was planned: its answer is written only under that one.
ALTER TABLE sagas ADD COLUMN call_revision BIGINT NOT NULL DEFAULT 0;

-- One row, which is written only to prove that the database can be written.
CREATE TABLE write_probe (
    id BIGINT NOT NULL PRIMARY KEY,
    probes BIGINT NOT NULL
);

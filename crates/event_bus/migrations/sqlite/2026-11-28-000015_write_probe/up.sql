-- One row, which is written only to prove that the database can be written.
CREATE TABLE write_probe (
    id INTEGER NOT NULL PRIMARY KEY,
    probes INTEGER NOT NULL
);

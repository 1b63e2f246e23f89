-- What operators did about payments that did not get on, and why. Append-only.
CREATE TABLE operator_acts (
    id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    claim_id TEXT NOT NULL,
    act TEXT NOT NULL,
    answer TEXT,
    reason TEXT NOT NULL,
    operator TEXT,
    client TEXT NOT NULL,
    state_before TEXT NOT NULL,
    state_after TEXT NOT NULL,
    at_us BIGINT NOT NULL
);
CREATE INDEX operator_acts_by_claim ON operator_acts (claim_id, id);
CREATE TRIGGER operator_acts_are_not_changed BEFORE UPDATE ON operator_acts
BEGIN SELECT RAISE(ABORT, 'what operators did is append-only'); END;
CREATE TRIGGER operator_acts_are_not_deleted BEFORE DELETE ON operator_acts
BEGIN SELECT RAISE(ABORT, 'what operators did is append-only'); END;

DROP INDEX returns_next_attempt;
ALTER TABLE returns RENAME COLUMN next_attempt_at_us TO due_at_us;
CREATE INDEX returns_due ON returns (due_at_us) WHERE due_at_us IS NOT NULL;

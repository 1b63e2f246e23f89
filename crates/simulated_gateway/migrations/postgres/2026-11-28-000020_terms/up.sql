-- When the notice of a return is sent next.
ALTER TABLE returns RENAME COLUMN due_at_us TO next_attempt_at_us;
DROP INDEX returns_due;
CREATE INDEX returns_next_attempt ON returns (next_attempt_at_us) WHERE next_attempt_at_us IS NOT NULL;

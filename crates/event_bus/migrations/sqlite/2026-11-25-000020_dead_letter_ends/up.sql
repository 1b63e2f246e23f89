-- What became of a message that was set aside: it waits for an operator, until one sends it out again or discards it.
ALTER TABLE dead_letters ADD COLUMN state TEXT NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'redriven', 'discarded'));
ALTER TABLE dead_letters ADD COLUMN ended_at_us BIGINT;
ALTER TABLE dead_letters ADD COLUMN ended_reason TEXT;
ALTER TABLE dead_letters ADD COLUMN ended_by TEXT;
ALTER TABLE dead_letters ADD COLUMN ended_from TEXT;
CREATE INDEX dead_letters_state ON dead_letters (state, id);

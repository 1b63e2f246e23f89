DROP INDEX dead_letters_state;
ALTER TABLE dead_letters DROP COLUMN ended_from;
ALTER TABLE dead_letters DROP COLUMN ended_by;
ALTER TABLE dead_letters DROP COLUMN ended_reason;
ALTER TABLE dead_letters DROP COLUMN ended_at_us;
ALTER TABLE dead_letters DROP COLUMN state;

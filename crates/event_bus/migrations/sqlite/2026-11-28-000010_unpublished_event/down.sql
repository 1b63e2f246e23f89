DROP INDEX dead_letters_event;
ALTER TABLE dead_letters DROP COLUMN event_id;

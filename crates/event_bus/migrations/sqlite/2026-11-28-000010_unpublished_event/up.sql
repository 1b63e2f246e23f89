-- The id of an event that this service could not publish. Null for a message that came in and could not be applied.
ALTER TABLE dead_letters ADD COLUMN event_id TEXT;
CREATE INDEX dead_letters_event ON dead_letters (event_id) WHERE event_id IS NOT NULL;

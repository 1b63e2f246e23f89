-- What is said again is looked for first, by its event, among what waits.
CREATE INDEX outbox_event ON outbox (event_id);

-- Before an event is re-published, its identical row is looked up by the event id.
CREATE INDEX outbox_event ON outbox (event_id);

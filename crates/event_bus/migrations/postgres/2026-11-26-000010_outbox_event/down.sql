DROP INDEX outbox_event;

-- An older version cannot build the message. It re-requests what is not answered.
DELETE FROM outbox WHERE headers IS NULL OR body IS NULL;
ALTER TABLE outbox ALTER COLUMN body SET NOT NULL;
ALTER TABLE outbox ALTER COLUMN headers SET NOT NULL;

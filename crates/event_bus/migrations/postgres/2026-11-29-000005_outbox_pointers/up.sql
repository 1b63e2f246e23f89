-- A row without headers and body only names its event: the service builds the message again from its own tables when it is sent
-- later than right after the commit.
ALTER TABLE outbox ALTER COLUMN headers DROP NOT NULL;
ALTER TABLE outbox ALTER COLUMN body DROP NOT NULL;

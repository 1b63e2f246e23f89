-- How often the payment was tried without a definite answer: those that were tried least are not kept waiting by those that
-- fail again and again.
ALTER TABLE sagas ADD COLUMN tries BIGINT NOT NULL DEFAULT 0;
CREATE INDEX sagas_due_by_tries ON sagas (tries, due_at_us) WHERE due_at_us IS NOT NULL;

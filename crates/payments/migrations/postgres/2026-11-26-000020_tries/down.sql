DROP INDEX sagas_due_by_tries;
ALTER TABLE sagas DROP COLUMN tries;

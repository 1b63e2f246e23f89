ALTER TABLE sagas DROP COLUMN call_revision;
DROP TABLE database_mark;

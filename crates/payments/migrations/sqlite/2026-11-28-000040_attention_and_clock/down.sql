DROP TABLE trusted_clock;
ALTER TABLE sagas DROP COLUMN last_answer;
ALTER TABLE sagas DROP COLUMN attention_revision;
ALTER TABLE sagas DROP COLUMN attention_raised;

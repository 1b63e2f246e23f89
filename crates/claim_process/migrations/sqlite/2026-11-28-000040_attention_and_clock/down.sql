DROP TABLE trusted_clock;
UPDATE claims SET needs_attention = outcome_overdue;
ALTER TABLE claims DROP COLUMN payment_attention_revision;
ALTER TABLE claims DROP COLUMN payment_attention;
ALTER TABLE claims DROP COLUMN outcome_overdue;

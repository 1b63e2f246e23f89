-- Why a claim needs attention: the watchdog's reason, and the reason that payments gave, under the revision of its saga.
-- `needs_attention` is true while there is either.
ALTER TABLE claims ADD COLUMN outcome_overdue BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE claims ADD COLUMN payment_attention TEXT;
ALTER TABLE claims ADD COLUMN payment_attention_revision BIGINT NOT NULL DEFAULT 0;
UPDATE claims SET outcome_overdue = TRUE WHERE needs_attention;

ALTER TABLE claims DROP COLUMN void_reason;
ALTER TABLE claims DROP COLUMN voided_at_us;

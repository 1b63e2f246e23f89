ALTER TABLE claims ADD COLUMN voided_at_us BIGINT;
ALTER TABLE claims ADD COLUMN void_reason TEXT;

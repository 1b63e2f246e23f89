-- A refund that failed is kept beside the returns. What is reported under an id that another report has is ambiguous: it is
-- kept, and never booked by itself. What cannot be placed, an operator resolves.
ALTER TABLE gateway_returns ADD COLUMN kind TEXT NOT NULL DEFAULT 'payment.returned';
ALTER TABLE gateway_returns ADD COLUMN refund_key TEXT;
ALTER TABLE gateway_returns ADD COLUMN is_ambiguous BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE gateway_returns ADD COLUMN resolved_at_us BIGINT;
DROP INDEX gateway_returns_waiting;
CREATE INDEX gateway_returns_waiting ON gateway_returns (claim_id) WHERE applied_at_us IS NULL AND resolved_at_us IS NULL;

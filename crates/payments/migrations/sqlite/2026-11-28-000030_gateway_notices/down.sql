DROP INDEX gateway_returns_waiting;
CREATE INDEX gateway_returns_waiting ON gateway_returns (claim_id) WHERE applied_at_us IS NULL;
ALTER TABLE gateway_returns DROP COLUMN resolved_at_us;
ALTER TABLE gateway_returns DROP COLUMN is_ambiguous;
ALTER TABLE gateway_returns DROP COLUMN refund_key;
ALTER TABLE gateway_returns DROP COLUMN kind;

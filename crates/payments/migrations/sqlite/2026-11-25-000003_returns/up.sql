-- What the gateway told of payments that came back. Kept from the first time it is told: a repeat is known by its id, and
-- one whose payment is not known yet waits for it.
CREATE TABLE gateway_returns (
    event_id TEXT PRIMARY KEY NOT NULL,
    claim_id TEXT NOT NULL,
    amount_cents BIGINT NOT NULL,
    received_at_us BIGINT NOT NULL,
    applied_at_us BIGINT
);
CREATE INDEX gateway_returns_waiting ON gateway_returns (claim_id) WHERE applied_at_us IS NULL;

-- The ledger is append-only: a mistake is undone by another transfer.
CREATE TRIGGER ledger_transfers_are_not_changed BEFORE UPDATE ON ledger_transfers
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER ledger_transfers_are_not_deleted BEFORE DELETE ON ledger_transfers
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;

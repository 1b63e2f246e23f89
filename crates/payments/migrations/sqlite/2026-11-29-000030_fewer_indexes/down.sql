DROP INDEX sagas_stuck;
DROP INDEX sagas_not_settled;
CREATE INDEX sagas_by_state ON sagas (state, id);
DROP TRIGGER ledger_transfers_are_not_changed;
DROP TRIGGER ledger_transfers_are_not_deleted;
DROP TRIGGER ledger_transfers_are_not_replaced;
ALTER TABLE ledger_transfers RENAME TO ledger_transfers_before;
CREATE TABLE ledger_transfers (
    id TEXT PRIMARY KEY NOT NULL,
    claim_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    debit_account TEXT NOT NULL,
    credit_account TEXT NOT NULL,
    amount_cents BIGINT NOT NULL CHECK (amount_cents > 0),
    weight TEXT NOT NULL CHECK (weight IN ('pending', 'posted', 'void')),
    ends_pending TEXT UNIQUE,
    reverses TEXT UNIQUE,
    booked_at_us BIGINT NOT NULL
);
INSERT INTO ledger_transfers SELECT * FROM ledger_transfers_before;
DROP TABLE ledger_transfers_before;
CREATE INDEX ledger_transfers_by_claim ON ledger_transfers (claim_id);
CREATE TRIGGER ledger_transfers_are_not_changed BEFORE UPDATE ON ledger_transfers
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER ledger_transfers_are_not_deleted BEFORE DELETE ON ledger_transfers
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER ledger_transfers_are_not_replaced BEFORE INSERT ON ledger_transfers
WHEN EXISTS (
    SELECT 1 FROM ledger_transfers WHERE id = NEW.id OR ends_pending = NEW.ends_pending OR reverses = NEW.reverses
)
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;

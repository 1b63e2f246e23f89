-- Fewer entries in indexes for each claim. A transfer's id begins with its claim's, so that its key finds the transfers of a
-- claim; only those that end or reverse another have an entry for that. Most sagas are settled, and no list of the others
-- need pass them; few are stuck.
DROP TRIGGER ledger_transfers_are_not_changed;
DROP TRIGGER ledger_transfers_are_not_deleted;
DROP TRIGGER ledger_transfers_are_not_replaced;
DROP INDEX ledger_transfers_by_claim;
ALTER TABLE ledger_transfers RENAME TO ledger_transfers_before;
CREATE TABLE ledger_transfers (
    id TEXT PRIMARY KEY NOT NULL,
    claim_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    debit_account TEXT NOT NULL,
    credit_account TEXT NOT NULL,
    amount_cents BIGINT NOT NULL CHECK (amount_cents > 0),
    weight TEXT NOT NULL CHECK (weight IN ('pending', 'posted', 'void')),
    ends_pending TEXT,
    reverses TEXT,
    booked_at_us BIGINT NOT NULL
);
INSERT INTO ledger_transfers SELECT * FROM ledger_transfers_before;
DROP TABLE ledger_transfers_before;
CREATE UNIQUE INDEX ledger_transfers_ends_pending ON ledger_transfers (ends_pending) WHERE ends_pending IS NOT NULL;
CREATE UNIQUE INDEX ledger_transfers_reverses ON ledger_transfers (reverses) WHERE reverses IS NOT NULL;
CREATE TRIGGER ledger_transfers_are_not_changed BEFORE UPDATE ON ledger_transfers
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER ledger_transfers_are_not_deleted BEFORE DELETE ON ledger_transfers
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER ledger_transfers_are_not_replaced BEFORE INSERT ON ledger_transfers
WHEN EXISTS (
    SELECT 1 FROM ledger_transfers WHERE id = NEW.id OR ends_pending = NEW.ends_pending OR reverses = NEW.reverses
)
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
DROP INDEX sagas_by_state;
CREATE INDEX sagas_not_settled ON sagas (state, id) WHERE state <> 'settled';
CREATE INDEX sagas_stuck ON sagas (id) WHERE stuck_reason IS NOT NULL;

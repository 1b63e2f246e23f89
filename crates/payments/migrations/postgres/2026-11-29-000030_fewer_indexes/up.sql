-- Fewer entries in indexes for each claim. A transfer's id begins with its claim's, so that its key finds the transfers of a
-- claim, in the order of bytes; only those that end or reverse another have an entry for that. Most sagas are settled, and
-- no list of the others need pass them; few are stuck.
ALTER TABLE ledger_transfers DROP CONSTRAINT ledger_transfers_ends_pending_key;
ALTER TABLE ledger_transfers DROP CONSTRAINT ledger_transfers_reverses_key;
DROP INDEX ledger_transfers_by_claim;
ALTER TABLE ledger_transfers
    ALTER COLUMN id TYPE TEXT COLLATE "C",
    ALTER COLUMN claim_id TYPE TEXT COLLATE "C",
    ALTER COLUMN ends_pending TYPE TEXT COLLATE "C",
    ALTER COLUMN reverses TYPE TEXT COLLATE "C";
CREATE UNIQUE INDEX ledger_transfers_ends_pending ON ledger_transfers (ends_pending) WHERE ends_pending IS NOT NULL;
CREATE UNIQUE INDEX ledger_transfers_reverses ON ledger_transfers (reverses) WHERE reverses IS NOT NULL;
ALTER TABLE sagas ALTER COLUMN claim_id TYPE TEXT COLLATE "C";
DROP INDEX sagas_by_state;
CREATE INDEX sagas_not_settled ON sagas (state, id) WHERE state <> 'settled';
CREATE INDEX sagas_stuck ON sagas (id) WHERE stuck_reason IS NOT NULL;

DROP INDEX sagas_stuck;
DROP INDEX sagas_not_settled;
CREATE INDEX sagas_by_state ON sagas (state, id);
ALTER TABLE sagas ALTER COLUMN claim_id TYPE TEXT COLLATE "default";
DROP INDEX ledger_transfers_ends_pending;
DROP INDEX ledger_transfers_reverses;
ALTER TABLE ledger_transfers
    ALTER COLUMN id TYPE TEXT COLLATE "default",
    ALTER COLUMN claim_id TYPE TEXT COLLATE "default",
    ALTER COLUMN ends_pending TYPE TEXT COLLATE "default",
    ALTER COLUMN reverses TYPE TEXT COLLATE "default";
ALTER TABLE ledger_transfers ADD CONSTRAINT ledger_transfers_ends_pending_key UNIQUE (ends_pending);
ALTER TABLE ledger_transfers ADD CONSTRAINT ledger_transfers_reverses_key UNIQUE (reverses);
CREATE INDEX ledger_transfers_by_claim ON ledger_transfers (claim_id);

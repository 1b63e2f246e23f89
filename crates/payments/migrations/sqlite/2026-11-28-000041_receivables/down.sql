UPDATE sagas SET state = 'suspect' WHERE state = 'unverified';
DROP TRIGGER ledger_transfers_are_not_changed;
UPDATE ledger_transfers SET kind = 'owe', id = claim_id || '.owe' WHERE kind = 'open_receivable';
UPDATE ledger_transfers SET kind = 'acquit', id = claim_id || '.acquit' WHERE kind = 'close_receivable';
UPDATE ledger_transfers SET reverses = claim_id || '.owe' WHERE reverses = claim_id || '.open_receivable';
CREATE TRIGGER ledger_transfers_are_not_changed BEFORE UPDATE ON ledger_transfers
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
DROP TRIGGER operator_actions_are_not_changed;
UPDATE operator_actions SET state_before = 'suspect' WHERE state_before = 'unverified';
UPDATE operator_actions SET state_after = 'suspect' WHERE state_after = 'unverified';
CREATE TRIGGER operator_actions_are_not_changed BEFORE UPDATE ON operator_actions
BEGIN SELECT RAISE(ABORT, 'what operators did is append-only'); END;

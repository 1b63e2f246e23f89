-- The terms of the glossary: a saga whose facts may be incomplete is unverified, and transfers open and close a receivable. A
-- transfer's id ends with its kind. Renaming is the one change of append-only rows.
UPDATE sagas SET state = 'unverified' WHERE state = 'suspect';
DROP TRIGGER ledger_transfers_are_not_changed;
UPDATE ledger_transfers SET kind = 'open_receivable', id = claim_id || '.open_receivable' WHERE kind = 'owe';
UPDATE ledger_transfers SET kind = 'close_receivable', id = claim_id || '.close_receivable' WHERE kind = 'acquit';
UPDATE ledger_transfers SET reverses = claim_id || '.open_receivable' WHERE reverses = claim_id || '.owe';
CREATE TRIGGER ledger_transfers_are_not_changed BEFORE UPDATE ON ledger_transfers
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
DROP TRIGGER operator_actions_are_not_changed;
UPDATE operator_actions SET state_before = 'unverified' WHERE state_before = 'suspect';
UPDATE operator_actions SET state_after = 'unverified' WHERE state_after = 'suspect';
CREATE TRIGGER operator_actions_are_not_changed BEFORE UPDATE ON operator_actions
BEGIN SELECT RAISE(ABORT, 'what operators did is append-only'); END;

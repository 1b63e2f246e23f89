DROP TRIGGER ledger_transfers_are_not_emptied ON ledger_transfers;
DROP TRIGGER ledger_transfers_are_not_changed ON ledger_transfers;
DROP FUNCTION refuse_to_change_the_ledger();
DROP TABLE gateway_returns;

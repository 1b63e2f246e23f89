-- SQLite's REPLACE deletes the rows that stand in its way without asking the triggers that refuse a deletion, so a row that
-- would stand in another's way is refused before. PostgreSQL has no such statement.
CREATE TRIGGER ledger_transfers_are_not_replaced BEFORE INSERT ON ledger_transfers
WHEN EXISTS (
    SELECT 1 FROM ledger_transfers WHERE id = NEW.id OR ends_pending = NEW.ends_pending OR reverses = NEW.reverses
)
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER operator_acts_are_not_replaced BEFORE INSERT ON operator_acts
WHEN EXISTS (SELECT 1 FROM operator_acts WHERE id = NEW.id)
BEGIN SELECT RAISE(ABORT, 'what operators did is append-only'); END;

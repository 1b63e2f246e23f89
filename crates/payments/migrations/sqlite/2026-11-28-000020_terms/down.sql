ALTER TABLE sagas RENAME COLUMN next_attempt_at_us TO due_at_us;
DROP INDEX sagas_next_attempt;
DROP INDEX sagas_next_attempt_by_tries;
CREATE INDEX sagas_due ON sagas (due_at_us) WHERE due_at_us IS NOT NULL;
CREATE INDEX sagas_due_by_tries ON sagas (tries, due_at_us) WHERE due_at_us IS NOT NULL;
UPDATE sagas SET facts = REPLACE(REPLACE(REPLACE(REPLACE(facts, '"resync_epoch":', '"ask":'), '"unsolicited":', '"unasked":'), '"restore_marker":', '"mark":'), '"trust":"unverified"', '"trust":"suspect"');
UPDATE outbox SET body = REPLACE(REPLACE(body, '"resync_epoch":', '"ask":'), '"unsolicited":', '"unasked":');
ALTER TABLE restore_marker RENAME COLUMN resynced TO asked;
ALTER TABLE restore_marker RENAME TO database_mark;
DROP TRIGGER operator_actions_are_not_changed;
DROP TRIGGER operator_actions_are_not_deleted;
DROP TRIGGER operator_actions_are_not_replaced;
DROP INDEX operator_actions_by_claim;
ALTER TABLE operator_actions RENAME TO operator_acts;
ALTER TABLE operator_acts RENAME COLUMN action TO act;
CREATE INDEX operator_acts_by_claim ON operator_acts (claim_id, id);
CREATE TRIGGER operator_acts_are_not_changed BEFORE UPDATE ON operator_acts
BEGIN SELECT RAISE(ABORT, 'what operators did is append-only'); END;
CREATE TRIGGER operator_acts_are_not_deleted BEFORE DELETE ON operator_acts
BEGIN SELECT RAISE(ABORT, 'what operators did is append-only'); END;
CREATE TRIGGER operator_acts_are_not_replaced BEFORE INSERT ON operator_acts
WHEN EXISTS (SELECT 1 FROM operator_acts WHERE id = NEW.id)
BEGIN SELECT RAISE(ABORT, 'what operators did is append-only'); END;

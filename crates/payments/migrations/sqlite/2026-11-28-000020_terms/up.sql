-- The terms of the glossary: when a saga is worked on next, the restore marker of the database and whether claim_process
-- has re-announced its claims since, and operator actions. Facts and events are JSON; a quoted name and a colon stand nowhere
-- in them but at a field.
ALTER TABLE sagas RENAME COLUMN due_at_us TO next_attempt_at_us;
DROP INDEX sagas_due;
DROP INDEX sagas_due_by_tries;
CREATE INDEX sagas_next_attempt ON sagas (next_attempt_at_us) WHERE next_attempt_at_us IS NOT NULL;
CREATE INDEX sagas_next_attempt_by_tries ON sagas (tries, next_attempt_at_us) WHERE next_attempt_at_us IS NOT NULL;
UPDATE sagas SET facts = REPLACE(REPLACE(REPLACE(REPLACE(facts, '"ask":', '"resync_epoch":'), '"unasked":', '"unsolicited":'), '"mark":', '"restore_marker":'), '"trust":"suspect"', '"trust":"unverified"');
UPDATE outbox SET body = REPLACE(REPLACE(body, '"ask":', '"resync_epoch":'), '"unasked":', '"unsolicited":');
ALTER TABLE database_mark RENAME TO restore_marker;
ALTER TABLE restore_marker RENAME COLUMN asked TO resynced;
DROP TRIGGER operator_acts_are_not_changed;
DROP TRIGGER operator_acts_are_not_deleted;
DROP TRIGGER operator_acts_are_not_replaced;
DROP INDEX operator_acts_by_claim;
ALTER TABLE operator_acts RENAME TO operator_actions;
ALTER TABLE operator_actions RENAME COLUMN act TO action;
CREATE INDEX operator_actions_by_claim ON operator_actions (claim_id, id);
CREATE TRIGGER operator_actions_are_not_changed BEFORE UPDATE ON operator_actions
BEGIN SELECT RAISE(ABORT, 'what operators did is append-only'); END;
CREATE TRIGGER operator_actions_are_not_deleted BEFORE DELETE ON operator_actions
BEGIN SELECT RAISE(ABORT, 'what operators did is append-only'); END;
CREATE TRIGGER operator_actions_are_not_replaced BEFORE INSERT ON operator_actions
WHEN EXISTS (SELECT 1 FROM operator_actions WHERE id = NEW.id)
BEGIN SELECT RAISE(ABORT, 'what operators did is append-only'); END;

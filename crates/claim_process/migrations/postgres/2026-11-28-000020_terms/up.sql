-- The terms of the glossary: the resync epoch of a claim (unix seconds), when its outcome is requested next, and how often
-- it was. Events and outcomes that are stored are JSON; a quoted name and a colon stand nowhere in them but at a field.
ALTER TABLE claims RENAME COLUMN ask TO resync_epoch;
ALTER TABLE claims RENAME COLUMN due_at_us TO next_attempt_at_us;
ALTER TABLE claims RENAME COLUMN times_asked TO request_count;
DROP INDEX claims_due;
CREATE INDEX claims_next_attempt ON claims (next_attempt_at_us) WHERE next_attempt_at_us IS NOT NULL;
DROP INDEX claims_standing_by_content;
CREATE INDEX claims_active_by_content ON claims (content_digest, id)
    WHERE content_digest IS NOT NULL AND status IN ('submitted', 'settled');
UPDATE claims SET outcome = REPLACE(REPLACE(outcome, '"ask":', '"resync_epoch":'), '"unasked":', '"unsolicited":') WHERE outcome IS NOT NULL;
UPDATE outbox SET body = REPLACE(REPLACE(body, '"ask":', '"resync_epoch":'), '"unasked":', '"unsolicited":');

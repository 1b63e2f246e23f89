ALTER TABLE claims RENAME COLUMN resync_epoch TO ask;
ALTER TABLE claims RENAME COLUMN next_attempt_at_us TO due_at_us;
ALTER TABLE claims RENAME COLUMN request_count TO times_asked;
DROP INDEX claims_next_attempt;
CREATE INDEX claims_due ON claims (due_at_us) WHERE due_at_us IS NOT NULL;
DROP INDEX claims_active_by_content;
CREATE INDEX claims_standing_by_content ON claims (content_digest, id)
    WHERE content_digest IS NOT NULL AND status IN ('submitted', 'settled');
UPDATE claims SET outcome = REPLACE(REPLACE(outcome, '"resync_epoch":', '"ask":'), '"unsolicited":', '"unasked":') WHERE outcome IS NOT NULL;
UPDATE outbox SET body = REPLACE(REPLACE(body, '"resync_epoch":', '"ask":'), '"unsolicited":', '"unasked":');

-- SHA-256 of what makes a claim the same as another: plan, subscriber, provider and lines. Claims from before, and those
-- that are taken while the rule is off, have none.
ALTER TABLE claims ADD COLUMN content_digest BYTEA;
-- Finds the oldest claim that stands, whatever number of equal ones are unwound or withdrawn.
CREATE INDEX claims_standing_by_content ON claims (content_digest, id)
    WHERE content_digest IS NOT NULL AND status IN ('submitted', 'settled');

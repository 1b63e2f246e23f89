DROP INDEX claims_standing_by_content;
ALTER TABLE claims DROP COLUMN content_digest;

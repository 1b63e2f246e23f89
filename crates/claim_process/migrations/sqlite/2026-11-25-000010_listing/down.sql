DROP INDEX claims_needing_attention;
DROP INDEX claims_by_submission;
DROP INDEX claims_by_plan;

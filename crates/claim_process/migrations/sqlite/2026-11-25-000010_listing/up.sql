CREATE INDEX claims_by_plan ON claims (plan_group, id);
CREATE INDEX claims_by_submission ON claims (submitted_at_us);
CREATE INDEX claims_needing_attention ON claims (id) WHERE needs_attention;

ALTER TABLE claim_timeline ADD CONSTRAINT claim_timeline_claim_key_fkey FOREIGN KEY (claim_key) REFERENCES claims (id);
ALTER TABLE claim_lines ADD CONSTRAINT claim_lines_claim_key_fkey FOREIGN KEY (claim_key) REFERENCES claims (id);

DROP INDEX claims_needing_attention;
CREATE INDEX claims_needing_attention ON claims (id) WHERE needs_attention;
DROP INDEX claims_by_submission;
CREATE INDEX claims_by_submission ON claims (submitted_at_us);
DROP INDEX claims_by_plan;
CREATE INDEX claims_by_plan ON claims (plan_group, id);
DROP INDEX claims_by_provider;
CREATE INDEX claims_by_provider ON claims (provider_npi, id);
DROP INDEX claims_by_status;
CREATE INDEX claims_by_status ON claims (status, id);

DROP TABLE canonical_forms;
DROP INDEX claims_by_external_key;
ALTER TABLE claims ADD CONSTRAINT claims_external_claim_id_key UNIQUE (external_claim_id);
ALTER TABLE claims DROP COLUMN external_claim_key;

ALTER TABLE idempotency_keys DROP CONSTRAINT idempotency_keys_pkey;
ALTER TABLE idempotency_keys ADD PRIMARY KEY (idempotency_key);
ALTER TABLE idempotency_keys DROP COLUMN owner;
ALTER TABLE claims DROP COLUMN owner;

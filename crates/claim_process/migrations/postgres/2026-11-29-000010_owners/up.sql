-- Who a claim and a key belong to. Until there are other owners, all belong to `local`.
ALTER TABLE claims ADD COLUMN owner TEXT COLLATE "C" NOT NULL DEFAULT 'local';
ALTER TABLE idempotency_keys ADD COLUMN owner TEXT COLLATE "C" NOT NULL DEFAULT 'local';
ALTER TABLE idempotency_keys DROP CONSTRAINT idempotency_keys_pkey;
ALTER TABLE idempotency_keys ADD PRIMARY KEY (owner, idempotency_key);

-- The canonical form of `external_claim_id`, unique for an owner. Claims from before get theirs, and a digest over canonical forms,
-- in steps after the migrations: `canonical_forms` records how far.
ALTER TABLE claims ADD COLUMN external_claim_key TEXT COLLATE "C";
ALTER TABLE claims DROP CONSTRAINT claims_external_claim_id_key;
CREATE UNIQUE INDEX claims_by_external_key ON claims (external_claim_key, owner) WHERE external_claim_key IS NOT NULL;
CREATE TABLE canonical_forms (
    id BIGINT PRIMARY KEY NOT NULL CHECK (id = 1),
    claims_to BIGINT NOT NULL
);

-- Each filter of a list has an index in which the claims of an owner are in the order of the list.
DROP INDEX claims_by_status;
CREATE INDEX claims_by_status ON claims (owner, status, id);
DROP INDEX claims_by_provider;
CREATE INDEX claims_by_provider ON claims (owner, provider_npi, id);
DROP INDEX claims_by_plan;
CREATE INDEX claims_by_plan ON claims (owner, plan_group, id);
DROP INDEX claims_by_submission;
CREATE INDEX claims_by_submission ON claims (owner, submitted_at_us, id);
DROP INDEX claims_needing_attention;
CREATE INDEX claims_needing_attention ON claims (owner, id) WHERE needs_attention;

-- A foreign key costs a look-up for each line, a third of what storing a claim costs. Lines and timeline are written only in the
-- transaction that inserts or locks their claim, and claims are not deleted.
ALTER TABLE claim_lines DROP CONSTRAINT claim_lines_claim_key_fkey;
ALTER TABLE claim_timeline DROP CONSTRAINT claim_timeline_claim_key_fkey;

-- As on PostgreSQL. SQLite drops no constraint of a table, so each one is copied; without a row id where its key is all that it is
-- found by. Tables that refer to others come first: dropping one that is referred to is refused.
CREATE TABLE claim_lines_new (
    claim_key BIGINT NOT NULL,
    line BIGINT NOT NULL,
    service_date TEXT NOT NULL,
    submitted_procedure TEXT NOT NULL,
    quadrant TEXT,
    provider_fees_cents BIGINT NOT NULL,
    allowed_fees_cents BIGINT NOT NULL,
    member_coinsurance_cents BIGINT NOT NULL,
    member_copay_cents BIGINT NOT NULL,
    net_fee_cents BIGINT NOT NULL,
    PRIMARY KEY (claim_key, line)
) WITHOUT ROWID;
INSERT INTO claim_lines_new SELECT * FROM claim_lines;
DROP TABLE claim_lines;
ALTER TABLE claim_lines_new RENAME TO claim_lines;

CREATE TABLE claim_timeline_new (
    id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    claim_key BIGINT NOT NULL,
    at_us BIGINT NOT NULL,
    event TEXT NOT NULL
);
INSERT INTO claim_timeline_new SELECT * FROM claim_timeline;
DROP TABLE claim_timeline;
ALTER TABLE claim_timeline_new RENAME TO claim_timeline;
CREATE INDEX claim_timeline_by_claim ON claim_timeline (claim_key, id);

CREATE TABLE claims_new (
    id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    claim_id TEXT NOT NULL UNIQUE,
    external_claim_id TEXT,
    status TEXT NOT NULL,
    needs_attention BOOLEAN NOT NULL,
    plan_group TEXT NOT NULL,
    subscriber_id TEXT NOT NULL,
    provider_npi TEXT NOT NULL,
    net_fee_cents BIGINT NOT NULL,
    submitted_at_us BIGINT NOT NULL,
    warnings TEXT NOT NULL,
    correlation_id TEXT NOT NULL,
    traceparent TEXT,
    version BIGINT NOT NULL,
    resync_epoch BIGINT NOT NULL,
    outcome_type TEXT,
    outcome_version BIGINT,
    outcome_at_us BIGINT,
    outcome TEXT,
    next_attempt_at_us BIGINT,
    request_count BIGINT NOT NULL,
    voided_at_us BIGINT,
    void_reason TEXT,
    content_digest BLOB,
    outcome_overdue BOOLEAN NOT NULL DEFAULT FALSE,
    payment_attention TEXT,
    payment_attention_revision BIGINT NOT NULL DEFAULT 0,
    owner TEXT NOT NULL DEFAULT 'local',
    external_claim_key TEXT
);
INSERT INTO claims_new (
    id, claim_id, external_claim_id, status, needs_attention, plan_group, subscriber_id, provider_npi, net_fee_cents,
    submitted_at_us, warnings, correlation_id, traceparent, version, resync_epoch, outcome_type, outcome_version,
    outcome_at_us, outcome, next_attempt_at_us, request_count, voided_at_us, void_reason, content_digest,
    outcome_overdue, payment_attention, payment_attention_revision
) SELECT
    id, claim_id, external_claim_id, status, needs_attention, plan_group, subscriber_id, provider_npi, net_fee_cents,
    submitted_at_us, warnings, correlation_id, traceparent, version, resync_epoch, outcome_type, outcome_version,
    outcome_at_us, outcome, next_attempt_at_us, request_count, voided_at_us, void_reason, content_digest,
    outcome_overdue, payment_attention, payment_attention_revision
FROM claims;
DROP TABLE claims;
ALTER TABLE claims_new RENAME TO claims;
CREATE UNIQUE INDEX claims_by_external_key ON claims (external_claim_key, owner) WHERE external_claim_key IS NOT NULL;
CREATE INDEX claims_by_status ON claims (owner, status, id);
CREATE INDEX claims_by_provider ON claims (owner, provider_npi, id);
CREATE INDEX claims_by_plan ON claims (owner, plan_group, id);
CREATE INDEX claims_by_submission ON claims (owner, submitted_at_us, id);
CREATE INDEX claims_needing_attention ON claims (owner, id) WHERE needs_attention;
CREATE INDEX claims_next_attempt ON claims (next_attempt_at_us) WHERE next_attempt_at_us IS NOT NULL;
CREATE INDEX claims_active_by_content ON claims (content_digest, id)
    WHERE content_digest IS NOT NULL AND status IN ('submitted', 'settled');
CREATE TABLE canonical_forms (
    id BIGINT PRIMARY KEY NOT NULL CHECK (id = 1),
    claims_to BIGINT NOT NULL
);

CREATE TABLE idempotency_keys_new (
    owner TEXT NOT NULL DEFAULT 'local',
    idempotency_key TEXT NOT NULL,
    body_hash TEXT NOT NULL,
    claim_id TEXT NOT NULL,
    created_at_us BIGINT NOT NULL,
    PRIMARY KEY (owner, idempotency_key)
) WITHOUT ROWID;
INSERT INTO idempotency_keys_new (
    idempotency_key, body_hash, claim_id, created_at_us
) SELECT
    idempotency_key, body_hash, claim_id, created_at_us
FROM idempotency_keys;
DROP TABLE idempotency_keys;
ALTER TABLE idempotency_keys_new RENAME TO idempotency_keys;
CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created_at_us);

CREATE TABLE idempotency_keys_new (
    idempotency_key TEXT PRIMARY KEY NOT NULL,
    body_hash TEXT NOT NULL,
    claim_id TEXT NOT NULL,
    created_at_us BIGINT NOT NULL
);
INSERT INTO idempotency_keys_new (
    idempotency_key, body_hash, claim_id, created_at_us
) SELECT
    idempotency_key, body_hash, claim_id, created_at_us
FROM idempotency_keys;
DROP TABLE idempotency_keys;
ALTER TABLE idempotency_keys_new RENAME TO idempotency_keys;
CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created_at_us);

DROP TABLE canonical_forms;
CREATE TABLE claims_new (
    id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    claim_id TEXT NOT NULL UNIQUE,
    external_claim_id TEXT UNIQUE,
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
    payment_attention_revision BIGINT NOT NULL DEFAULT 0
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
CREATE INDEX claims_by_status ON claims (status, id);
CREATE INDEX claims_by_provider ON claims (provider_npi, id);
CREATE INDEX claims_by_plan ON claims (plan_group, id);
CREATE INDEX claims_by_submission ON claims (submitted_at_us);
CREATE INDEX claims_needing_attention ON claims (id) WHERE needs_attention;
CREATE INDEX claims_next_attempt ON claims (next_attempt_at_us) WHERE next_attempt_at_us IS NOT NULL;
CREATE INDEX claims_active_by_content ON claims (content_digest, id)
    WHERE content_digest IS NOT NULL AND status IN ('submitted', 'settled');

CREATE TABLE claim_timeline_new (
    id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    claim_key BIGINT NOT NULL REFERENCES claims (id),
    at_us BIGINT NOT NULL,
    event TEXT NOT NULL
);
INSERT INTO claim_timeline_new SELECT * FROM claim_timeline;
DROP TABLE claim_timeline;
ALTER TABLE claim_timeline_new RENAME TO claim_timeline;
CREATE INDEX claim_timeline_by_claim ON claim_timeline (claim_key, id);

CREATE TABLE claim_lines_new (
    claim_key BIGINT NOT NULL REFERENCES claims (id),
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
);
INSERT INTO claim_lines_new SELECT * FROM claim_lines;
DROP TABLE claim_lines;
ALTER TABLE claim_lines_new RENAME TO claim_lines;

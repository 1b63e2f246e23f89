CREATE TABLE claims (
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
    ask BIGINT NOT NULL,
    outcome_type TEXT,
    outcome_version BIGINT,
    outcome_at_us BIGINT,
    outcome TEXT,
    due_at_us BIGINT,
    times_asked BIGINT NOT NULL
);
CREATE INDEX claims_by_status ON claims (status, id);
CREATE INDEX claims_by_provider ON claims (provider_npi, id);
CREATE INDEX claims_due ON claims (due_at_us) WHERE due_at_us IS NOT NULL;

CREATE TABLE claim_lines (
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

-- What happened to a claim after its submission.
CREATE TABLE claim_timeline (
    id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    claim_key BIGINT NOT NULL REFERENCES claims (id),
    at_us BIGINT NOT NULL,
    event TEXT NOT NULL
);
CREATE INDEX claim_timeline_by_claim ON claim_timeline (claim_key, id);

CREATE TABLE idempotency_keys (
    idempotency_key TEXT PRIMARY KEY NOT NULL,
    body_hash TEXT NOT NULL,
    claim_id TEXT NOT NULL,
    created_at_us BIGINT NOT NULL
);

-- The sum of the net fees of each provider's claims that are not unwound; kept in the transactions that change it.
CREATE TABLE provider_totals (
    provider_npi TEXT PRIMARY KEY NOT NULL,
    net_fee_cents BIGINT NOT NULL,
    claims BIGINT NOT NULL
);
CREATE INDEX provider_totals_ranked ON provider_totals (net_fee_cents DESC, provider_npi);

//! The tables of claim_process, the same on both databases. Times are microseconds since 1970 (UTC), money is cents.

/// One statement for each right that this crate needs, on tables that it writes: rows are neither read nor written.
pub static PROBES: &[&str] = &[
    "INSERT INTO claims SELECT * FROM claims WHERE 1 = 0",
    "UPDATE claims SET status = status WHERE 1 = 0",
    "INSERT INTO claim_lines SELECT * FROM claim_lines WHERE 1 = 0",
    "INSERT INTO claim_timeline SELECT * FROM claim_timeline WHERE 1 = 0",
    "INSERT INTO idempotency_keys SELECT * FROM idempotency_keys WHERE 1 = 0",
    "DELETE FROM idempotency_keys WHERE 1 = 0",
    "INSERT INTO canonical_forms SELECT * FROM canonical_forms WHERE 1 = 0",
    "UPDATE canonical_forms SET claims_to = claims_to WHERE 1 = 0",
    "INSERT INTO provider_totals SELECT * FROM provider_totals WHERE 1 = 0",
    "UPDATE provider_totals SET provider_npi = provider_npi WHERE 1 = 0",
];

diesel::table! {
    claims (id) {
        id -> BigInt,
        claim_id -> Text,
        external_claim_id -> Nullable<Text>,
        status -> Text,
        needs_attention -> Bool,
        plan_group -> Text,
        subscriber_id -> Text,
        provider_npi -> Text,
        net_fee_cents -> BigInt,
        submitted_at_us -> BigInt,
        warnings -> Text,
        correlation_id -> Text,
        traceparent -> Nullable<Text>,
        version -> BigInt,
        resync_epoch -> BigInt,
        outcome_type -> Nullable<Text>,
        outcome_version -> Nullable<BigInt>,
        outcome_at_us -> Nullable<BigInt>,
        outcome -> Nullable<Text>,
        next_attempt_at_us -> Nullable<BigInt>,
        request_count -> BigInt,
        voided_at_us -> Nullable<BigInt>,
        void_reason -> Nullable<Text>,
        content_digest -> Nullable<Binary>,
        outcome_overdue -> Bool,
        payment_attention -> Nullable<Text>,
        payment_attention_revision -> BigInt,
        owner -> Text,
        external_claim_key -> Nullable<Text>,
    }
}

diesel::table! {
    claim_lines (claim_key, line) {
        claim_key -> BigInt,
        line -> BigInt,
        service_date -> Text,
        submitted_procedure -> Text,
        quadrant -> Nullable<Text>,
        provider_fees_cents -> BigInt,
        allowed_fees_cents -> BigInt,
        member_coinsurance_cents -> BigInt,
        member_copay_cents -> BigInt,
        net_fee_cents -> BigInt,
    }
}

diesel::table! {
    claim_timeline (id) {
        id -> BigInt,
        claim_key -> BigInt,
        at_us -> BigInt,
        event -> Text,
    }
}

diesel::table! {
    idempotency_keys (owner, idempotency_key) {
        owner -> Text,
        idempotency_key -> Text,
        body_hash -> Text,
        claim_id -> Text,
        created_at_us -> BigInt,
    }
}

diesel::table! {
    canonical_forms (id) {
        id -> BigInt,
        claims_to -> BigInt,
    }
}

diesel::table! {
    provider_totals (provider_npi) {
        provider_npi -> Text,
        net_fee_cents -> BigInt,
        claims -> BigInt,
    }
}

diesel::allow_tables_to_appear_in_same_query!(claims, claim_lines, claim_timeline);

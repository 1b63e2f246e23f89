//! The tables of payments, the same on both databases. Times are microseconds since 1970 (UTC), money is cents.

/// One statement for each right that this crate needs, on tables that it writes: rows are neither read nor written.
pub static PROBES: &[&str] = &[
    "INSERT INTO sagas SELECT * FROM sagas WHERE 1 = 0",
    "UPDATE sagas SET state = state WHERE 1 = 0",
    "INSERT INTO gateway_returns SELECT * FROM gateway_returns WHERE 1 = 0",
    "UPDATE gateway_returns SET applied_at_us = applied_at_us WHERE 1 = 0",
    "INSERT INTO restore_marker SELECT * FROM restore_marker WHERE 1 = 0",
    "UPDATE restore_marker SET resynced = resynced WHERE 1 = 0",
    "INSERT INTO ledger_transfers SELECT * FROM ledger_transfers WHERE 1 = 0",
    "INSERT INTO operator_actions SELECT * FROM operator_actions WHERE 1 = 0",
    "INSERT INTO plan_budgets SELECT * FROM plan_budgets WHERE 1 = 0",
    "UPDATE plan_budgets SET plan_group = plan_group WHERE 1 = 0",
];

diesel::table! {
    sagas (id) {
        id -> BigInt,
        claim_id -> Text,
        state -> Text,
        amount_cents -> BigInt,
        facts -> Text,
        content_hash -> Text,
        revision -> BigInt,
        next_attempt_at_us -> Nullable<BigInt>,
        worker -> Nullable<Text>,
        stuck_reason -> Nullable<Text>,
        correlation_id -> Text,
        cause_id -> Text,
        traceparent -> Nullable<Text>,
        started_at_us -> BigInt,
        updated_at_us -> BigInt,
        call_revision -> BigInt,
        tries -> BigInt,
        attention_raised -> Bool,
        attention_revision -> BigInt,
        last_answer -> Nullable<Text>,
    }
}

diesel::table! {
    gateway_returns (event_id) {
        event_id -> Text,
        claim_id -> Text,
        amount_cents -> BigInt,
        received_at_us -> BigInt,
        applied_at_us -> Nullable<BigInt>,
        kind -> Text,
        refund_key -> Nullable<Text>,
        is_ambiguous -> Bool,
        resolved_at_us -> Nullable<BigInt>,
    }
}

diesel::table! {
    restore_marker (id) {
        id -> BigInt,
        at_us -> BigInt,
        restored -> Bool,
        resynced -> Bool,
    }
}

diesel::table! {
    ledger_transfers (id) {
        id -> Text,
        claim_id -> Text,
        kind -> Text,
        debit_account -> Text,
        credit_account -> Text,
        amount_cents -> BigInt,
        weight -> Text,
        ends_pending -> Nullable<Text>,
        reverses -> Nullable<Text>,
        booked_at_us -> BigInt,
    }
}

diesel::table! {
    operator_actions (id) {
        id -> BigInt,
        claim_id -> Text,
        action -> Text,
        answer -> Nullable<Text>,
        reason -> Text,
        operator -> Nullable<Text>,
        client -> Text,
        state_before -> Text,
        state_after -> Text,
        at_us -> BigInt,
    }
}

diesel::table! {
    plan_budgets (plan_group) {
        plan_group -> Text,
        used_cents -> BigInt,
    }
}

diesel::allow_tables_to_appear_in_same_query!(sagas, ledger_transfers);

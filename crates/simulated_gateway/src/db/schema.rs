//! The tables, the same on both databases. Times are microseconds since 1970 (UTC), money is cents.

diesel::table! {
    payments (id) {
        id -> BigInt,
        idempotency_key -> Text,
        reference -> Text,
        amount_cents -> BigInt,
        payee -> Text,
        attempts -> BigInt,
        refund_attempts -> BigInt,
        status -> Text,
        payment_id -> Nullable<Text>,
        paid_cents -> Nullable<BigInt>,
        pending_until_us -> Nullable<BigInt>,
    }
}

diesel::table! {
    refunds (id) {
        id -> BigInt,
        idempotency_key -> Text,
        reference -> Text,
        amount_cents -> BigInt,
        attempts -> BigInt,
        status -> Text,
        refund_id -> Nullable<Text>,
        failed_at_us -> Nullable<BigInt>,
    }
}

diesel::table! {
    book (id) {
        id -> BigInt,
        at_us -> BigInt,
        kind -> Text,
        payment_key -> BigInt,
        reference -> Text,
        amount_cents -> BigInt,
        entry_id -> Text,
        number -> BigInt,
    }
}

diesel::table! {
    notices (event_id) {
        event_id -> Text,
        payment_key -> BigInt,
        kind -> Text,
        amount_cents -> BigInt,
        refund_key -> Nullable<Text>,
        attempts -> BigInt,
        next_attempt_at_us -> Nullable<BigInt>,
    }
}

diesel::joinable!(book -> payments (payment_key));
diesel::allow_tables_to_appear_in_same_query!(book, payments);

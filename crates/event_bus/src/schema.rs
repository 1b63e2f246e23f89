//! The tables this crate owns, the same on both databases.

diesel::table! {
    outbox (id) {
        id -> BigInt,
        event_id -> Text,
        topic -> Text,
        message_key -> Text,
        headers -> Text,
        body -> Text,
        created_at_us -> BigInt,
        send_after_us -> BigInt,
    }
}

diesel::table! {
    dead_letters (id) {
        id -> BigInt,
        topic -> Text,
        partition -> BigInt,
        message_offset -> BigInt,
        message_time_ms -> BigInt,
        message_key -> Nullable<Binary>,
        headers -> Text,
        body -> Binary,
        reason -> Text,
        received_at_us -> BigInt,
    }
}

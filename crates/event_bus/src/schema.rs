//! The tables this crate owns, the same on both databases.

/// A real write of the one row of `write_probe`, and one statement for each right that this crate needs on its other tables, whose
/// rows are neither read nor written.
pub static PROBES: &[&str] = &[
    "INSERT INTO write_probe (id, probes) VALUES (1, 1) ON CONFLICT (id) DO UPDATE SET probes = write_probe.probes + 1",
    "INSERT INTO outbox SELECT * FROM outbox WHERE 1 = 0",
    "UPDATE outbox SET send_after_us = send_after_us WHERE 1 = 0",
    "DELETE FROM outbox WHERE 1 = 0",
    "INSERT INTO dead_letters SELECT * FROM dead_letters WHERE 1 = 0",
    "UPDATE dead_letters SET state = state WHERE 1 = 0",
];

diesel::table! {
    outbox (id) {
        id -> BigInt,
        event_id -> Text,
        topic -> Text,
        message_key -> Text,
        headers -> Nullable<Text>,
        body -> Nullable<Text>,
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
        state -> Text,
        ended_at_us -> Nullable<BigInt>,
        ended_reason -> Nullable<Text>,
        ended_by -> Nullable<Text>,
        ended_from -> Nullable<Text>,
        event_id -> Nullable<Text>,
    }
}

diesel::table! {
    write_probe (id) {
        id -> BigInt,
        probes -> BigInt,
    }
}

#[cfg(test)]
mod tests {
    use dual_db::Database;
    use test_support::on_both_databases;
    use test_support::schema_drift::{columns, columns_in_schema};

    on_both_databases! {
        fn the_tables_are_those_of_this_file(database: &Database) {
            database.migrate(&[&crate::MIGRATIONS]).expect("migrates");
            let mut declared = columns_in_schema(crate::schema::outbox::table);
            declared.extend(columns_in_schema(crate::schema::dead_letters::table));
            declared.extend(columns_in_schema(crate::schema::write_probe::table));
            assert_eq!(database.read(columns).expect("reads"), declared);
        }
    }
}

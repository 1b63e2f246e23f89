//! Columns with the text of an enum: written, compared and read back; an unknown text is an error of its row.

use diesel::prelude::*;
use dual_db::{Database, on_each_backend};
use std::error::Error as _;
use test_support::{execute, on_both_databases};
use text_enum::text_enum;

diesel::table! {
    parcels (id) {
        id -> BigInt,
        status -> Text,
        last_status -> Nullable<Text>,
    }
}

text_enum! {
    /// Where a parcel is.
    enum Status {
        /// With the carrier.
        OnItsWay = "on_its_way",
        /// With its receiver.
        Delivered = "delivered",
    }
}

dual_db::text_columns!(Status);

#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable, Insertable)]
#[diesel(table_name = parcels, treat_none_as_default_value = false)]
struct Parcel {
    id: i64,
    status: Status,
    last_status: Option<Status>,
}

fn create(database: &Database) {
    let sql = "CREATE TABLE parcels (id BIGINT PRIMARY KEY, status TEXT NOT NULL, last_status TEXT)";
    database.write(|connection| execute(connection, sql)).expect("creates");
}

fn load(database: &Database) -> dual_db::Result<Vec<Parcel>> {
    database.read(|connection| Ok(on_each_backend!(connection, |c| parcels::table.order(parcels::id).load(c))?))
}

on_both_databases! {
    fn an_enum_is_written_compared_and_read_back(database: &Database) {
        create(database);
        let rows = [
            Parcel { id: 1, status: Status::OnItsWay, last_status: None },
            Parcel { id: 2, status: Status::Delivered, last_status: Some(Status::OnItsWay) },
        ];
        let delivered: Vec<i64> = database
            .write(|connection| {
                on_each_backend!(connection, |c| {
                    diesel::insert_into(parcels::table).values(&rows[..]).execute(c)?;
                    Ok(parcels::table.filter(parcels::status.eq(Status::Delivered)).select(parcels::id).load(c)?)
                })
            })
            .expect("writes");
        assert_eq!(delivered, [2]);
        assert_eq!(load(database).expect("reads"), rows);
    }

    fn an_unknown_text_is_the_fault_of_its_row_and_names_column_text_and_type(database: &Database) {
        create(database);
        let sql = "INSERT INTO parcels VALUES (1, 'delivered', 'lost')";
        database.write(|connection| execute(connection, sql)).expect("inserts");
        let error = load(database).expect_err("it is not the text of a status");
        assert!(error.is_refusal() && !error.is_trouble());
        let mut causes = error.to_string();
        let mut next = error.source();
        while let Some(cause) = next {
            causes = format!("{causes}: {cause}");
            next = cause.source();
        }
        for part in ["last_status", "lost", "Status", "on_its_way, delivered"] {
            assert!(causes.contains(part), "{causes}");
        }
    }
}

//! Statements of constant text around their binds, so that a connection parses and plans each of them once. Diesel caches
//! neither `sql_query` nor an INSERT of many rows.
//!
//! [`write_rows!`] writes a set of rows: on PostgreSQL in one statement, which takes an array for each column, and on SQLite,
//! where a statement is no round trip, in one statement a row.

use diesel::backend::Backend;
use diesel::pg::Pg;
use diesel::query_builder::{AstPass, QueryFragment, QueryId};
use diesel::sqlite::Sqlite;
use diesel::{QueryResult, RunQueryDsl};
use std::marker::PhantomData;

/// The text of a statement on each database: what comes before its binds, and what comes after them. Commas are between them.
pub(super) trait Text: 'static {
    const POSTGRES: [&'static str; 2];
    const SQLITE: [&'static str; 2];
}

/// A statement of this text. `B` is a tuple of binds.
pub(super) struct Statement<T, B> {
    binds: B,
    text: PhantomData<T>,
}

impl<T, B> Statement<T, B> {
    pub(super) fn new(binds: B) -> Self {
        Self { binds, text: PhantomData }
    }

    fn walk<'b, DB: Backend>(&'b self, [before, after]: [&str; 2], mut out: AstPass<'_, 'b, DB>) -> QueryResult<()>
    where
        B: QueryFragment<DB>,
    {
        out.push_sql(before);
        self.binds.walk_ast(out.reborrow())?;
        out.push_sql(after);
        Ok(())
    }
}

impl<T: Text, B: QueryFragment<Pg>> QueryFragment<Pg> for Statement<T, B> {
    fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        self.walk(T::POSTGRES, out)
    }
}

impl<T: Text, B: QueryFragment<Sqlite>> QueryFragment<Sqlite> for Statement<T, B> {
    fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        self.walk(T::SQLITE, out)
    }
}

impl<T: Text, B> QueryId for Statement<T, B> {
    type QueryId = T;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl<T, B, C> RunQueryDsl<C> for Statement<T, B> {}

/// Names an INSERT into these columns of a table.
macro_rules! insert_statement {
    ($name:ident, $table_and_columns:literal, $conflict:literal) => {
        struct $name;

        impl $crate::db::statement::Text for $name {
            const POSTGRES: [&'static str; 2] =
                [concat!("INSERT INTO ", $table_and_columns, " SELECT * FROM UNNEST("), concat!(")", $conflict)];
            const SQLITE: [&'static str; 2] =
                [concat!("INSERT INTO ", $table_and_columns, " VALUES ("), concat!(")", $conflict)];
        }
    };
}

/// Runs a statement for a set of rows, whose columns are given in the order of its binds. Evaluates to the number of rows that
/// it wrote.
macro_rules! write_rows {
    ($connection:expr, $statement:ty, $rows:expr, |$row:ident| { $($value:expr => $type:ty),+ $(,)? }) => {{
        let rows = $rows;
        match $connection {
            dual_db::Connection::Postgres(c) => {
                #[allow(unused_variables, reason = "a column may be the same in all rows")]
                let columns = ($(
                    diesel::IntoSql::into_sql::<diesel::sql_types::Array<$type>>(
                        rows.iter().map(|$row| $value).collect::<Vec<_>>(),
                    ),
                )+);
                diesel::RunQueryDsl::execute($crate::db::statement::Statement::<$statement, _>::new(columns), c)
            }
            dual_db::Connection::Sqlite(c) => rows.iter().try_fold(0, |written, $row| {
                let values = ($(diesel::IntoSql::into_sql::<$type>($value),)+);
                let statement = $crate::db::statement::Statement::<$statement, _>::new(values);
                Ok::<usize, diesel::result::Error>(written + diesel::RunQueryDsl::execute(statement, c)?)
            }),
        }
    }};
}

pub(super) use {insert_statement, write_rows};

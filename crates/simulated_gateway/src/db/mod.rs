//! The gateway's database: a file for each table with its queries. Only what must be decided inside a transaction is decided
//! here; the rules are in `domain`.

pub mod book;
mod first_requests;
pub mod group;
pub mod notices;
pub mod payments;
mod refunds;
mod schema;

use diesel_migrations::embed_migrations;
use dual_db::Migrations;

/// All tables.
pub static MIGRATIONS: Migrations = Migrations {
    sqlite: embed_migrations!("migrations/sqlite"),
    postgres: embed_migrations!("migrations/postgres"),
    probes: &[],
};

/// The most rows in one response.
pub const MOST_ROWS: i64 = 1_000;

/// The characters of public ids: letters and digits only, so that an id survives a shell, a URL and a double click.
const ALPHABET: [char; 62] = [
    '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F', 'G', 'H', 'I', 'J', 'K', 'L', 'M',
    'N', 'O', 'P', 'Q', 'R', 'S', 'T', 'U', 'V', 'W', 'X', 'Y', 'Z', 'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j',
    'k', 'l', 'm', 'n', 'o', 'p', 'q', 'r', 's', 't', 'u', 'v', 'w', 'x', 'y', 'z',
];

/// A new public id for an entry of the book.
fn random_id() -> String {
    nanoid::nanoid!(22, &ALPHABET)
}

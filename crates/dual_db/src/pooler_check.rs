//! Finds out whether a transaction pooler is between this process and PostgreSQL.
//!
//! Such a proxy, for example PgBouncer with `pool_mode = transaction`, gives each transaction of a connection any of its server
//! sessions. Prepared statements are then missing or those of another client, and time-outs are set for other clients. Without
//! the setting for it, the first sign would be queries that fail now and then, so the start is refused.

use crate::OpenError;
use diesel::sql_types::{BigInt, Integer};
use diesel::{PgConnection, QueryableByName, RunQueryDsl, sql_query};

/// The order in which the two connections are used. Each is used twice in a row, so that a pooler that takes its server
/// sessions in turn is noticed, whatever their number.
const ORDER: [usize; 4] = [0, 1, 1, 0];

/// How often the order is repeated. An idle pooler is noticed at the second query; the repetitions are for one with many clients,
/// which take the sessions in between.
const ROUNDS: usize = 4;

/// A session of the server. The start of the server tells apart sessions of several servers behind one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, QueryableByName)]
struct ServerSession {
    #[diesel(sql_type = Integer)]
    process_id: i32,
    #[diesel(sql_type = BigInt)]
    server_started_us: i64,
}

/// Refuses a server behind a transaction pooler. Without one, two open connections have one session each and keep it, so that
/// this refuses no other server. Sets nothing in any session.
pub(crate) fn refuse_transaction_pooler(
    connect: impl Fn() -> Result<PgConnection, OpenError>,
) -> Result<(), OpenError> {
    let mut connections = [connect()?, connect()?];
    let mut sessions = [None, None];
    for connection in ORDER.repeat(ROUNDS) {
        let found = session_of(&mut connections[connection])?;
        let before = sessions[connection].replace(found);
        if before.is_some_and(|before| before != found) || sessions[0] == sessions[1] {
            return Err(OpenError(
                "PostgreSQL is behind a transaction pooler: set DATABASE__POOLER=transaction, or connect to the server itself or \
                 to a pooler in session mode"
                    .to_owned(),
            ));
        }
    }
    Ok(())
}

fn session_of(connection: &mut PgConnection) -> Result<ServerSession, OpenError> {
    sql_query(
        "SELECT pg_backend_pid() AS process_id, \
         (extract(epoch FROM pg_postmaster_start_time()) * 1000000)::bigint AS server_started_us",
    )
    .get_result(connection)
    .map_err(|error| OpenError(format!("the PostgreSQL session could not be identified ({error})")))
}

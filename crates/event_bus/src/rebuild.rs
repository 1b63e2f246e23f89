//! Pointers: rows of the outbox that only name their event, and the service that builds their messages again.
//!
//! Right after the commit the message is in memory, and most rows are deleted without having been read. So a row need not hold what
//! the service's own tables hold already.

use crate::OutgoingMessage;
use crate::outbox::{EventPointer, OutboxRow, StoredRow};
use dual_db::{Connection, Result};

/// Builds the messages of events again from what the service stores.
pub trait Rebuild: Send + Sync {
    /// One message for each event, in their order: what is to be published now. An event that a later one of its key supersedes is
    /// published as that later one, because readers go by versions. `None` if the event is of something that is not stored any more.
    ///
    /// # Errors
    /// Those of the database.
    fn rebuild(&self, connection: &mut Connection, events: &[EventPointer]) -> Result<Vec<Option<OutgoingMessage>>>;
}

/// The messages of rows, and the ids of the pointers for which there is no message.
pub(crate) fn complete(
    connection: &mut Connection,
    rebuild: Option<&dyn Rebuild>,
    rows: Vec<StoredRow>,
) -> Result<(Vec<OutboxRow>, Vec<i64>)> {
    let (pointers, stored): (Vec<_>, Vec<_>) = rows.into_iter().partition(StoredRow::is_pointer);
    let mut complete: Vec<OutboxRow> = stored.into_iter().map(StoredRow::into_row).collect();
    let mut without_message = Vec::new();
    let events: Vec<EventPointer> = pointers.iter().map(StoredRow::pointer).collect();
    let messages = match rebuild {
        Some(rebuild) if !events.is_empty() => rebuild.rebuild(connection, &events)?,
        _ => Vec::new(),
    };
    let mut messages = messages.into_iter();
    for pointer in pointers {
        match messages.next().flatten() {
            Some(message) => complete.push(OutboxRow::new(pointer.id, message)),
            None => without_message.push(pointer.id),
        }
    }
    Ok((complete, without_message))
}

//! The keys that have an unpublished event, in the outbox or as a dead letter because it cannot be published. For a service
//! that compares its published events with its stored data.

use crate::dead_letters;
use crate::schema::outbox;
use diesel::dsl::min;
use diesel::prelude::*;
use dual_db::{Connection, Result, on_each_backend};

/// Keys in one page of [`for_each_waiting_key`]: few enough for the parameters of one SELECT.
const KEYS_PER_PAGE: i64 = 1_000;

/// Calls `each` with pages of the keys that have an unpublished event. The event is the one of `topic` whose id is the key
/// followed by `id_suffix`. It is unpublished while it is in the outbox, unsent or unacknowledged, and while it waits as a dead
/// letter because it could not be published.
///
/// Each key comes once, with the time since when its event is unpublished, in microseconds since 1970. A page has at most 1,000
/// keys. Call this in one transaction, so that no key is missed between two pages.
///
/// # Errors
/// Those of the database, or what `each` returns.
pub fn for_each_waiting_key(
    connection: &mut Connection,
    topic: &str,
    id_suffix: &str,
    mut each: impl FnMut(&mut Connection, &[(String, i64)]) -> Result<()>,
) -> Result<()> {
    let mut dead_lettered = dead_letters::unpublished_since(connection, topic, id_suffix)?;
    let mut after = String::new();
    loop {
        let page: Vec<(String, Option<i64>)> = on_each_backend!(connection, |c| {
            outbox::table
                .filter(outbox::topic.eq(topic))
                .filter(outbox::event_id.gt(&after))
                .filter(outbox::event_id.eq(outbox::message_key.concat(id_suffix)))
                .group_by(outbox::event_id)
                .order(outbox::event_id)
                .limit(KEYS_PER_PAGE)
                .select((outbox::event_id, min(outbox::created_at_us)))
                .load(c)
        })?;
        let Some((last, _)) = page.last() else { break };
        after.clone_from(last);
        let mut keys = Vec::with_capacity(page.len());
        for (event_id, since_us) in page {
            let (Some(key), Some(since_us)) = (event_id.strip_suffix(id_suffix), since_us) else { continue };
            let earlier_us = dead_lettered.remove(key).unwrap_or(since_us);
            keys.push((key.to_owned(), since_us.min(earlier_us)));
        }
        each(connection, &keys)?;
    }
    let rest: Vec<(String, i64)> = dead_lettered.into_iter().collect();
    rest.chunks(usize::try_from(KEYS_PER_PAGE).unwrap_or(usize::MAX)).try_for_each(|page| each(connection, page))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::OutgoingMessage;
    use crate::outbox::tests::message;
    use crate::outbox::{insert, take_out};
    use dual_db::Database;
    use test_support::on_both_databases;

    on_both_databases! {
        fn a_key_comes_once_with_the_time_of_its_first_event_from_the_outbox_and_the_dead_letters(database: &Database) {
            database.migrate(&[&crate::MIGRATIONS]).unwrap();
            let first = |n: usize| OutgoingMessage { event_id: format!("key-{n}.first"), ..message(n) };
            let insert_at = |now_us: i64, messages: &[OutgoingMessage]| {
                let pointers: Vec<_> = messages.iter().map(|message| (message.clone(), false)).collect();
                database.write(|c| insert(c, &pointers, now_us, 0)).unwrap()
            };
            insert_at(7_000, &(0..2_500).map(first).collect::<Vec<_>>());
            // Published again, another event of the key, another topic, and an event of another key.
            insert_at(9_000, &[first(3)]);
            insert_at(1, &[
                OutgoingMessage { event_id: "key-1.second".into(), ..first(1) },
                OutgoingMessage { topic: "another".into(), ..first(2) },
                OutgoingMessage { key: "another".into(), ..first(4) },
            ]);
            // One is a dead letter and in the outbox again, two are only dead letters, and one of these was discarded.
            let ids = insert_at(5_000, &[first(5), first(9_000), first(9_001)]);
            for id in ids {
                let dead_lettered = database.write(|c| {
                    let (row, created_at_us) = take_out(c, id)?.expect("it is there");
                    dead_letters::insert_unpublished(c, &row.into_row(), created_at_us, "too large", 6_000)
                });
                dead_lettered.unwrap().report();
            }
            let action = crate::DeadLetterAction::default();
            database.write(|c| crate::discard_dead_letter(c, 3, &action, 8_000)).unwrap();

            let mut found = std::collections::BTreeMap::new();
            database
                .read(|c| {
                    c.snapshot(|c| {
                        for_each_waiting_key(c, "topic", ".first", |_, page| {
                            assert!(page.len() <= 1_000);
                            for (key, since_us) in page {
                                assert!(found.insert(key.clone(), *since_us).is_none(), "{key} comes once");
                            }
                            Ok(())
                        })
                    })
                })
                .unwrap();
            assert_eq!((found.len(), found["key-3"], found["key-5"], found["key-9000"]), (2_501, 7_000, 6_000, 6_000));
        }
    }
}

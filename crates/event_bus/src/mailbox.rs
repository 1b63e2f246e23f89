//! A queue between threads whose reader takes everything at once. Only the first item wakes the reader: a wake-up costs more than
//! an item.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The queue. It has no bound of its own.
#[derive(Debug)]
pub(crate) struct Mailbox<T> {
    contents: Mutex<Contents<T>>,
    changed: Condvar,
}

#[derive(Debug)]
struct Contents<T> {
    items: Vec<T>,
    is_closed: bool,
}

impl<T> Mailbox<T> {
    pub(crate) fn new() -> Self {
        Self { contents: Mutex::new(Contents { items: Vec::new(), is_closed: false }), changed: Condvar::new() }
    }

    /// Puts items in. Drops them and returns `false` if the mailbox is closed.
    pub(crate) fn put(&self, items: impl IntoIterator<Item = T>) -> bool {
        let mut contents = self.contents();
        if contents.is_closed {
            return false;
        }
        let was_empty = contents.items.is_empty();
        contents.items.extend(items);
        if was_empty && !contents.items.is_empty() {
            self.changed.notify_all();
        }
        true
    }

    /// Closes the mailbox: the reader gets what is in it at once, and nothing more.
    pub(crate) fn close(&self) {
        self.contents().is_closed = true;
        self.changed.notify_all();
    }

    /// Waits for an item, then as long as `gather` says for others, and takes all. Returns `None` once it is closed and empty.
    pub(crate) fn take(&self, gather: impl FnOnce() -> Duration) -> Option<Vec<T>> {
        let is_empty = |contents: &mut Contents<T>| contents.items.is_empty() && !contents.is_closed;
        let contents = self.changed.wait_while(self.contents(), is_empty).unwrap_or_else(PoisonError::into_inner);
        let (mut contents, _) = self
            .changed
            .wait_timeout_while(contents, gather(), |contents| !contents.is_closed)
            .unwrap_or_else(PoisonError::into_inner);
        let items = std::mem::take(&mut contents.items);
        (!items.is_empty()).then_some(items)
    }

    fn contents(&self) -> MutexGuard<'_, Contents<T>> {
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reader_takes_everything_and_what_is_left_when_it_is_closed() {
        let mailbox = Mailbox::new();
        assert!(mailbox.put([1, 2]) && mailbox.put([3]));
        assert_eq!(mailbox.take(|| Duration::ZERO), Some(vec![1, 2, 3]));
        assert!(mailbox.put([4]));
        mailbox.close();
        assert!(!mailbox.put([5]));
        assert_eq!(mailbox.take(|| Duration::from_secs(3_600)), Some(vec![4]), "it does not gather");
        assert_eq!(mailbox.take(|| Duration::from_secs(3_600)), None);
    }

    #[test]
    fn the_reader_gathers_until_the_mailbox_is_closed() {
        let mailbox = Mailbox::new();
        mailbox.put([1]);
        let taken = std::thread::scope(|scope| {
            let reading = scope.spawn(|| mailbox.take(|| Duration::from_secs(3_600)));
            mailbox.put([2]);
            mailbox.close();
            reading.join().unwrap()
        });
        assert_eq!(taken, Some(vec![1, 2]));
    }
}

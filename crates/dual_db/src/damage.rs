//! Damage of an SQLite file: pages that another program or a failing disk has overwritten. The file is checked at the start and
//! after an error that has no kind, which damage causes, but not on the way of a request.

use crate::{Connection, DatabaseSettings, OpenError};
use diesel::sql_types::Text;
use diesel::{QueryableByName, RunQueryDsl, sql_query};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long the result of a check is kept while errors go on.
const CHECK_AGAIN_AFTER: Duration = Duration::from_secs(60);

/// What is known about the file.
#[derive(Debug)]
pub(crate) struct Damage {
    file: PathBuf,
    most_bytes: u64,
    /// Whether there was an error since the last check that damage may have caused.
    has_new_errors: AtomicBool,
    /// When the file was last checked after an error. Locked while it is checked.
    checked_at: Mutex<Option<Instant>>,
    found: Mutex<Option<String>>,
}

#[derive(QueryableByName)]
struct Finding {
    #[diesel(sql_type = Text)]
    quick_check: String,
}

impl Damage {
    pub(crate) fn of(file: &Path, settings: &DatabaseSettings) -> Self {
        let most_bytes = settings.check_max_megabytes.saturating_mul(1024 * 1024);
        Self {
            file: file.to_owned(),
            most_bytes,
            has_new_errors: AtomicBool::new(false),
            checked_at: Mutex::default(),
            found: Mutex::default(),
        }
    }

    /// Notes an error that damage may have caused.
    pub(crate) fn note_error(&self) {
        self.has_new_errors.store(true, Ordering::SeqCst);
    }

    /// Checks the file if it is small enough. Returns the damage in a sentence that says what to do.
    pub(crate) fn check(&self, connection: &mut Connection) -> Option<String> {
        let Connection::Sqlite(sqlite) = connection else { return None };
        let bytes = std::fs::metadata(&self.file).map_or(0, |file| file.len());
        if bytes > self.most_bytes {
            tracing::warn!(
                bytes,
                most_bytes = self.most_bytes,
                "SQLite file not checked for damage, it is larger than database.check_max_megabytes"
            );
            return None;
        }
        let found = match sql_query("PRAGMA quick_check(1)").load::<Finding>(sqlite) {
            Ok(findings) => findings.into_iter().map(|finding| finding.quick_check).find(|finding| finding != "ok")?,
            Err(error) => error.to_string(),
        };
        Some(format!(
            "the SQLite database {} is damaged ({}): stop the service, keep a copy of the file, and restore a snapshot",
            self.file.display(),
            found.lines().next_back().unwrap_or_default()
        ))
    }

    /// The damage that is known.
    pub(crate) fn known(&self) -> Option<String> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The damage that is known, after a check if an error since the last one may come from damage. The check uses a connection
    /// of its own, because those in the pool may be in use.
    pub(crate) fn after_errors(&self, connect: impl FnOnce() -> Result<Connection, OpenError>) -> Option<String> {
        // One check at a time is enough.
        if let Ok(mut checked_at) = self.checked_at.try_lock()
            && checked_at.is_none_or(|at| at.elapsed() >= CHECK_AGAIN_AFTER)
            && self.has_new_errors.swap(false, Ordering::SeqCst)
        {
            let found = match connect() {
                Ok(mut connection) => self.check(&mut connection),
                Err(error) => Some(error.to_string()),
            };
            if let Some(found) = &found {
                tracing::error!("{found}");
            }
            *self.found.lock().unwrap_or_else(PoisonError::into_inner) = found;
            *checked_at = Some(Instant::now());
        }
        self.known()
    }
}

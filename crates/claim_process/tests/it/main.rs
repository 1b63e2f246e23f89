//! claim_process from outside: its intake, its HTTP API on both databases, and its events on a broker.

#![allow(clippy::unwrap_used, reason = "clippy does not see that what on_both_databases! writes are tests")]

mod attention;
mod batch;
mod batch_rows;
mod batch_stream;
mod canary;
mod canonical_forms;
mod checks;
mod dead_letters;
mod duplicates;
mod external_ids;
mod failed_commit;
mod fuzz_corpus;
mod group_commit;
mod idempotency;
mod intake;
mod kafka;
mod key_purge;
mod listing;
mod lost_commit;
mod migrations;
mod openapi;
mod oracle;
mod outcomes;
mod post_claim;
mod program;
mod publishing;
mod rate_limits;
mod readiness;
mod readme;
mod reannounce;
mod reconciliation;
mod reference;
mod refusals;
mod request_limits;
mod rules;
mod service;
mod silence;
mod submitted;
mod top_providers;
mod unapplied_outcomes;
mod validate;
mod void;
mod watchdog;

//! The help texts of this service's metrics, with those of the crates that it uses.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

/// Registers the help text and unit of each metric. Call it once, after the recorder is installed.
pub fn describe() {
    event_bus::metrics::describe();
    operator_api::metrics::describe();
    describe_counter!("claims_accepted_total", Unit::Count, "Claims that were accepted.");
    describe_counter!("claims_marked_for_attention_total", Unit::Count, "Claims that became `needs_attention`.");
    describe_counter!("claims_refused_total", Unit::Count, "Claims that were refused.");
    describe_counter!("claims_voided_total", Unit::Count, "Accepted voids.");
    describe_counter!(
        "idempotency_keys_purged_total",
        Unit::Count,
        "Idempotency keys that were deleted after their lifetime."
    );
    describe_counter!(
        "outcome_contradictions_total",
        Unit::Count,
        "Outcomes that contradict the stored one under the same version; each becomes a dead letter."
    );
    describe_counter!("outcome_requests_total", Unit::Count, "Overdue outcomes that were requested again.");
    describe_counter!("outcomes_applied_total", Unit::Count, "Outcomes that were applied.");
    describe_gauge!("claims_needing_attention", Unit::Count, "Claims that need attention.");
    describe_counter!(
        "unreadable_claims_total",
        Unit::Count,
        "Overdue claims whose rows could not be read; the log names each."
    );
    describe_histogram!("ingest_group_claims", Unit::Count, "Claims that shared a commit.");
}

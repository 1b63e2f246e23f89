//! The help texts of this service's metrics, with those of the crates that it uses.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

/// Registers the help text and unit of each metric. Call it once, after the recorder is installed.
pub fn describe() {
    event_bus::metrics::describe();
    operator_api::metrics::describe();
    describe_counter!(
        "claim_contradictions_total",
        Unit::Count,
        "Claim events that contradict an earlier one; each becomes a dead letter."
    );
    describe_counter!(
        "deadlines_in_doubt_total",
        Unit::Count,
        "Claims that are too late only by a clock that is not trusted; they were left until they are requested again."
    );
    describe_counter!(
        "gateway_calls_not_in_time_total",
        Unit::Count,
        "Calls that waited too long for a permit and were left for later."
    );
    describe_counter!(
        "gateway_concurrency_decisions_total",
        Unit::Count,
        "Changes of the limit on concurrent gateway calls."
    );
    describe_counter!(
        "gateway_indefinite_total",
        Unit::Count,
        "Indefinite responses of the gateway: `busy`, `server_error`, `timeout`, `connection` or `nonsense`."
    );
    describe_counter!("operator_actions_total", Unit::Count, "Operator actions on payments.");
    describe_counter!("payment_alarms_total", Unit::Count, "Alarms; each is logged as an error and needs a person.");
    describe_counter!("payment_outcomes_published_total", Unit::Count, "Outcomes that were published.");
    describe_counter!("payments_returned_total", Unit::Count, "Returns that were booked.");
    describe_counter!(
        "stale_answers_total",
        Unit::Count,
        "Gateway responses under an old revision that were not applied."
    );
    describe_counter!("webhooks_refused_total", Unit::Count, "Webhooks that were refused.");
    describe_counter!("webhooks_taken_total", Unit::Count, "Webhooks that were answered with 2xx, by their type.");
    describe_gauge!("gateway_calls_in_flight", Unit::Count, "Gateway calls in progress or waiting for a permit.");
    describe_gauge!("gateway_concurrency_in_use", Unit::Count, "Gateway calls in progress.");
    describe_gauge!("gateway_concurrency_limit", Unit::Count, "The limit on concurrent gateway calls.");
    describe_gauge!(
        "gateway_concurrency_pause_seconds",
        Unit::Seconds,
        "What is left of a pause between gateway calls."
    );
    describe_gauge!("gateway_concurrency_waiting", Unit::Count, "Gateway calls that wait for a permit.");
    describe_gauge!("gateway_returns_oldest_age_seconds", Unit::Seconds, "The age of the oldest return that waits.");
    describe_gauge!("gateway_returns_waiting", Unit::Count, "Returns that could not be booked and wait.");
    describe_gauge!("payments_stuck", Unit::Count, "Stuck payments, of all instances.");
    describe_histogram!("gateway_call_seconds", Unit::Seconds, "The duration of gateway calls.");
}

//! The help texts of this crate's metrics.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

/// Registers the help text and unit of each metric. Call it once, after the recorder is installed.
pub fn describe() {
    dual_db::metrics::describe();
    describe_histogram!(
        "consumer_batch_messages",
        Unit::Count,
        "Messages that were applied together, as they came by fetches since the batch before."
    );
    describe_counter!("dead_letters_total", Unit::Count, "Dead letters that were stored.");
    describe_counter!("events_delivered_total", Unit::Count, "Events that Kafka acknowledged.");
    describe_counter!(
        "events_delivery_failed_total",
        Unit::Count,
        "Events that Kafka did not acknowledge in time; they are sent again."
    );
    describe_counter!(
        "events_left_to_sweeper_total",
        Unit::Count,
        "Events that did not fit into the producer's queue; the sweeper sends them."
    );
    describe_counter!("events_swept_total", Unit::Count, "Outbox rows that the sweeper handed to the producer.");
    describe_gauge!("dead_letters_waiting", Unit::Count, "Dead letters that wait for an operator, of all instances.");
    describe_counter!("messages_received_total", Unit::Count, "Messages that were consumed.");
}

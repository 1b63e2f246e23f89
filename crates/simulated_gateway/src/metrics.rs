//! The help texts of the gateway's metrics.

use metrics::{Unit, describe_counter, describe_histogram};

/// Registers the help text and unit of each metric. Call it once, after the recorder is installed.
pub fn describe() {
    describe_counter!("gateway_faults_total", Unit::Count, "Random faults.");
    describe_histogram!("gateway_group_requests", Unit::Count, "Payment and refund requests that share a transaction.");
    describe_counter!("gateway_payment_requests_total", Unit::Count, "Payment requests.");
    describe_counter!("gateway_refund_requests_total", Unit::Count, "Refund requests.");
    describe_counter!(
        "gateway_webhooks_total",
        Unit::Count,
        "Webhook attempts; `delivered` tells whether the receiver confirmed it."
    );
}

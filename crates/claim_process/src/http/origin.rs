//! The request in hand, as the claims that come with it name it.

use crate::claims::submission::Origin;
use service_runtime::request_context;

/// The request that is being handled.
pub(super) fn current_origin() -> Origin {
    Origin {
        correlation_id: request_context::current_request_id().unwrap_or_default(),
        traceparent: request_context::current_traceparent(),
    }
}

//! The adapters, by the names that the setting `gateway.adapter` has for them. Another gateway is a module beside
//! `keyed_json`, a name in [`GatewayAdapter`] and a line here.

use super::Gateway;
use super::keyed_json::KeyedJsonGateway;
use crate::settings::{GatewayAdapter, GatewaySettings};
use std::sync::Arc;

/// The adapter that the settings name.
///
/// # Errors
/// When it cannot be made.
pub fn from_settings(settings: &GatewaySettings) -> anyhow::Result<Arc<dyn Gateway>> {
    match settings.adapter {
        GatewayAdapter::KeyedJson => Ok(Arc::new(KeyedJsonGateway::new(settings)?)),
    }
}

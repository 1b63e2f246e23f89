//! `REFERENCE.md`: settings, metrics and problem types, as the code has them.

use claim_process::settings::{PREFIX, Settings};
use test_support::reference::assert_up_to_date;

#[test]
fn the_reference_page_is_up_to_date() {
    let defaults = serde_json::to_value(Settings::default()).expect("settings are plain data");
    assert_up_to_date(
        env!("CARGO_MANIFEST_DIR"),
        &["event_bus", "dual_db", "service_runtime", "operator_api"],
        PREFIX,
        &defaults,
    );
}

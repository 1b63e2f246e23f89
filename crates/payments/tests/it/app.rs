//! The service as it is put together.

use crate::harness::settings;
use payments::app::Application;
use test_support::TestDatabase;

/// As when a later part cannot be built: it has to end with a sentence and not with a panic.
#[actix_web::test]
async fn what_was_built_and_does_not_run_ends_quietly() {
    let database = TestDatabase::sqlite();
    let mut settings = settings();
    settings.http.port = 0;
    settings.database = database.settings().clone();
    settings.gateway.url = "http://127.0.0.1:1".to_owned();
    drop(Application::build(settings).expect("starts"));
}

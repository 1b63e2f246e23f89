//! A claim that was submitted to a service with a broker, for tests of its outcomes.

use crate::kafka::{Kafka, encoded, settled};
use crate::service::{PROVIDERS, Service, claim, with_settings};
use claim_events::PAYMENT_TOPIC;
use claim_process::settings::Settings;
use rdkafka::producer::BaseRecord;
use test_support::TestDatabase;

/// A submitted claim of 81.25.
pub struct Submitted<'a> {
    pub service: Service,
    pub kafka: &'a Kafka,
    pub id: String,
    /// The partition of its event, and so of its outcomes.
    pub partition: i32,
}

/// Runs `test` with a claim that was submitted to a service with this database and a broker of its own.
pub fn with_submitted(database: &TestDatabase, test: impl AsyncFnOnce(Submitted<'_>)) {
    with_submitted_and(database, |_| (), test);
}

/// The same, with other settings.
pub fn with_submitted_and(
    database: &TestDatabase,
    change: impl FnOnce(&mut Settings),
    test: impl AsyncFnOnce(Submitted<'_>),
) {
    // The broker outlives the service, which leaves its group and publishes what waits when it stops.
    let kafka = Kafka::start();
    let configure = |settings: &mut Settings| {
        kafka.configure(settings);
        change(settings);
    };
    with_settings(database, configure, async |service| {
        let (id, partition) = submit(&service, &kafka).await;
        test(Submitted { service, kafka: &kafka, id, partition }).await;
    });
}

/// Submits a claim of 81.25 and waits for its event: its id and its partition.
pub async fn submit(service: &Service, kafka: &Kafka) -> (String, i32) {
    let id = service.accepted(&claim(PROVIDERS[0], "81.25")).await;
    let published = kafka.published(1).await.remove(0);
    assert_eq!(published.key, id);
    (id, published.partition)
}

/// Waits until all earlier messages of the partition are handled: a claim of its own, settled there, comes after them.
pub async fn handled(service: &Service, kafka: &Kafka, partition: i32) {
    let marker = service.accepted(&claim(PROVIDERS[3], "0.00")).await;
    let event = encoded(1, &settled(&marker, 0));
    kafka.send(BaseRecord::to(PAYMENT_TOPIC).partition(partition).key(&event.key).payload(&event.body), &event.headers);
    service.claim_with_status(&marker, "settled").await;
}

//! A consumer whose request to join its group stays unanswered, while the broker answers everything else.

#![allow(unsafe_code, reason = "a delayed response of the in-memory cluster has no safe wrapper in rdkafka")]

use crate::bus::{Recorder, TOPIC, settings_for};
use event_bus::{Consumer, MIGRATIONS};
use rdkafka::ClientConfig;
use rdkafka::bindings::{
    rd_kafka_handle_mock_cluster, rd_kafka_mock_broker_push_request_error_rtts,
    rd_kafka_mock_group_initial_rebalance_delay_ms, rd_kafka_resp_err_t,
};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use test_support::{PATIENCE, TestDatabase};

const BROKER_ID: i32 = 1;
/// The number of the request `JoinGroup` in Kafka's protocol.
const JOIN_GROUP: i16 = 11;
/// The cluster's default is longer than the session time-out of these tests: a member would be dropped while it joins.
const FIRST_JOIN_DELAY_MS: i32 = 100;

/// A client with a cluster, which answers the first request to join a group only when every wait of a test is over.
fn cluster() -> BaseProducer {
    let client: BaseProducer = ClientConfig::new().set("test.mock.num.brokers", "1").create().unwrap();
    let answered_after_ms = i32::try_from(2 * PATIENCE.as_millis()).unwrap();
    // SAFETY: the client and with it its cluster live until the function returns; one pair of an error and a delay follows the
    // count of 1, both as integers, which is how C passes them.
    let pushed = unsafe {
        let cluster = rd_kafka_handle_mock_cluster(client.client().native_ptr());
        rd_kafka_mock_group_initial_rebalance_delay_ms(cluster, FIRST_JOIN_DELAY_MS);
        let error = rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS as i32;
        rd_kafka_mock_broker_push_request_error_rtts(cluster, BROKER_ID, JOIN_GROUP, 1, error, answered_after_ms)
    };
    assert_eq!(pushed, rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR);
    client
}

#[test]
fn a_consumer_without_a_place_in_its_group_joins_with_a_new_client() {
    let client = cluster();
    let brokers = client.client().mock_cluster().expect("the client has one");
    brokers.create_topic(TOPIC, 12, 1).unwrap();
    client.send(BaseRecord::<str, _>::to(TOPIC).payload("message")).map_err(|(error, _)| error).unwrap();
    client.flush(PATIENCE).unwrap();
    let test = TestDatabase::sqlite();
    test.database().migrate(&[&MIGRATIONS]).unwrap();
    let mut settings = settings_for(&brokers.bootstrap_servers(), "group");
    settings.consumer.join_timeout_ms = 5_000;

    let recorder = Recorder::new();
    let consumer = Consumer::start(&settings, TOPIC, test.database().clone(), recorder.clone()).unwrap();
    recorder.wait_for(1);
    assert_eq!(recorder.bodies(), ["message"]);
    consumer.stop().unwrap();
}

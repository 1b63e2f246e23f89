//! A broker for one test with a producer and a consumer of its own, and a handler that records the messages it gets.

use event_bus::{Handler, IncomingMessage, KafkaSettings, OutgoingMessage, Relay};
use local_broker::TOPICS;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::{Header, Headers, Message, OwnedHeaders, OwnedMessage};
use rdkafka::producer::BaseRecord;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use test_support::{TestBroker, wait_until};

/// The topic of these tests, which the broker creates with twelve partitions.
pub const TOPIC: &str = TOPICS[0];

/// The broker of one test.
pub struct Broker(TestBroker);

impl Broker {
    /// A broker on a free port.
    pub fn start() -> Self {
        Self::start_at("127.0.0.1:0")
    }

    /// A broker on the given address, which a client may have been configured with before.
    pub fn start_at(address: &str) -> Self {
        Self(TestBroker::start_at(address, TOPIC))
    }

    /// Settings for a member of a group at this broker, with short times.
    pub fn settings(&self, group: &str) -> KafkaSettings {
        settings_for(&self.0.address(), group)
    }

    /// Produces messages with the given keys and bodies, and waits until the broker has acknowledged them.
    pub fn send<'a>(&self, messages: impl IntoIterator<Item = (&'a str, String)>) {
        let messages: Vec<_> = messages.into_iter().collect();
        let headers = OwnedHeaders::new().insert(Header { key: "name", value: Some("value") });
        self.0.send(
            messages.iter().map(|(key, body)| BaseRecord::to(TOPIC).key(*key).payload(body).headers(headers.clone())),
        );
    }

    /// As [`Broker::send`], all to one partition and in one batch, so that a consumer gets them together.
    pub fn send_together<'a>(&self, messages: impl IntoIterator<Item = (&'a str, String)>) {
        let messages: Vec<_> = messages.into_iter().collect();
        self.0.send(messages.iter().map(|(key, body)| BaseRecord::to(TOPIC).partition(0).key(*key).payload(body)));
    }

    /// Produces one message to an explicit partition, with an optional key and an optional body.
    pub fn send_raw(&self, partition: i32, key: Option<&[u8]>, body: Option<&[u8]>) {
        let mut record = BaseRecord::to(TOPIC).partition(partition);
        record.key = key;
        record.payload = body;
        self.0.send([record]);
    }

    /// Produces each body to each of the twelve partitions, in order, and waits until the broker has acknowledged them.
    pub fn send_to_all_partitions(&self, bodies: &[String]) {
        let messages = bodies.iter().flat_map(|body| (0..12).map(move |partition| (body, partition)));
        self.0.send(
            messages.map(|(body, partition)| BaseRecord::to(TOPIC).partition(partition).key("key").payload(body)),
        );
    }

    /// The next messages on the topic.
    pub fn seen(&self, wanted: usize) -> Vec<OwnedMessage> {
        let mut seen = Vec::new();
        wait_until(&format!("{wanted} messages are on the topic"), || {
            while seen.len() < wanted
                && let Some(message) = self.seen_now()
            {
                seen.push(message);
            }
            seen.len() == wanted
        });
        seen
    }

    /// The next message on the topic, if there is one now.
    pub fn seen_now(&self) -> Option<OwnedMessage> {
        self.0.seen_now()
    }
}

/// Settings for a member of a group at the broker at `address`, with short times.
pub fn settings_for(address: &str, group: &str) -> KafkaSettings {
    let mut settings = KafkaSettings::for_group(group);
    settings.brokers = address.to_owned();
    settings.consumer.session_timeout_ms = 2_000;
    settings.consumer.retry_pause_ms = 20;
    settings.consumer.max_retry_pause_ms = 100;
    settings.outbox.sweep_interval_ms = 20;
    settings.outbox.delete_linger_ms = 5;
    settings
}

/// The text of a message.
pub fn text(bytes: Option<&[u8]>) -> String {
    String::from_utf8(bytes.unwrap_or_default().to_vec()).expect("UTF-8")
}

/// The bodies of messages, in order.
pub fn bodies(messages: &[OwnedMessage]) -> Vec<String> {
    messages.iter().map(|message| text(message.payload())).collect()
}

/// The headers of a message.
pub fn headers(message: &OwnedMessage) -> Vec<(String, String)> {
    let headers = message.headers().expect("headers").iter();
    headers.map(|header| (header.key.to_owned(), text(header.value))).collect()
}

/// Publishes messages in a transaction that does nothing else.
pub fn publish(relay: &Relay, messages: &[OutgoingMessage]) {
    let committed = relay.commit(|_, publications| {
        publications.publish(messages.iter().cloned());
        Ok(())
    });
    committed.expect("they are committed");
}

/// An outgoing message whose key and body contain `n`.
pub fn outgoing(n: usize) -> OutgoingMessage {
    OutgoingMessage {
        event_id: format!("event-{n}"),
        topic: TOPIC.to_owned(),
        key: format!("key-{n}"),
        headers: vec![("first".to_owned(), n.to_string()), ("second".to_owned(), "ü".to_owned())],
        body: format!("{{\"n\":{n}}}"),
    }
}

/// The result of applying a batch.
type Behaviour = dyn FnMut(&[IncomingMessage]) -> dual_db::Result<()> + Send;

/// A handler that records the messages it gets; clones share the record.
#[derive(Clone)]
pub struct Recorder {
    applied: Arc<Mutex<Vec<IncomingMessage>>>,
    tried: Arc<Mutex<Vec<IncomingMessage>>>,
    room: Arc<AtomicBool>,
    room_checks: Arc<AtomicU32>,
    behaviour: Arc<Mutex<Box<Behaviour>>>,
}

impl Recorder {
    /// A handler that applies everything.
    pub fn new() -> Self {
        Self::that(|_| Ok(()))
    }

    /// A handler that applies the batches for which `behaviour` returns `Ok`.
    pub fn that(behaviour: impl FnMut(&[IncomingMessage]) -> dual_db::Result<()> + Send + 'static) -> Self {
        Self {
            applied: Arc::default(),
            tried: Arc::default(),
            room: Arc::new(AtomicBool::new(true)),
            room_checks: Arc::default(),
            behaviour: Arc::new(Mutex::new(Box::new(behaviour))),
        }
    }

    /// The applied messages, in order.
    pub fn applied(&self) -> Vec<IncomingMessage> {
        self.applied.lock().expect("no panic").clone()
    }

    /// The bodies of the applied messages, in order.
    pub fn bodies(&self) -> Vec<String> {
        self.applied().iter().map(|message| text(Some(&message.body))).collect()
    }

    /// The bodies of all messages of all attempts, in order.
    pub fn tried(&self) -> Vec<String> {
        self.tried.lock().expect("no panic").iter().map(|message| text(Some(&message.body))).collect()
    }

    /// Sets whether the handler has room.
    pub fn set_room(&self, room: bool) {
        self.room.store(room, Ordering::SeqCst);
    }

    /// Waits until the consumer has called `has_room` `more` times from now.
    pub fn wait_for_room_checks(&self, more: u32) {
        let before = self.room_checks.load(Ordering::SeqCst);
        wait_until("the consumer goes on", || self.room_checks.load(Ordering::SeqCst) >= before + more);
    }

    /// Waits until `wanted` messages are applied.
    pub fn wait_for(&self, wanted: usize) {
        wait_until(&format!("{wanted} messages are applied"), || {
            self.applied.lock().expect("no panic").len() >= wanted
        });
    }
}

impl Handler for Recorder {
    fn has_room(&self) -> bool {
        self.room_checks.fetch_add(1, Ordering::SeqCst);
        self.room.load(Ordering::SeqCst)
    }

    fn handle(&mut self, batch: &[IncomingMessage]) -> dual_db::Result<()> {
        self.tried.lock().expect("no panic").extend_from_slice(batch);
        (self.behaviour.lock().expect("no panic"))(batch)?;
        self.applied.lock().expect("no panic").extend_from_slice(batch);
        Ok(())
    }
}

/// The bodies of the first `wanted` messages on the first partition of a topic at the brokers of `settings`.
pub fn arrived(settings: &KafkaSettings, topic: &str, wanted: usize) -> Vec<String> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &settings.brokers)
        .set("group.id", "test")
        .create()
        .expect("a consumer");
    let mut first = TopicPartitionList::new();
    first.add_partition_offset(topic, 0, Offset::Beginning).expect("an offset");
    consumer.assign(&first).expect("assigns");
    let mut found = Vec::new();
    wait_until(&format!("{wanted} messages are on {topic}"), || {
        if let Some(Ok(message)) = consumer.poll(Duration::from_millis(20)) {
            found.push(text(message.payload()));
        }
        found.len() >= wanted
    });
    found
}

//! A broker for one test, with an independent producer and consumer.

use crate::PATIENCE;
use claim_events::PARTITIONS;
use local_broker::LocalBroker;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{OwnedMessage, ToBytes};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use std::time::Duration;

/// A broker, and clients of it.
#[allow(missing_debug_implementations)]
pub struct TestBroker {
    sender: ThreadedProducer<DefaultProducerContext>,
    witness: BaseConsumer,
    // Dropped last, after its clients.
    broker: LocalBroker,
}

impl TestBroker {
    /// Starts a broker on a loopback address, with a consumer of one topic. Port 0 is any free port.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn start_at(address: &str, topic: &str) -> Self {
        let broker = LocalBroker::start(address).expect("the broker starts");
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", broker.address().to_string()).set("partitioner", "murmur2_random");
        let witness: BaseConsumer =
            client.clone().set("group.id", "witness").set("fetch.wait.max.ms", "10").create().expect("a consumer");
        let mut all = TopicPartitionList::new();
        for partition in 0..PARTITIONS {
            all.add_partition_offset(topic, partition, Offset::Beginning).expect("an offset");
        }
        witness.assign(&all).expect("assigns");
        // `send` flushes, which waits for nothing: what it gets is sent together.
        let sender = client.set("linger.ms", "1000").create().expect("a producer");
        Self { sender, witness, broker }
    }

    /// The address that it listens on.
    pub fn address(&self) -> String {
        self.broker.address().to_string()
    }

    /// Sends messages and waits until the broker has acknowledged them.
    ///
    /// # Panics
    /// If it does not acknowledge them.
    pub fn send<'a, K: ToBytes + ?Sized + 'a, P: ToBytes + ?Sized + 'a>(
        &self,
        records: impl IntoIterator<Item = BaseRecord<'a, K, P>>,
    ) {
        for record in records {
            self.sender.send(record).map_err(|(error, _)| error).expect("queued");
        }
        self.sender.flush(PATIENCE).expect("delivered");
    }

    /// The next message on the topic, if one has arrived.
    pub fn seen_now(&self) -> Option<OwnedMessage> {
        Some(self.witness.poll(Duration::from_millis(20))?.ok()?.detach())
    }
}

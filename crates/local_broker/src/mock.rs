//! librdkafka's in-memory cluster, on a thread of its own: its handle must stay on the thread that made it.
//!
//! The only module with `unsafe` code: two of the cluster's settings have no safe wrapper.

use anyhow::Context;
use rdkafka::ClientConfig;
use rdkafka::bindings::{
    rd_kafka_handle_mock_cluster, rd_kafka_mock_broker_set_host_port, rd_kafka_mock_group_initial_rebalance_delay_ms,
};
use rdkafka::producer::{BaseProducer, DefaultProducerContext, Producer};
use std::ffi::{CString, c_int};
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// The cluster's only broker.
const BROKER_ID: i32 = 1;

/// How long a group's first join waits for more members. The cluster's own 3 s would be felt at every start; members that
/// come later cost a rebalance of their own.
const FIRST_JOIN_WAITS_MS: i32 = 100;

/// How often the cluster's own client is served: what it reports would pile up otherwise.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// A running cluster; dropping it ends it.
#[derive(Debug)]
pub(crate) struct Mock {
    address: SocketAddr,
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Mock {
    /// Starts a cluster that tells its clients to come to `advertised`.
    pub(crate) fn start(
        advertised: SocketAddr,
        topics: &'static [&'static str],
        partitions: i32,
    ) -> anyhow::Result<Self> {
        let (started, start) = channel();
        let (stop, stopped) = channel();
        let thread = std::thread::Builder::new()
            .name("mock cluster".to_owned())
            .spawn(move || run(advertised, topics, partitions, &started, &stopped))
            .context("the in-memory cluster got no thread")?;
        let address = start
            .recv()
            .context("it ended while it was starting")
            .flatten()
            .context("the in-memory cluster could not be started")?;
        Ok(Self { address, stop: Some(stop), thread: Some(thread) })
    }

    /// The port it really listens on, another one at every start.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Mock {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // A panic of that thread has been printed; there is nothing left to end.
            let _ = thread.join();
        }
    }
}

fn run(
    advertised: SocketAddr,
    topics: &[&str],
    partitions: i32,
    started: &Sender<anyhow::Result<SocketAddr>>,
    stopped: &Receiver<()>,
) {
    let (producer, address) = match set_up(advertised, topics, partitions) {
        Ok(cluster) => cluster,
        Err(problem) => {
            // Whoever started this thread waits for exactly this.
            let _ = started.send(Err(problem));
            return;
        }
    };
    let _ = started.send(Ok(address));
    while matches!(stopped.recv_timeout(POLL_INTERVAL), Err(RecvTimeoutError::Timeout)) {
        producer.poll(Duration::ZERO);
    }
}

/// The cluster lives as long as the client it is made with.
fn set_up(
    advertised: SocketAddr,
    topics: &[&str],
    partitions: i32,
) -> anyhow::Result<(BaseProducer<DefaultProducerContext>, SocketAddr)> {
    let producer: BaseProducer<DefaultProducerContext> =
        ClientConfig::new().set("test.mock.num.brokers", "1").create()?;
    let address = {
        let cluster = producer.client().mock_cluster().context("librdkafka made none")?;
        for topic in topics {
            cluster.create_topic(topic, partitions, 1).with_context(|| format!("topic {topic}"))?;
        }
        cluster.bootstrap_servers().parse().context("librdkafka did not say where it listens")?
    };
    adjust(&producer, advertised).context("it took no settings")?;
    Ok((producer, address))
}

/// Sets the address that the cluster names in its metadata (where it listens does not change), and makes a group's first
/// join quick. `None` where the client has no cluster.
fn adjust(producer: &BaseProducer<DefaultProducerContext>, advertised: SocketAddr) -> Option<()> {
    let host = CString::new(advertised.ip().to_string()).ok()?;
    // SAFETY: the client is alive while it is borrowed; the function only reads a field that is set when it is made.
    let cluster = unsafe { rd_kafka_handle_mock_cluster(producer.client().native_ptr()) };
    if cluster.is_null() {
        return None;
    }
    // SAFETY: the cluster is not null and lives as long as its client, which is borrowed; `host` ends in a zero byte and
    // is copied, cut to the 128 bytes there are, before the function returns; the function takes the cluster's lock.
    unsafe { rd_kafka_mock_broker_set_host_port(cluster, BROKER_ID, host.as_ptr(), c_int::from(advertised.port())) };
    // SAFETY: the cluster is alive, as above; the function takes the cluster's lock.
    unsafe { rd_kafka_mock_group_initial_rebalance_delay_ms(cluster, FIRST_JOIN_WAITS_MS) };
    Some(())
}

//! An embedded Kafka-protocol broker for one machine, so that the whole system runs without an installed Kafka.
//!
//! It runs librdkafka's in-memory cluster (one broker, id 1) behind a forwarder with a fixed address. The cluster itself listens
//! on another port at each start, which a client of the former start cannot know. With the fixed address a client reconnects
//! after a restart of the broker.
//!
//! Messages are kept in memory only, at most 5 MiB a partition, and are lost when the process ends. There is neither
//! authentication nor encryption, so it listens on loopback only. It is not for production.
//!
//! Differences between the cluster and Kafka (in librdkafka 2.12.1):
//!
//! - `CreateTopics` is not supported: a topic other than [`TOPICS`] is created on its first use, with 4 partitions. Groups
//!   cannot be listed.
//! - Only the first rebalance of a group is fast. Each later one takes the members' session time-out less a second. A second
//!   member causes two of them, and a killed member takes two session time-outs. So clients need a short session time-out.
//! - Its cluster would answer a fetch that finds no message only after the whole wait of the fetch. The forwarder holds such a
//!   fetch instead until messages are stored, as Kafka does, or until the same connection sends another request.
//! - A consumer that runs through a restart of the broker keeps its position. If the position is past the end of the partition,
//!   it starts again from the beginning. If as many new messages were sent meanwhile as it had read before, it misses them.
//!   The services re-request missing outcomes, so this costs only time.

mod forward;
mod frames;
mod held_fetches;
#[allow(unsafe_code, reason = "two settings of the in-memory cluster have no safe wrapper in rdkafka")]
mod mock;

use anyhow::{Context, bail};
use claim_events::{CLAIM_TOPIC, PARTITIONS, PAYMENT_TOPIC};
use forward::Forwarder;
use mock::Mock;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};

/// The topics that exist from the start, each with [`claim_events::PARTITIONS`] partitions.
pub const TOPICS: [&str; 2] = [CLAIM_TOPIC, PAYMENT_TOPIC];

/// A running broker; dropping it closes its connections and frees its address.
#[derive(Debug)]
pub struct LocalBroker {
    // Dropped in this order, so that all connections are closed before the cluster ends.
    forwarder: Forwarder,
    _mock: Mock,
}

impl LocalBroker {
    /// Starts a broker on `listen`, a loopback address with a port such as `127.0.0.1:9092`; port 0 chooses a free one.
    ///
    /// # Errors
    /// When the address is not one of loopback, is in use, or the cluster does not start, with what to do.
    pub fn start(listen: &str) -> anyhow::Result<Self> {
        let listener = bind(loopback_address(listen)?)?;
        let address = listener.local_addr().context("the bound port could not be read")?;
        let mock = Mock::start(address, &TOPICS, PARTITIONS)?;
        let forwarder = Forwarder::start(listener, address, mock.address())?;
        Ok(Self { forwarder, _mock: mock })
    }

    /// The address for the `bootstrap.servers` of clients.
    pub fn address(&self) -> SocketAddr {
        self.forwarder.address()
    }
}

fn loopback_address(listen: &str) -> anyhow::Result<SocketAddr> {
    let addresses: Vec<SocketAddr> = listen
        .to_socket_addrs()
        .with_context(|| format!("'{listen}' is not an address (give a host and a port, as in 127.0.0.1:9092)"))?
        .collect();
    if addresses.iter().any(|address| !address.ip().is_loopback()) {
        bail!(
            "{listen} can be reached from other machines, and this broker has no authentication: listen on 127.0.0.1, or use a real Kafka"
        );
    }
    // The cluster supports only IPv4.
    addresses
        .into_iter()
        .find(SocketAddr::is_ipv4)
        .with_context(|| format!("{listen} is not an IPv4 address: give one, as in 127.0.0.1:9092"))
}

fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).map_err(|error| {
        let what = match error.kind() {
            std::io::ErrorKind::AddrInUse => {
                "is in use (stop what listens there or choose another address with --listen)"
            }
            _ => "cannot be bound (choose another address with --listen)",
        };
        anyhow::Error::new(error).context(format!("{address} {what}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_addresses_are_accepted() {
        assert_eq!(loopback_address("127.0.0.1:9092").unwrap().to_string(), "127.0.0.1:9092");
        assert!(loopback_address("localhost:9092").unwrap().ip().is_loopback());
        assert!(loopback_address("0.0.0.0:9092").unwrap_err().to_string().contains("listen on 127.0.0.1"));
        assert!(loopback_address("192.0.2.1:9092").unwrap_err().to_string().contains("listen on 127.0.0.1"));
        assert!(loopback_address("[::1]:9092").unwrap_err().to_string().contains("IPv4"));
        for wrong in ["", "9092", "127.0.0.1", "127.0.0.1:", "127.0.0.1:99999"] {
            assert!(loopback_address(wrong).unwrap_err().to_string().contains("as in 127.0.0.1:9092"), "{wrong}");
        }
    }
}

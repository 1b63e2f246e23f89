//! An embedded Kafka-protocol broker for one machine, so that the whole system runs without a Kafka to install.
//!
//! It hosts librdkafka's own in-memory cluster (one broker, id 1) and stands in front of it on an address that stays the
//! same: the cluster itself takes another port at every start, and a client that knew the old one would never find the
//! new. A client that knows the fixed address lives on when the broker is started again.
//!
//! It keeps everything in memory, at most 5 MiB a partition, and forgets it when it ends. It knows no users and no
//! encryption, which is why it listens on loopback only. Never for production.
//!
//! What the cluster does otherwise than Kafka (seen in librdkafka 2.12.1):
//!
//! - `CreateTopics` is not served: a topic nobody made here gets 4 partitions. Groups cannot be listed.
//! - Only the first rebalance of a group is quick. Every later one lasts the members' session time-out less a second; a
//!   second member costs two of them, a member that was killed two session time-outs. Clients want a short one.
//! - A consumer that lives through a restart keeps its position. It begins anew where it finds itself beyond the end;
//!   should as many new messages have come meanwhile as it had read before, it does not notice and misses them. Who
//!   waits for an answer asks again, so this costs time.

mod forward;
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
    // Dropped in this order: nobody is connected any more when the cluster ends.
    forwarder: Forwarder,
    _mock: Mock,
}

impl LocalBroker {
    /// Starts a broker on `listen`, a loopback address with a port such as `127.0.0.1:9092`; port 0 takes a free one.
    ///
    /// # Errors
    /// When the address is not one of loopback, is in use, or the cluster does not start, with what to do.
    pub fn start(listen: &str) -> anyhow::Result<Self> {
        let listener = bind(loopback_address(listen)?)?;
        let address = listener.local_addr().context("the bound port is not known")?;
        let mock = Mock::start(address, &TOPICS, PARTITIONS)?;
        let forwarder = Forwarder::start(listener, address, mock.address())?;
        Ok(Self { forwarder, _mock: mock })
    }

    /// Where clients reach it: their `bootstrap.servers`.
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
            "{listen} can be reached from other machines, and this broker lets everyone in: listen on 127.0.0.1, or use a real Kafka"
        );
    }
    // The cluster behind knows only IPv4.
    addresses
        .into_iter()
        .find(SocketAddr::is_ipv4)
        .with_context(|| format!("{listen} is no IPv4 address: give one, as in 127.0.0.1:9092"))
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
    fn only_loopback_addresses_are_taken() {
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

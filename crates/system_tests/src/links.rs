//! The connections between the parts of a system, each through a [`ChaosProxy`], so that a test can disturb the network between
//! them from outside.

use crate::infrastructure::Infrastructure;
use test_support::ChaosProxy;
use test_support::kafka::services;

/// The connections that can be disturbed. Webhooks, from the gateway to payments, are not among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Link {
    /// Between every claim_process and its database.
    ClaimsDatabase,
    /// Between every payments and its database.
    PaymentsDatabase,
    /// Between both services and Kafka.
    Kafka,
    /// Between every payments and the gateway.
    Gateway,
}

/// All links.
pub const ALL: [Link; 4] = [Link::ClaimsDatabase, Link::PaymentsDatabase, Link::Kafka, Link::Gateway];

/// A proxy for each link.
#[derive(Debug)]
pub struct Links {
    claims_database: ChaosProxy,
    payments_database: ChaosProxy,
    kafka: ChaosProxy,
    gateway: ChaosProxy,
}

impl Links {
    /// Opens a proxy for each link of a system on these servers, with a gateway at `host:port`.
    ///
    /// # Panics
    /// If the databases are not on PostgreSQL, or the broker is not the Kafka of `scripts/services.sh`.
    pub fn open(infrastructure: &Infrastructure, gateway: &str) -> Self {
        // Kafka sends its clients to the addresses that it advertises, so its proxy must listen at one of them.
        let kafka = services(&["env", "kafka", "proxied"]);
        let (listener, advertised) = kafka.split_once(' ').expect("two addresses");
        Self {
            claims_database: ChaosProxy::open(parts(&infrastructure.claims_url).1),
            payments_database: ChaosProxy::open(parts(&infrastructure.payments_url).1),
            kafka: ChaosProxy::open_at(advertised, listener),
            gateway: ChaosProxy::open(gateway),
        }
    }

    /// The proxy of a link.
    pub fn proxy(&self, link: Link) -> &ChaosProxy {
        match link {
            Link::ClaimsDatabase => &self.claims_database,
            Link::PaymentsDatabase => &self.payments_database,
            Link::Kafka => &self.kafka,
            Link::Gateway => &self.gateway,
        }
    }

    /// What a service connects to instead of this database.
    pub(crate) fn database_url(&self, link: Link, url: &str) -> String {
        let (user, _, name) = parts(url);
        format!("{user}@{}/{name}", self.proxy(link).address())
    }
}

/// The scheme and user, the server, and the name of a database.
fn parts(url: &str) -> (&str, &str, &str) {
    let (user, host) = url.rsplit_once('@').expect("the URL names a user");
    let (server, name) = host.split_once('/').expect("the URL ends in /database");
    (user, server, name)
}

//! A broker for one test, with a consumer of what the service publishes and a stand-in for payments.

use claim_events::{
    CLAIM_TOPIC, Cause, ClaimEvent, Compensation, Encoded, Envelope, Event, PAYMENT_TOPIC, PaymentEvent, Settled, Step,
    Unwound,
};
use claim_process::settings::Settings;
use rdkafka::message::{Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::BaseRecord;
use test_support::{TestBroker, eventually};

/// A broker and what this test does with it.
pub struct Kafka(TestBroker);

/// A message that the service published.
#[derive(Debug, Clone)]
pub struct PublishedMessage {
    pub partition: i32,
    pub key: String,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

/// Configures a service to use the broker at `address`, which may start later. The service may stop while it joins its group;
/// leaving then waits for the session time-out.
pub fn connect_to(address: &str, settings: &mut Settings) {
    settings.kafka.brokers = address.to_owned();
    settings.kafka.consumer.session_timeout_ms = 2_000;
    settings.kafka.producer.flush_timeout_ms = 5_000;
    settings.health.interval_ms = 500;
}

impl Kafka {
    /// A broker on a free port.
    pub fn start() -> Self {
        Self::start_at("127.0.0.1:0")
    }

    /// A broker on the port that a service was given before.
    pub fn start_at(address: &str) -> Self {
        Self(TestBroker::start_at(address, CLAIM_TOPIC))
    }

    /// Where it listens.
    pub fn address(&self) -> String {
        self.0.address()
    }

    /// Configures a service to use this broker.
    pub fn configure(&self, settings: &mut Settings) {
        connect_to(&self.address(), settings);
    }

    /// The next `wanted` messages of the service, in the order in which they come.
    pub async fn published(&self, wanted: usize) -> Vec<PublishedMessage> {
        let mut messages = Vec::new();
        eventually(&format!("{wanted} messages of the service"), async || {
            while messages.len() < wanted {
                messages.push(self.published_now()?);
            }
            Some(())
        })
        .await;
        messages
    }

    /// A message that has come already.
    pub fn published_now(&self) -> Option<PublishedMessage> {
        let message = self.0.seen_now()?;
        let text = |bytes: Option<&[u8]>| String::from_utf8(bytes.unwrap_or_default().to_vec()).expect("UTF-8");
        let headers = message.headers().expect("headers").iter();
        Some(PublishedMessage {
            partition: message.partition(),
            key: text(message.key()),
            headers: headers.map(|header| (header.key.to_owned(), text(header.value))).collect(),
            body: text(message.payload()),
        })
    }

    /// Publishes an outcome with a version, as payments does.
    pub fn outcome(&self, version: i64, event: &PaymentEvent) {
        let Encoded { key, headers, body, .. } = encoded(version, event);
        self.send(BaseRecord::to(PAYMENT_TOPIC).key(&key).payload(&body), &headers);
    }

    /// Puts any message on payments' topic.
    pub fn send(&self, record: BaseRecord<'_, String, String>, headers: &[(String, String)]) {
        let headers = headers.iter().fold(OwnedHeaders::new(), |headers, (name, value)| {
            headers.insert(Header { key: name, value: Some(value) })
        });
        self.0.send([record.headers(headers)]);
    }
}

impl PublishedMessage {
    /// Reads the message as payments would.
    pub fn decode(&self) -> (Envelope, ClaimEvent) {
        let header =
            |name: &str| self.headers.iter().find(|(header, _)| header == name).map(|(_, value)| value.as_str());
        ClaimEvent::decode(Some(self.key.as_bytes()), header, self.body.as_bytes()).expect("an event of the contract")
    }
}

/// An outcome as payments encodes it.
pub fn encoded(version: i64, event: &PaymentEvent) -> Encoded {
    let time = "2026-11-22T09:30:00.123456Z".to_owned();
    event.encode(version, time, "request", "cause", None)
}

/// `payment.settled`.
pub fn settled(claim_id: &str, amount_cents: i64) -> PaymentEvent {
    PaymentEvent::Settled(Settled {
        claim_id: claim_id.to_owned(),
        claim_version: 1,
        resync_epoch: 0,
        unsolicited: false,
        amount_cents,
        transfer_ids: vec!["transfer".to_owned()],
    })
}

/// The body of `payment.unwound`; wrap it in [`PaymentEvent::Unwound`].
pub fn unwound(claim_id: &str) -> Unwound {
    Unwound {
        claim_id: claim_id.to_owned(),
        claim_version: 1,
        resync_epoch: 0,
        unsolicited: false,
        cause: Cause::StepFailed,
        failed_step: Some(Step::Disburse),
        reason_code: Some("declined".to_owned()),
        reason: Some("the gateway declined the payment".to_owned()),
        compensations: vec![Compensation::Refund, Compensation::Release],
    }
}

//! The CloudEvents envelope: message headers around a body, and what can be wrong with a message.
//!
//! Source: CloudEvents 1.0 and its Kafka protocol binding, binary content mode
//! (<https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/kafka-protocol-binding.md>).

/// Message headers as name and value, in the order they are written.
pub type Headers = Vec<(String, String)>;

/// The attributes of an event, apart from its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// `<claim id>.<type>.<version>`: derived, so that a repeat of an event has the same id.
    pub id: String,
    /// The event's type, such as `claim.submitted`.
    pub event_type: String,
    /// The service that publishes it: `/claim_process` or `/payments`.
    pub source: String,
    /// The claim id; also the message's key.
    pub subject: String,
    /// When the event became true, RFC 3339 in UTC.
    pub time: String,
    /// The version of the aggregate (the claim, or its payment) that this event brought about: 1 to
    /// [`Envelope::HIGHEST_VERSION`].
    pub version: i64,
    /// The id of the request that began it all.
    pub correlation_id: String,
    /// The id of the event that caused this one; for the first, the request's.
    pub causation_id: String,
    /// W3C trace context, where the event was made inside a trace.
    pub traceparent: Option<String>,
}

/// Why a message is not an event of this contract. No text echoes the body.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// A required header is missing or not text.
    #[error("the header '{0}' is missing")]
    MissingHeader(&'static str),
    /// A header is there more than once, so that it is not known which one counts.
    #[error("the header '{0}' is ambiguous: the message has it more than once")]
    RepeatedHeader(&'static str),
    /// A header does not hold what it must.
    #[error("the header '{0}' is not as the contract says: {1}")]
    BadHeader(&'static str, &'static str),
    /// The type is not one this topic carries.
    #[error("the event type is not known on this topic")]
    UnknownType,
    /// The key is not the subject, or the body speaks of another claim.
    #[error("the key, the subject and the body do not name the same claim")]
    ForeignKey,
    /// The body is not JSON of the type's shape.
    #[error("the body is not JSON of the shape of '{0}' (line {1}, column {2})")]
    BadBody(&'static str, usize, usize),
}

const SPEC_VERSION: &str = "1.0";
const CONTENT_TYPE: &str = "application/json";

impl Envelope {
    /// The highest plausible version. Versions grow by one; accepting an absurdly high one would make every later event look
    /// stale.
    pub const HIGHEST_VERSION: i64 = 1_000_000_000;

    /// The names of all headers that an envelope may have. None carries patient data.
    pub const HEADERS: [&'static str; 12] = [
        "ce_specversion",
        "ce_id",
        "ce_type",
        "ce_source",
        "ce_subject",
        "ce_time",
        "ce_dataschema",
        "content-type",
        "ce_aggregateversion",
        "ce_correlationid",
        "ce_causationid",
        "traceparent",
    ];

    /// The derived id of an event.
    pub fn derive_id(claim_id: &str, event_type: &str, version: i64) -> String {
        format!("{claim_id}.{event_type}.{version}")
    }

    /// The headers that carry this envelope.
    pub fn to_headers(&self) -> Headers {
        let mut headers: Headers = [
            ("ce_specversion", SPEC_VERSION),
            ("ce_id", &self.id),
            ("ce_type", &self.event_type),
            ("ce_source", &self.source),
            ("ce_subject", &self.subject),
            ("ce_time", &self.time),
            ("ce_dataschema", &data_schema(&self.event_type)),
            ("content-type", CONTENT_TYPE),
            ("ce_aggregateversion", &self.version.to_string()),
            ("ce_correlationid", &self.correlation_id),
            ("ce_causationid", &self.causation_id),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
        if let Some(traceparent) = &self.traceparent {
            headers.push(("traceparent".to_owned(), traceparent.clone()));
        }
        headers
    }

    /// Refuses a message that has a header of the envelope more than once: readers that took the first one and readers that took
    /// the last one would read different events. `names` are those of all its headers.
    ///
    /// # Errors
    /// Names the first header of the envelope that is repeated.
    pub fn refuse_repeats<'a>(names: impl Iterator<Item = &'a str> + Clone) -> Result<(), DecodeError> {
        let is_repeated = |header: &&str| names.clone().filter(|name| name == header).nth(1).is_some();
        Self::HEADERS.into_iter().find(is_repeated).map_or(Ok(()), |header| Err(DecodeError::RepeatedHeader(header)))
    }

    /// Reads the envelope from headers; `header` finds one by its name.
    ///
    /// # Errors
    /// Names the first header that is missing or wrong.
    pub fn from_headers<'a>(header: impl Fn(&str) -> Option<&'a str>) -> Result<Self, DecodeError> {
        let required = |name: &'static str| header(name).map(str::to_owned).ok_or(DecodeError::MissingHeader(name));
        if required("ce_specversion")? != SPEC_VERSION {
            return Err(DecodeError::BadHeader("ce_specversion", "only 1.0 is understood"));
        }
        let envelope = Self {
            id: required("ce_id")?,
            event_type: required("ce_type")?,
            source: required("ce_source")?,
            subject: required("ce_subject")?,
            time: required("ce_time")?,
            version: required("ce_aggregateversion")?
                .parse()
                .ok()
                .filter(|version| (1..=Self::HIGHEST_VERSION).contains(version))
                .ok_or(DecodeError::BadHeader(
                    "ce_aggregateversion",
                    "it must be a whole number from 1 to 1000000000",
                ))?,
            correlation_id: required("ce_correlationid")?,
            causation_id: required("ce_causationid")?,
            traceparent: header("traceparent").map(str::to_owned),
        };
        if envelope.id != Self::derive_id(&envelope.subject, &envelope.event_type, envelope.version) {
            return Err(DecodeError::BadHeader("ce_id", "it must be <claim id>.<type>.<version>"));
        }
        if envelope.time.parse::<jiff::Timestamp>().is_err() {
            return Err(DecodeError::BadHeader("ce_time", "it must be an RFC 3339 time"));
        }
        Ok(envelope)
    }
}

/// The name of a type's JSON Schema.
fn data_schema(event_type: &str) -> String {
    format!("urn:claims-to-payments:{event_type}:v1")
}

/// Microseconds since 1970 as the contract writes times: RFC 3339 in UTC with six decimals. A time outside the years -9999
/// to 9999 is empty.
pub fn rfc3339(us: i64) -> String {
    jiff::Timestamp::from_microsecond(us).map_or_else(|_| String::new(), |time| format!("{time:.6}"))
}

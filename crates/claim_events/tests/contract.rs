//! The golden files freeze the wire format of version 1. Set `UPDATE_GOLDEN=1` to write them; a changed file is a
//! decision that breaks deployed readers.

use claim_events::{
    Cause, ClaimBody, ClaimEvent, ClaimLine, Compensation, DecodeError, Encoded, Envelope, Event, KnownOutcome,
    OutcomeKind, OutcomeRecorded, PaymentAttention, PaymentEvent, PaymentMessage, Settled, Step, Unwound,
};
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::path::PathBuf;

const CLAIM: &str = "4fXk0aV1StGXR8Z5jdHi6B";
const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

fn body(known_outcome: Option<KnownOutcome>, resync_epoch: i64) -> ClaimBody {
    ClaimBody {
        claim_id: CLAIM.into(),
        plan_group: "GRP-1000".into(),
        provider_npi: "1497775530".into(),
        net_fee_cents: 11_685,
        submitted_at: "2026-11-22T09:30:00.123456Z".into(),
        lines: vec![
            ClaimLine {
                line: 1,
                service_date: "2018-03-28".into(),
                submitted_procedure: "D4346".into(),
                quadrant: None,
                provider_fees_cents: 13_000,
                allowed_fees_cents: 6_500,
                member_coinsurance_cents: 1_625,
                member_copay_cents: 0,
                net_fee_cents: 8_125,
            },
            ClaimLine {
                line: 2,
                service_date: "2018-03-28".into(),
                submitted_procedure: "D4211".into(),
                quadrant: Some("UR".into()),
                provider_fees_cents: 17_800,
                allowed_fees_cents: 17_800,
                member_coinsurance_cents: 3_560,
                member_copay_cents: 0,
                net_fee_cents: 3_560,
            },
        ],
        known_outcome,
        resync_epoch,
    }
}

fn unwound(cause: Cause, failed_step: Option<Step>, compensations: &[Compensation]) -> Unwound {
    Unwound {
        claim_id: CLAIM.into(),
        claim_version: 1,
        resync_epoch: 0,
        unsolicited: false,
        cause,
        failed_step,
        reason_code: failed_step.map(|_| "declined".into()),
        reason: failed_step.map(|_| "the gateway declined the payment".into()),
        compensations: compensations.to_vec(),
    }
}

fn golden_path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden/v1").join(format!("{name}.json"))
}

fn as_document(encoded: &Encoded) -> String {
    let headers: BTreeMap<_, _> = encoded.headers.iter().cloned().collect();
    let body: serde_json::Value = serde_json::from_str(&encoded.body).expect("a body is JSON");
    let document = serde_json::json!({"topic": encoded.topic, "key": encoded.key, "headers": headers, "body": body});
    serde_json::to_string_pretty(&document).expect("JSON") + "\n"
}

/// What is written equals the golden file, and the golden file is read back as the same event.
fn frozen<E: Event + PartialEq + Debug>(name: &str, event: E, version: i64, cause: &str) {
    let at = "2026-11-22T09:30:00.123456Z".to_owned();
    let encoded = event.encode(version, at, "req-1", cause, Some(TRACE.to_owned()));
    let written = as_document(&encoded);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(golden_path(name), &written).expect("writes");
    }
    let golden = std::fs::read_to_string(golden_path(name)).expect("the golden file is there");
    assert_eq!(written, golden, "the wire format of {name} changed");

    let document: serde_json::Value = serde_json::from_str(&golden).expect("JSON");
    let key = document["key"].as_str().expect("a key");
    let header = |header: &str| document["headers"][header].as_str();
    let (envelope, read) =
        E::decode(Some(key.as_bytes()), header, document["body"].to_string().as_bytes()).expect("decodes");
    assert_eq!(read, event);
    assert_eq!(envelope.id, format!("{CLAIM}.{}.{version}", event.event_type()));
    assert_eq!(envelope.traceparent.as_deref(), Some(TRACE));
    let names: Vec<&str> = encoded.headers.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, Envelope::HEADERS);
    assert!(E::TYPES.contains(&event.event_type()));
}

#[test]
fn claim_submitted() {
    frozen("claim.submitted", ClaimEvent::Submitted(body(None, 0)), 1, "req-1");
}

#[test]
fn claim_submitted_republished_with_a_known_outcome() {
    let known = KnownOutcome { kind: OutcomeKind::Settled, version: 1 };
    frozen("claim.submitted.republished", ClaimEvent::Submitted(body(Some(known), 1_795_512_600)), 1, "req-1");
}

#[test]
fn claim_void_requested() {
    let known = KnownOutcome { kind: OutcomeKind::Settled, version: 1 };
    frozen("claim.void_requested", ClaimEvent::VoidRequested(body(Some(known), 0)), 2, "req-2");
}

#[test]
fn claim_outcome_recorded() {
    let recorded = OutcomeRecorded {
        claim_id: CLAIM.into(),
        known_outcome: KnownOutcome { kind: OutcomeKind::Unwound, version: 2 },
        resync_epoch: 0,
    };
    frozen("claim.outcome_recorded", ClaimEvent::OutcomeRecorded(recorded), 2, &format!("{CLAIM}.payment.unwound.2"));
}

#[test]
fn payment_settled() {
    let settled = Settled {
        claim_id: CLAIM.into(),
        claim_version: 1,
        resync_epoch: 0,
        unsolicited: false,
        amount_cents: 11_685,
        transfer_ids: vec![format!("{CLAIM}.reserve"), format!("{CLAIM}.disburse"), format!("{CLAIM}.post")],
    };
    frozen("payment.settled", PaymentEvent::Settled(settled), 1, &format!("{CLAIM}.claim.submitted.1"));
}

#[test]
fn payment_unwound_for_each_cause() {
    use Compensation::{Refund, Release, Reverse};
    let cause_id = format!("{CLAIM}.claim.submitted.1");
    let cases = [
        ("payment.unwound.step_failed", unwound(Cause::StepFailed, Some(Step::Disburse), &[Release])),
        (
            "payment.unwound.void_requested",
            Unwound { claim_version: 2, ..unwound(Cause::VoidRequested, None, &[Reverse, Refund]) },
        ),
        ("payment.unwound.late_return", Unwound { unsolicited: true, ..unwound(Cause::LateReturn, None, &[Reverse]) }),
        ("payment.unwound.deadline", unwound(Cause::Deadline, Some(Step::Reserve), &[])),
        (
            "payment.unwound.operator",
            Unwound { unsolicited: true, ..unwound(Cause::Operator, Some(Step::Post), &[Refund, Release]) },
        ),
    ];
    for (name, event) in cases {
        frozen(name, PaymentEvent::Unwound(event), 1, &cause_id);
    }
}

#[test]
fn payment_attention_raised_and_cleared() {
    let cause_id = format!("{CLAIM}.claim.submitted.1");
    let reason = "the gateway gave no definite answer to 28 requests (the last: 503); the request is still being sent";
    for (name, reason, revision) in
        [("payment.attention.raised", Some(reason.to_owned()), 57), ("payment.attention.cleared", None, 58)]
    {
        let attention = PaymentAttention { claim_id: CLAIM.into(), resync_epoch: 0, raised: reason.is_some(), reason };
        frozen(name, PaymentMessage::Attention(attention), revision, &cause_id);
    }
}

fn decode_with(change: impl Fn(&mut Encoded)) -> Result<(), DecodeError> {
    let mut encoded = ClaimEvent::Submitted(body(None, 0)).encode(1, "2026-11-22T09:30:00Z".into(), "r", "r", None);
    change(&mut encoded);
    let header = |name: &str| encoded.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str());
    ClaimEvent::decode(Some(encoded.key.as_bytes()), header, encoded.body.as_bytes()).map(|_| ())
}

fn set(encoded: &mut Encoded, name: &str, value: &str) {
    for (header, old) in &mut encoded.headers {
        if header == name {
            *old = value.to_owned();
        }
    }
}

#[test]
fn a_header_of_the_envelope_that_is_repeated_is_ambiguous() {
    let once = Envelope::HEADERS;
    assert_eq!(Envelope::refuse_repeats(once.into_iter()), Ok(()));
    assert_eq!(Envelope::refuse_repeats(["another", "another", "ce_id"].into_iter()), Ok(()), "it is not ours");
    for header in once {
        let refused = Envelope::refuse_repeats(once.into_iter().chain([header]));
        assert_eq!(refused, Err(DecodeError::RepeatedHeader(header)));
    }
}

#[test]
fn a_reader_ignores_fields_it_does_not_know() {
    decode_with(|e| e.body = e.body.replacen('{', r#"{"added_later": [1, 2], "#, 1)).expect("decodes");
}

#[test]
fn what_is_wrong_with_a_message_is_named_and_its_body_is_not_echoed() {
    let missing = decode_with(|e| e.headers.retain(|(name, _)| name != "ce_aggregateversion"));
    assert_eq!(missing, Err(DecodeError::MissingHeader("ce_aggregateversion")));
    assert_eq!(decode_with(|e| e.key = "another".into()), Err(DecodeError::ForeignKey));
    assert_eq!(decode_with(|e| e.body = e.body.replace(CLAIM, "another")), Err(DecodeError::ForeignKey));
    assert!(matches!(decode_with(|e| set(e, "ce_aggregateversion", "0")), Err(DecodeError::BadHeader(..))));
    assert!(matches!(decode_with(|e| set(e, "ce_aggregateversion", "2")), Err(DecodeError::BadHeader("ce_id", _))));
    assert!(matches!(decode_with(|e| set(e, "ce_specversion", "0.3")), Err(DecodeError::BadHeader(..))));
    assert!(matches!(decode_with(|e| set(e, "ce_time", "yesterday")), Err(DecodeError::BadHeader(..))));
    let unknown = decode_with(|e| {
        set(e, "ce_type", "claim.burnt");
        set(e, "ce_id", &format!("{CLAIM}.claim.burnt.1"));
    });
    assert_eq!(unknown, Err(DecodeError::UnknownType));
    let broken = decode_with(|e| e.body = r#"{"claim_id": SECRET"#.into()).expect_err("broken JSON");
    assert!(!broken.to_string().contains("SECRET"), "{broken}");
}

#[test]
fn no_version_is_believed_that_none_could_follow() {
    let of_version = |version: i64| {
        decode_with(|e| {
            set(e, "ce_aggregateversion", &version.to_string());
            set(e, "ce_id", &Envelope::derive_id(CLAIM, "claim.submitted", version));
        })
    };
    assert_eq!([1, Envelope::HIGHEST_VERSION].map(of_version), [Ok(()), Ok(())]);
    for version in [-1, 0, Envelope::HIGHEST_VERSION + 1, i64::MAX] {
        let refused = of_version(version).expect_err("it is no version");
        let words = format!("from 1 to {}", Envelope::HIGHEST_VERSION);
        assert!(refused.to_string().ends_with(&words), "{refused}");
    }
}

#[test]
fn no_event_names_a_subscriber() {
    for file in std::fs::read_dir(golden_path("x").parent().expect("a directory")).expect("the golden files") {
        let text = std::fs::read_to_string(file.expect("a file").path()).expect("text");
        assert!(!text.to_lowercase().contains("subscriber") && !text.contains("member_id"));
    }
}

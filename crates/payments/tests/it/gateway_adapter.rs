//! The adapter `keyed_json` against a gateway that answers anything: only a well-formed answer to this very request is definite.

use actix_web::{App, HttpResponse, HttpServer, web};
use payments::domain::concurrency::Sign;
use payments::domain::saga::{LookUpAnswer, PayAnswer, RefundAnswer};
use payments::gateway::keyed_json::KeyedJsonGateway;
use payments::gateway::{Gateway, PayRequest, RefundRequest};
use payments::settings::{GatewayAdapter, GatewaySettings, PREFIX, Settings};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use test_support::Tally;

const PAY: PayRequest<'_> =
    PayRequest { key: "claim.disburse", reference: "claim", payee: "1497775530", amount_cents: 100 };
const REFUND: RefundRequest<'_> = RefundRequest { key: "claim.refund", reference: "claim", amount_cents: 100 };

/// A gateway that always answers like this.
fn gateway(status: u16, body: &'static str, headers: &'static [(&'static str, &'static str)]) -> KeyedJsonGateway {
    adapter(&serve(status, body, headers))
}

/// The address of a server that always answers like this.
fn serve(status: u16, body: &'static str, headers: &'static [(&'static str, &'static str)]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let server = HttpServer::new(move || {
        App::new().default_service(web::to(move || async move {
            let status = actix_web::http::StatusCode::from_u16(status).expect("a status");
            let mut answer = HttpResponse::build(status);
            for header in headers {
                answer.insert_header(*header);
            }
            answer.body(body)
        }))
    });
    actix_web::rt::spawn(server.workers(1).disable_signals().listen(listener).expect("listens").run());
    format!("http://127.0.0.1:{port}/")
}

fn adapter(url: &str) -> KeyedJsonGateway {
    KeyedJsonGateway::new(&GatewaySettings { url: url.to_owned(), ..Settings::default().gateway }).expect("a client")
}

/// One that does not wait long for who is silent.
fn impatient_adapter(url: &str) -> KeyedJsonGateway {
    let settings = GatewaySettings { url: url.to_owned(), request_timeout_ms: 500, ..Settings::default().gateway };
    KeyedJsonGateway::new(&settings).expect("a client")
}

/// A gateway that reads a request, sends these bytes, and then breaks the connection or is silent.
fn breaking_off(sent: String, is_silent: bool) -> KeyedJsonGateway {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    std::thread::spawn(move || {
        let mut connections = Vec::new();
        for connection in listener.incoming() {
            let mut connection = connection.expect("connects");
            let mut request = [0; 4_096];
            let _ = connection.read(&mut request).expect("a request");
            connection.write_all(sent.as_bytes()).expect("takes it");
            if is_silent {
                connections.push(connection);
            }
        }
    });
    if is_silent { impatient_adapter(&url) } else { adapter(&url) }
}

/// How many alarms a payment and its refund raise, neither of which is answered definitely.
async fn alarms_of(gateway: KeyedJsonGateway) -> u64 {
    let alarms = Tally::of("payment_alarms_total");
    let counting = metrics::set_default_local_recorder(&alarms);
    assert_eq!(gateway.pay(PAY).await.answer, unknown(None));
    assert_eq!(gateway.refund(REFUND).await.answer, RefundAnswer::Unknown { retry_after_ms: None });
    drop(counting);
    alarms.total()
}

fn unknown(retry_after_ms: Option<u64>) -> PayAnswer {
    PayAnswer::Unknown { retry_after_ms }
}

#[actix_web::test]
async fn definite_answers_are_read() {
    let approved =
        r#"{"status":"approved","payment_id":"p","reference":"claim","amount_cents":147,"currency":"USD","more":1}"#;
    assert_eq!(gateway(200, approved, &[]).pay(PAY).await.answer, PayAnswer::Approved { amount_cents: 147 });
    let declined = r#"{"status":"declined","code":"insufficient_funds","reference":"claim"}"#;
    assert_eq!(
        gateway(402, declined, &[]).pay(PAY).await.answer,
        PayAnswer::Declined { code: "insufficient_funds".into() }
    );
    for (status, answer) in [
        ("refunded", RefundAnswer::Refunded),
        ("already_refunded", RefundAnswer::Refunded),
        ("already_returned", RefundAnswer::AlreadyReturned),
    ] {
        let body: &'static str =
            format!(r#"{{"status":"{status}","reference":"claim","amount_cents":100,"currency":"USD"}}"#).leak();
        assert_eq!(gateway(200, body, &[]).refund(REFUND).await.answer, answer);
    }
}

#[actix_web::test]
async fn whatever_is_not_a_definite_answer_to_this_request_is_unknown() {
    let cases = [
        (200, "", "empty"),
        (200, "<html>", "not JSON"),
        (
            200,
            r#"{"status":"approved","reference":"another","amount_cents":100,"currency":"USD"}"#,
            "another reference",
        ),
        (200, r#"{"status":"approved","amount_cents":100,"currency":"USD"}"#, "no reference"),
        (200, r#"{"status":"approved","reference":"claim","amount_cents":100,"currency":"EUR"}"#, "another currency"),
        (200, r#"{"status":"approved","reference":"claim","amount_cents":100}"#, "no currency"),
        (200, r#"{"status":"approved","reference":"claim","currency":"USD"}"#, "no amount"),
        (200, r#"{"status":"approved","reference":"claim","amount_cents":-1,"currency":"USD"}"#, "a negative amount"),
        (
            200,
            r#"{"status":"approved","reference":"claim","amount_cents":9223372036854775807,"currency":"USD"}"#,
            "more than any claim can be due",
        ),
        (
            402,
            r#"{"status":"approved","reference":"claim","amount_cents":100,"currency":"USD"}"#,
            "an approval with 402",
        ),
        (402, "payment required", "a 402 of some proxy"),
        (404, "", "not found"),
        (302, "", "a redirect"),
    ];
    for (status, body, what) in cases {
        assert_eq!(alarms_of(gateway(status, body, &[])).await, 2, "an operator must look: {what}");
    }
    // A gateway may have an error of its own. It needs no operator.
    let failing = gateway(500, r#"{"status":"declined","reference":"claim"}"#, &[]);
    assert_eq!(alarms_of(failing).await, 0, "a server error");
}

#[actix_web::test]
async fn every_success_is_classified_by_its_body() {
    let approved = r#"{"status":"approved","reference":"claim","amount_cents":100,"currency":"usd"}"#;
    let declined = r#"{"status":"declined","code":"no","reference":"claim"}"#;
    for status in [200, 201, 202] {
        assert_eq!(
            gateway(status, approved, &[]).pay(PAY).await.answer,
            PayAnswer::Approved { amount_cents: 100 },
            "{status}"
        );
        assert_eq!(gateway(status, declined, &[]).pay(PAY).await.answer, PayAnswer::Declined { code: "no".into() });
    }
    let alarms = Tally::of("payment_alarms_total");
    let _counting = metrics::set_default_local_recorder(&alarms);
    for (status, body) in [
        (200, r#"{"status":"pending","reference":"claim"}"#),
        (201, r#"{"status":"processing"}"#),
        (202, r#"{"status":"pending","reference":"claim","amount_cents":100,"currency":"USD"}"#),
        (202, ""),
        (202, "accepted"),
    ] {
        let gateway = gateway(status, body, &[("retry-after", "7")]);
        let paid = gateway.pay(PAY).await;
        assert_eq!(
            (paid.answer, paid.sign),
            (PayAnswer::Pending { retry_after_ms: Some(7_000) }, Sign::Answered),
            "{body}"
        );
        let refunded = gateway.refund(REFUND).await.answer;
        assert_eq!(refunded, RefundAnswer::Pending { retry_after_ms: Some(7_000) }, "{body}");
    }
    assert_eq!(alarms.total(), 0);
    assert_eq!(alarms_of(gateway(204, "", &[])).await, 2, "a success that says nothing");
    let failed = r#"{"status":"failed","reference":"claim","amount_cents":100,"currency":"USD"}"#;
    for status in [200, 402] {
        assert_eq!(gateway(status, failed, &[]).refund(REFUND).await.answer, RefundAnswer::Failed);
    }
}

#[actix_web::test]
async fn a_conflict_is_a_request_in_progress_or_another_request_under_the_key() {
    for body in [
        r#"{"type":"/problems/request-in-progress","status":409}"#,
        r#"{"code":"in_progress"}"#,
        r#"{"error":{"type":"idempotency_error","code":"idempotency_key_in_use"}}"#,
    ] {
        let alarms = Tally::of("payment_alarms_total");
        let _counting = metrics::set_default_local_recorder(&alarms);
        let gateway = gateway(409, body, &[("retry-after", "2")]);
        assert_eq!(gateway.pay(PAY).await.answer, unknown(Some(2_000)), "{body}");
        assert_eq!(alarms.total(), 0, "{body}");
    }
    for body in [r#"{"type":"/problems/key-reused","status":409}"#, "", "conflict"] {
        let alarms = Tally::of("payment_alarms_total");
        let _counting = metrics::set_default_local_recorder(&alarms);
        let gateway = gateway(409, body, &[]);
        assert_eq!(
            gateway.pay(PAY).await.answer,
            PayAnswer::Pending { retry_after_ms: None },
            "only a look-up can tell: {body}"
        );
        assert_eq!(alarms.total(), 1, "{body}");
    }
}

#[actix_web::test]
async fn credentials_that_are_not_accepted_show_until_the_gateway_lets_us_in() {
    let lets_in = Arc::new(AtomicBool::new(false));
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    let shared = Arc::clone(&lets_in);
    let server = HttpServer::new(move || {
        let lets_in = Arc::clone(&shared);
        App::new().route("/healthz", web::get().to(HttpResponse::Ok)).default_service(web::to(
            move |request: actix_web::HttpRequest| {
                let key = request.headers().get("authorization").and_then(|value| value.to_str().ok());
                let is_let_in = lets_in.load(Ordering::SeqCst) && key == Some("Bearer ours");
                async move {
                    match is_let_in {
                        true => HttpResponse::Ok().json(serde_json::json!({"payments": []})),
                        false => HttpResponse::Unauthorized().finish(),
                    }
                }
            },
        ))
    });
    actix_web::rt::spawn(server.workers(1).disable_signals().listen(listener).expect("listens").run());
    let settings = GatewaySettings { url, api_key: "ours".into(), ..Settings::default().gateway };
    let gateway = KeyedJsonGateway::new(&settings).expect("a client");
    gateway.check().await.expect("no call was refused yet");
    let alarms = Tally::of("payment_alarms_total");
    let counting = metrics::set_default_local_recorder(&alarms);
    let paid = gateway.pay(PAY).await;
    assert_eq!((paid.answer, paid.sign), (PayAnswer::Unauthorized, Sign::Failed));
    assert_eq!(gateway.refund(REFUND).await.answer, RefundAnswer::Unauthorized);
    assert_eq!(gateway.look_up("claim.disburse", "claim").await.answer, LookUpAnswer::Unauthorized);
    drop(counting);
    assert_eq!(alarms.total(), 0, "readiness says it");
    let reason = gateway.check().await.expect_err("it does not let us in");
    assert!(reason.contains("does not accept our credentials"), "{reason}");
    // No payment need be made for it to be seen that it does again.
    lets_in.store(true, Ordering::SeqCst);
    gateway.check().await.expect("it lets us in");
}

/// What is logged, as JSON lines.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no panic").write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[actix_web::test]
async fn each_answer_that_is_not_definite_is_logged_once_with_its_form_and_without_its_values() {
    let secret = r#"{"message":"subscriber 9000000017","code":{"inner":1}}"#;
    for (status, body, reason, names) in [
        (500, secret, "server_error", Some("code message")),
        (400, secret, "nonsense", Some("code message")),
        (401, secret, "unauthorized", Some("code message")),
        (200, "<html>subscriber 9000000017</html>", "nonsense", None),
    ] {
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt().json().with_writer(move || writer.clone()).finish();
        let gateway = gateway(status, body, &[("content-type", "application/json")]);
        let logging = tracing::subscriber::set_default(subscriber);
        gateway.pay(PAY).await;
        drop(logging);
        let text = String::from_utf8(log.0.lock().expect("no panic").clone()).expect("text");
        let lines: Vec<serde_json::Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .filter(|line: &serde_json::Value| {
                line["target"].as_str().is_some_and(|target| target.starts_with("payments"))
            })
            .collect();
        assert_eq!(lines.len(), 1, "{text}");
        let fields = &lines[0]["fields"];
        assert_eq!((&fields["status"], &fields["reason"]), (&status.into(), &reason.into()), "{fields}");
        assert_eq!(fields["content_type"], "application/json", "{fields}");
        assert_eq!(fields["body_bytes"], body.len(), "{fields}");
        let logged = fields["body_names"].as_str().map(|names| {
            let mut names: Vec<&str> = names.split(' ').collect();
            names.sort_unstable();
            names.join(" ")
        });
        assert_eq!(logged.as_deref(), names, "{fields}");
        assert!(!text.contains("9000000017"), "{text}");
    }
}

#[actix_web::test]
async fn the_longest_answer_and_the_longest_pause_are_settings() {
    let approved = r#"{"status":"approved","reference":"claim","amount_cents":100,"currency":"USD"}"#;
    let body: &'static str = format!("{approved}{}", " ".repeat(1_024)).leak();
    let listener = gateway(200, body, &[]);
    assert_eq!(listener.pay(PAY).await.answer, PayAnswer::Approved { amount_cents: 100 });
    let bounded = |change: fn(&mut GatewaySettings), status: u16| {
        let url = serve(status, body, &[("retry-after", "9")]);
        let mut settings = GatewaySettings { url, ..Settings::default().gateway };
        change(&mut settings);
        KeyedJsonGateway::new(&settings).expect("a client")
    };
    assert_eq!(bounded(|settings| settings.max_answer_bytes = 1_024, 200).pay(PAY).await.answer, unknown(Some(9_000)));
    assert_eq!(
        bounded(|settings| settings.max_retry_after_ms = 2_000, 429).pay(PAY).await.answer,
        unknown(Some(2_000))
    );
}

#[actix_web::test]
async fn a_refund_of_another_amount_is_unknown_and_an_alarm() {
    for body in [
        r#"{"status":"refunded","reference":"claim","amount_cents":99,"currency":"USD"}"#,
        r#"{"status":"refunded","reference":"claim","amount_cents":100,"currency":"EUR"}"#,
        r#"{"status":"refunded","reference":"claim","amount_cents":100}"#,
    ] {
        let alarms = Tally::of("payment_alarms_total");
        let _counting = metrics::set_default_local_recorder(&alarms);
        let refunded = gateway(200, body, &[]).refund(REFUND).await.answer;
        assert_eq!(refunded, RefundAnswer::Unknown { retry_after_ms: None }, "{body}");
        assert_eq!(alarms.total(), 1, "{body}");
    }
}

/// The half that came may be well-formed, as when a body has no length.
#[actix_web::test]
async fn half_an_answer_is_unknown() {
    let approved = r#"{"status":"approved","payment_id":"p","reference":"claim","amount_cents":147,"currency":"USD"}"#;
    let length = approved.len();
    let half = &approved[..length / 2];
    for sent in [
        String::new(),
        "HTTP/1.1 200 OK\r\ncontent-".to_owned(),
        format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n"),
        format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{half}"),
        format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{approved}", length + 1),
        format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{length:x}\r\n{approved}\r\n"),
    ] {
        let broken = breaking_off(sent.clone(), false).pay(PAY).await;
        assert_eq!((broken.answer, broken.sign), (unknown(None), Sign::Failed), "{sent}");
        let silent = breaking_off(sent.clone(), true).pay(PAY).await;
        assert_eq!((silent.answer, silent.sign), (unknown(None), Sign::TimedOut), "{sent}");
    }
    // A body that lasts until the connection ends: half of it is not the JSON it should be.
    let without_length = format!("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{half}");
    assert_eq!(breaking_off(without_length, false).pay(PAY).await.answer, unknown(None));
}

#[actix_web::test]
async fn silence_in_a_call_is_bounded_by_itself() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", silent.local_addr().expect("bound"));
    let settings = Settings::default().gateway;
    let settings = GatewaySettings { url, read_timeout_ms: 200, request_timeout_ms: 60_000, ..settings };
    let started = Instant::now();
    let silence = KeyedJsonGateway::new(&settings).expect("a client").pay(PAY).await;
    assert_eq!((silence.answer, silence.sign), (unknown(None), Sign::TimedOut));
    assert!(started.elapsed() < Duration::from_secs(30));
}

#[actix_web::test]
async fn an_answer_without_an_end_is_not_read_to_the_end() {
    let chunk = format!("1000\r\n{}\r\n", " ".repeat(0x1000));
    let endless = format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{}", chunk.repeat(20));
    let reply = breaking_off(endless, true).pay(PAY).await;
    assert_eq!((reply.answer, reply.sign), (unknown(None), Sign::Unclear));
}

/// What a look-up of the payment `claim.disburse` for `claim` makes of the one payment in the answer.
async fn reconcile(status: &str, amount_cents: i64, refunded: bool, returned: bool) -> LookUpAnswer {
    let body = format!(
        r#"{{"payments":[{{"payment_id":"p","reference":"claim","idempotency_key":"claim.disburse","status":"{status}",
        "amount_cents":{amount_cents},"currency":"USD","refunded":{refunded},"returned":{returned}}}]}}"#
    );
    gateway(200, body.leak(), &[]).look_up("claim.disburse", "claim").await.answer
}

#[actix_web::test]
async fn a_look_up_finds_what_became_of_a_payment_or_knows_nothing() {
    let amount_cents = 100;
    assert_eq!(reconcile("approved", 100, false, false).await, LookUpAnswer::Paid { amount_cents });
    assert_eq!(reconcile("approved", 100, true, false).await, LookUpAnswer::Refunded { amount_cents });
    assert_eq!(reconcile("approved", 100, false, true).await, LookUpAnswer::Returned { amount_cents });
    assert_eq!(reconcile("declined", 100, false, false).await, LookUpAnswer::Declined { code: "declined".into() });
    let none = gateway(200, r#"{"payments":[]}"#, &[]).look_up("claim.disburse", "claim").await.answer;
    assert_eq!(none, LookUpAnswer::NotFound);

    let not_known = LookUpAnswer::Unknown { retry_after_ms: None };
    assert_eq!(reconcile("approved", 100, true, true).await, not_known, "back twice");
    assert_eq!(reconcile("approved", 0, false, false).await, not_known, "nothing paid");
    assert_eq!(reconcile("open", 100, false, false).await, not_known, "a status it may not give");
    let pending = LookUpAnswer::Pending { retry_after_ms: None };
    assert_eq!(reconcile("pending", 100, false, false).await, pending);
    let refund_pending = r#"{"payments":[{"reference":"claim","idempotency_key":"claim.disburse","status":"approved","amount_cents":100,"currency":"usd","refunded":false,"returned":false,"refund_pending":true}]}"#;
    assert_eq!(gateway(200, refund_pending, &[]).look_up("claim.disburse", "claim").await.answer, pending);
    let cases = [
        (200, ""),
        (200, r#"{"payments":null}"#),
        (404, r#"{"payments":[]}"#),
        (500, r#"{"payments":[]}"#),
        (
            200,
            r#"{"payments":[{"reference":"claim","idempotency_key":"another","status":"approved","amount_cents":100,"currency":"USD","refunded":false,"returned":false}]}"#,
        ),
        (
            200,
            r#"{"payments":[{"reference":"claim","idempotency_key":"claim.disburse","status":"approved","amount_cents":100,"currency":"EUR","refunded":false,"returned":false}]}"#,
        ),
        (
            200,
            r#"{"payments":[{"reference":"claim","idempotency_key":"claim.disburse","status":"approved","amount_cents":100,"refunded":false,"returned":false}]}"#,
        ),
        (
            200,
            r#"{"payments":[{"reference":"another","idempotency_key":"claim.disburse","status":"approved","amount_cents":100,"currency":"USD","refunded":false,"returned":false}]}"#,
        ),
    ];
    for (status, body) in cases {
        assert_eq!(gateway(status, body, &[]).look_up("claim.disburse", "claim").await.answer, not_known, "{body}");
    }
}

#[actix_web::test]
async fn a_retry_after_is_respected_within_its_bound() {
    for status in [429, 503] {
        assert_eq!(gateway(status, "", &[("retry-after", "7")]).pay(PAY).await.answer, unknown(Some(7_000)));
        assert_eq!(gateway(status, "", &[("retry-after", "99999999")]).pay(PAY).await.answer, unknown(Some(300_000)));
        assert_eq!(gateway(status, "", &[("retry-after", "tomorrow")]).pay(PAY).await.answer, unknown(None));
        assert_eq!(gateway(status, "", &[]).pay(PAY).await.answer, unknown(None));
        let until = &[("date", "Tue, 24 Nov 2026 10:00:00 GMT"), ("retry-after", "Tue, 24 Nov 2026 10:00:09 GMT")];
        assert_eq!(gateway(status, "", until).pay(PAY).await.answer, unknown(Some(9_000)));
        let past = &[("date", "Tue, 24 Nov 2026 10:00:00 GMT"), ("retry-after", "Tue, 24 Nov 2026 09:00:00 GMT")];
        assert_eq!(gateway(status, "", past).pay(PAY).await.answer, unknown(None));
    }
}

#[actix_web::test]
async fn silence_and_absence_are_unknown_within_the_time_out() {
    // It accepts connections and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", silent.local_addr().expect("bound"));
    let started = Instant::now();
    assert_eq!(impatient_adapter(&url).pay(PAY).await.answer, unknown(None));
    assert!(started.elapsed() < Duration::from_millis(Settings::default().gateway.request_timeout_ms));
    drop(silent);
    assert_eq!(adapter(&url).pay(PAY).await.answer, unknown(None));
    adapter(&url).check().await.expect_err("nothing listens there");
    gateway(200, "", &[]).check().await.expect("it answers");
}

#[actix_web::test]
async fn every_call_shows_what_it_can_of_the_gateways_load() {
    let declined = r#"{"status":"declined","code":"insufficient_funds","reference":"claim"}"#;
    for (status, body, sign) in [
        (402, declined, Sign::Answered),
        (429, "", Sign::Busy),
        (503, "", Sign::Busy),
        (500, "", Sign::Failed),
        (502, "", Sign::Failed),
        (200, "<html>", Sign::Unclear),
        (404, "", Sign::Unclear),
    ] {
        assert_eq!(gateway(status, body, &[]).pay(PAY).await.sign, sign, "{status} {body}");
    }
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", silent.local_addr().expect("bound"));
    assert_eq!(adapter(&url).refund(REFUND).await.sign, Sign::TimedOut);
    drop(silent);
    assert_eq!(adapter(&url).look_up("claim.disburse", "claim").await.sign, Sign::Failed);
}

#[test]
fn an_unknown_adapter_stops_the_start_and_the_known_ones_are_named() {
    let load = |adapter: &str| {
        let url = ("PAYMENTS__GATEWAY__URL".to_owned(), "http://127.0.0.1:1".to_owned());
        let adapter = ("PAYMENTS__GATEWAY__ADAPTER".to_owned(), adapter.to_owned());
        let loaded =
            service_runtime::settings::load::<Settings>(PREFIX, &[], None, [url, adapter]).expect("reads them");
        loaded.checked()
    };
    assert_eq!(load("keyed_json").expect("it is known").gateway.adapter, GatewayAdapter::KeyedJson);
    let problem = load("telex").expect_err("there is none of this name").to_string();
    assert!(problem.contains("PAYMENTS__GATEWAY__ADAPTER") && problem.contains("keyed_json"), "{problem}");
}

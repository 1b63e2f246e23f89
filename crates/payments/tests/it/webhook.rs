//! What the gateway reports: signed, of this time, kept once, and applied when its payment is known.

use crate::harness::{CLAIM, Instance, approved, event, with_application};
use claim_events::OutcomeKind;
use diesel::{QueryDsl, RunQueryDsl};
use dual_db::on_each_backend;
use hmac::{Hmac, Mac};
use payments::db::returns::count_waiting;
use payments::db::schema::gateway_returns;
use payments::domain::saga::{Call, Disbursement, Input, PlannedCall, RefundAnswer};
use payments::executor::operator::{Action, ActionOutcome, Actor};
use payments::executor::returns::ReturnOutcome;
use payments::settings::Settings;
use reqwest::Client;
use serde_json::{Value, json};
use sha2::Sha256;
use test_support::{Tally, TestDatabase, on_both_databases};

const SECRET: &str = "a secret";

/// Well outside what is still of this time, however long a test takes. The bound itself is tested beside the check.
const HOUR_S: i64 = 3_600;

/// A service under test that takes webhooks, and the gateway that reports.
struct Gateway {
    client: Client,
    url: String,
}

impl Gateway {
    async fn report(&self, body: &Value, at_s: i64, secret: &str) -> (u16, Value) {
        self.send(body, &[format!("t={at_s},v1={}", hex(body, at_s, secret))]).await
    }

    async fn send(&self, body: &Value, signatures: &[String]) -> (u16, Value) {
        let request = self.client.post(&self.url).body(body.to_string());
        let signed = signatures.iter().fold(request, |request, header| request.header("gateway-signature", header));
        let answer = signed.send().await.expect("answers");
        (answer.status().as_u16(), answer.json().await.expect("JSON"))
    }

    /// How many were refused for a reason, by any instance in this process.
    async fn refused(&self, reason: &str) -> u64 {
        self.counted(&format!("webhooks_refused_total{{reason=\"{reason}\"}} ")).await
    }

    async fn counted(&self, series: &str) -> u64 {
        let url = self.url.replace("/v1/webhooks/gateway", "/metrics");
        let metrics = self.client.get(url).send().await.expect("answers").text().await.expect("text");
        let value = metrics.lines().find_map(|line| line.strip_prefix(series));
        value.map_or(0, |value| value.parse().expect("a number"))
    }

    /// What `GET /v1/returns` lists: the id of each event, and what is missing.
    async fn waiting(&self) -> Vec<(String, Value)> {
        let url = self.url.replace("/webhooks/gateway", "/returns");
        let page: Value = self.client.get(url).send().await.expect("answers").json().await.expect("JSON");
        let returns = page["returns"].as_array().expect("a list").clone();
        returns
            .into_iter()
            .map(|line| (line["event_id"].as_str().expect("an id").to_owned(), line["missing"].clone()))
            .collect()
    }

    async fn resolve(&self, event_id: &str, body: Value) -> (u16, Value) {
        let url = self.url.replace("/webhooks/gateway", &format!("/returns/{event_id}/resolve"));
        let answer = self.client.post(url).json(&body).send().await.expect("answers");
        (answer.status().as_u16(), answer.json().await.expect("JSON"))
    }

    async fn report_now(&self, event_id: &str, amount_cents: i64) -> u16 {
        self.report(&returned(event_id, amount_cents), now_s(), SECRET).await.0
    }
}

fn hex(body: &Value, at_s: i64, secret: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("any key");
    mac.update(format!("{at_s}.{body}").as_bytes());
    mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn now_s() -> i64 {
    jiff::Timestamp::now().as_second()
}

fn returned(event_id: &str, amount_cents: i64) -> Value {
    json!({"id": event_id, "type": "payment.returned", "payment_id": "p", "reference": CLAIM,
           "amount_cents": amount_cents, "currency": "USD"})
}

fn refund_failed(event_id: &str, key: &str, amount_cents: i64) -> Value {
    json!({"id": event_id, "type": "refund.failed", "reference": CLAIM, "idempotency_key": key,
           "amount_cents": amount_cents, "currency": "USD"})
}

fn with(event: &Value, change: Value) -> Value {
    let mut changed = event.clone();
    changed.as_object_mut().expect("an object").extend(change.as_object().expect("an object").clone());
    changed
}

fn with_webhooks(test: &TestDatabase, secret: &str, run: impl AsyncFnOnce(Gateway, Instance)) {
    let with_secret = |settings: &mut Settings| settings.gateway.webhook_secret = secret.into();
    with_application(test, with_secret, async |base, instance| {
        run(Gateway { client: Client::new(), url: format!("{base}/v1/webhooks/gateway") }, instance).await;
    });
}

fn settle(instance: &Instance) {
    let calls = instance.receive(&event(CLAIM, 100, 1));
    instance.answer(&calls[0], approved(100));
}

/// What the ledger has as paid and not back.
fn cash_out(instance: &Instance) -> i64 {
    let transfers = instance.database.read(|c| payments::db::ledger::of_claim(c, CLAIM)).expect("reads");
    transfers
        .iter()
        .map(|transfer| match (transfer.debit_account.as_str(), transfer.credit_account.as_str()) {
            (_, "cash") => transfer.amount_cents,
            ("cash", _) => -transfer.amount_cents,
            _ => 0,
        })
        .sum()
}

/// An operator retries the payment; the calls that come of it.
fn retry(instance: &Instance) -> Vec<PlannedCall> {
    let actor = Actor { reason: "the bank takes it now".into(), operator: None, client: "127.0.0.1".into() };
    match instance.executor.act(CLAIM, Action::Retry, &actor).expect("acts") {
        ActionOutcome::Done(calls) => calls,
        refused => panic!("{refused:?}"),
    }
}

fn outcome(instance: &Instance) -> Option<(OutcomeKind, i64)> {
    instance.saga(CLAIM).saga.outcome.map(|outcome| (outcome.kind, outcome.version))
}

on_both_databases! {
    fn a_return_after_settlement_unwinds_once_however_often_it_is_reported(test: &TestDatabase) {
        with_webhooks(test, SECRET, async |gateway, instance| {
            settle(&instance);
            assert_eq!(gateway.report_now("event-1", 100).await, 202);
            assert_eq!(outcome(&instance), Some((OutcomeKind::Unwound, 2)));
            assert!(instance.saga(CLAIM).saga.unsolicited);
            let transfers = instance.transfer_kinds(CLAIM);
            assert_eq!(transfers, ["disburse", "post", "reserve", "return", "reverse"]);
            assert_eq!(gateway.report_now("event-1", 100).await, 200, "delivered before");
            assert_eq!(gateway.report_now("another-id", 100).await, 202, "of another id, and nothing new");
            assert_eq!((instance.transfer_kinds(CLAIM), instance.books_off()), (transfers, 0));
        });
    }

    fn a_payment_that_came_back_comes_back_once_and_only_as_much_of_it(test: &TestDatabase) {
        let instance = Instance::new(test.database(), "one");
        settle(&instance);
        let (returns, alarms) = (Tally::of("payments_returned_total"), Tally::of("payment_alarms_total"));
        let report = |tally: &Tally, event_id: &str, amount_cents| {
            let _counting = metrics::set_default_local_recorder(tally);
            instance.executor.apply_return(event_id, CLAIM, amount_cents).expect("keeps").0
        };
        assert_eq!(report(&returns, "first", 100), ReturnOutcome::Applied);
        assert_eq!(report(&returns, "under-another-id", 100), ReturnOutcome::Applied, "and it is the same");
        assert_eq!(returns.total(), 1);
        assert_eq!(report(&alarms, "more", 70), ReturnOutcome::Kept, "that is more than was paid");
        assert_eq!((alarms.total(), test.database().read(count_waiting).expect("counts").0), (1, 1));
        assert_eq!(instance.transfer_kinds(CLAIM), ["disburse", "post", "reserve", "return", "reverse"]);
        assert_eq!(outcome(&instance), Some((OutcomeKind::Unwound, 2)));
    }

    fn another_return_under_the_same_id_is_kept_as_ambiguous_with_an_alarm(test: &TestDatabase) {
        let instance = Instance::new(test.database(), "one");
        settle(&instance);
        let alarms = Tally::of("payment_alarms_total");
        let report = |claim_id: &str, amount_cents| {
            let _counting = metrics::set_default_local_recorder(&alarms);
            let (reported, _) = instance.executor.apply_return("evt-1", claim_id, amount_cents).expect("keeps");
            (reported, alarms.total())
        };
        assert_eq!(report(CLAIM, 100), (ReturnOutcome::Applied, 0));
        assert_eq!(report(CLAIM, 100), (ReturnOutcome::Repeated, 0));
        assert_eq!(report(CLAIM, 70), (ReturnOutcome::Kept, 1));
        assert_eq!(report(CLAIM, 70), (ReturnOutcome::Repeated, 1));
        assert_eq!(report("another", 100), (ReturnOutcome::Kept, 2));
        assert_eq!(test.database().read(count_waiting).expect("counts").0, 2);
        // Its payment comes, and nothing of it is booked by a report that may be a mistake.
        let calls = instance.receive(&event("another", 100, 1));
        instance.answer(&calls[0], approved(100));
        assert_eq!(instance.transfer_kinds("another"), ["disburse", "post", "reserve"]);
        assert_eq!(instance.transfer_kinds(CLAIM), ["disburse", "post", "reserve", "return", "reverse"]);
    }

    fn what_is_not_signed_by_the_gateway_changes_nothing(test: &TestDatabase) {
        with_webhooks(test, SECRET, async |gateway, instance| {
            settle(&instance);
            let event = returned("event-1", 100);
            for (at_s, secret) in [(now_s(), "guessed"), (now_s() - HOUR_S, SECRET), (now_s() + HOUR_S, SECRET)] {
                let (status, body) = gateway.report(&event, at_s, secret).await;
                assert_eq!((status, &body["status"]), (401, &json!(401)), "{body}");
            }
            let unsigned = gateway.client.post(&gateway.url).body(event.to_string()).send().await.expect("answers");
            assert_eq!(unsigned.status(), 401);
            for (change, status) in [
                (json!({"currency": "EUR"}), 422),
                (json!({"amount_cents": 0}), 422),
                (json!({"amount_cents": 9_223_372_036_854_775_807_i64}), 422),
                (json!({"amount_cents": "100"}), 400),
                (json!({"reference": null}), 400),
            ] {
                assert_eq!(gateway.report(&with(&event, change.clone()), now_s(), SECRET).await.0, status, "{change}");
            }
            assert_eq!(outcome(&instance), Some((OutcomeKind::Settled, 1)));
            assert_eq!(gateway.report_now("event-1", 100).await, 202, "and the event is not used up");
        });
    }

    fn every_refusal_is_counted_by_its_reason_and_changes_nothing(test: &TestDatabase) {
        let change = |settings: &mut Settings| {
            settings.gateway.webhook_secret = SECRET.into();
            settings.gateway.max_webhook_bytes = 1_024;
        };
        with_application(test, change, async |base, instance| {
            let gateway = Gateway { client: Client::new(), url: format!("{base}/v1/webhooks/gateway") };
            settle(&instance);
            assert_eq!(gateway.report_now("kept", 100).await, 202);
            let state = || {
                let returns: dual_db::Result<i64> =
                    test.database().read(|c| Ok(on_each_backend!(c, |c| gateway_returns::table.count().get_result(c))?));
                let transfers = instance.transfer_kinds(CLAIM);
                (instance.saga(CLAIM), transfers, instance.published(), returns.expect("counts"))
            };
            let before = state();
            let with = |change| with(&returned("another", 100), change);
            let now = now_s();
            for (event, at_s, secret, status, reason) in [
                (with(json!({})), now, "guessed", 401, "wrong_signature"),
                (with(json!({})), now - HOUR_S, SECRET, 401, "old"),
                (with(json!({})), now + HOUR_S, SECRET, 401, "old"),
                (json!([]), now, SECRET, 400, "malformed"),
                (with(json!({"amount_cents": 1.5})), now, SECRET, 400, "malformed"),
                (with(json!({"id": ""})), now, SECRET, 400, "malformed"),
                (with(json!({"id": "a\u{0}b"})), now, SECRET, 400, "malformed"),
                (with(json!({"reference": "x".repeat(201)})), now, SECRET, 400, "malformed"),
                (json!({"id": "no type"}), now, SECRET, 400, "malformed"),
                (with(json!({"type": "refund.failed"})), now, SECRET, 400, "malformed"),
                (with(json!({"amount_cents": -1})), now, SECRET, 422, "not_placed"),
                (with(json!({"currency": "EUR"})), now, SECRET, 422, "not_placed"),
                (with(json!({"id": "x".repeat(1_024)})), now, SECRET, 413, "unreadable"),
            ] {
                let counted = gateway.refused(reason).await;
                let (answered, problem) = gateway.report(&event, at_s, secret).await;
                assert_eq!((answered, &problem["status"]), (status, &json!(status)), "{reason}: {problem}");
                assert!(gateway.refused(reason).await > counted, "{reason} is counted");
                assert_eq!(state(), before, "{reason} changes nothing");
            }
            let counted = gateway.refused("no_signature").await;
            let unsigned = gateway.client.post(&gateway.url).body(with(json!({})).to_string()).send().await.expect("answers");
            assert_eq!(unsigned.status(), 401);
            assert!(gateway.refused("no_signature").await > counted);
            assert_eq!(state(), before);
        });
    }

    fn without_a_secret_nothing_is_taken(test: &TestDatabase) {
        with_webhooks(test, "", async |gateway, instance| {
            settle(&instance);
            let counted = gateway.refused("no_secret").await;
            assert_eq!(gateway.report_now("event-1", 100).await, 503);
            assert!(gateway.refused("no_secret").await > counted);
            assert_eq!(outcome(&instance), Some((OutcomeKind::Settled, 1)));
        });
    }

    fn a_return_of_a_payment_not_yet_known_waits_for_it(test: &TestDatabase) {
        with_webhooks(test, SECRET, async |gateway, instance| {
            assert_eq!(gateway.report_now("event-1", 100).await, 202);
            assert_eq!(gateway.report_now("event-1", 100).await, 200);
            // Its claim comes now; the return is the approval, too.
            assert_eq!(instance.receive(&event(CLAIM, 100, 1)).len(), 1);
            assert_eq!(outcome(&instance), Some((OutcomeKind::Unwound, 1)));
            assert_eq!(instance.transfer_kinds(CLAIM), ["disburse", "release", "reserve", "return"]);
            assert_eq!(instance.books_off(), 0);
        });
    }

    fn a_return_that_cannot_be_of_its_payment_is_kept_in_sight_and_books_nothing(test: &TestDatabase) {
        with_webhooks(test, SECRET, async |gateway, instance| {
            let waiting = || test.database().read(count_waiting).expect("counts").0;
            settle(&instance);
            assert_eq!(gateway.report_now("half", 50).await, 202, "a part of what was paid");
            assert_eq!((outcome(&instance), waiting()), (Some((OutcomeKind::Settled, 1)), 1));
            let refund = instance.receive(&event(CLAIM, 100, 2));
            instance.answer(&refund[0], crate::harness::refunded());
            assert_eq!(gateway.report_now("late", 100).await, 202, "it was refunded before");
            assert_eq!(instance.transfer_kinds(CLAIM), ["disburse", "post", "refund", "reserve", "reverse"]);
            assert_eq!((waiting(), instance.books_off()), (2, 0));

            let refused = instance.receive(&event("declined", 100, 1));
            instance.answer(&refused[0], crate::harness::declined());
            let mut never_paid = returned("never paid", 100);
            never_paid["reference"] = json!("declined");
            assert_eq!(gateway.report(&never_paid, now_s(), SECRET).await.0, 400, "an id has no blanks");
            never_paid["id"] = json!("never-paid");
            assert_eq!(gateway.report(&never_paid, now_s(), SECRET).await.0, 202);
            assert_eq!((waiting(), instance.books_off()), (3, 0));
            let page = async |query: &str| -> Value {
                let url = gateway.url.replace("/webhooks/gateway", &format!("/returns?limit=2{query}"));
                gateway.client.get(url).send().await.expect("answers").json().await.expect("JSON")
            };
            let first = page("").await;
            assert_eq!((&first["returns"][0]["event_id"], &first["returns"][0]["amount"]), (&json!("half"), &json!("0.50")));
            let cursor = first["next_cursor"].as_str().expect("there is more");
            let last = page(&format!("&cursor={cursor}")).await;
            assert_eq!((&last["returns"][0]["claim_id"], &last["next_cursor"]), (&json!("declined"), &Value::Null));
        });
    }

    fn a_return_while_it_is_being_taken_back_is_the_one_that_counts(test: &TestDatabase) {
        with_webhooks(test, SECRET, async |gateway, instance| {
            settle(&instance);
            let refund = instance.receive(&event(CLAIM, 100, 2));
            assert_eq!(gateway.report_now("event-1", 100).await, 202);
            assert_eq!(instance.saga(CLAIM).saga.disbursement, Disbursement::Returned);
            instance.answer(&refund[0], crate::harness::refunded());
            assert_eq!(instance.transfer_kinds(CLAIM), ["disburse", "post", "reserve", "return", "reverse"]);
            assert_eq!((outcome(&instance), instance.books_off()), (Some((OutcomeKind::Unwound, 2)), 0));
            assert!(!instance.saga(CLAIM).saga.unsolicited, "the void asked for it");
        });
    }

    fn any_signature_that_fits_counts_under_either_secret(test: &TestDatabase) {
        let change = |settings: &mut Settings| {
            settings.gateway.webhook_secret = "new".into();
            settings.gateway.webhook_secret_previous = "old".into();
        };
        with_application(test, change, async |base, instance| {
            let gateway = Gateway { client: Client::new(), url: format!("{base}/v1/webhooks/gateway") };
            settle(&instance);
            let (event, now) = (returned("event-1", 100), now_s());
            let [new, old, other] = ["new", "old", "other"].map(|secret| hex(&event, now, secret));
            let one = |hexes: &[&str]| {
                let signatures: Vec<String> = hexes.iter().map(|hex| format!("v1={hex}")).collect();
                format!("t={now},{}", signatures.join(","))
            };
            for signatures in [vec![one(&[&other])], vec![one(&[&other]), one(&[&other])], vec![]] {
                assert_eq!(gateway.send(&event, &signatures).await.0, 401, "{signatures:?}");
            }
            let twice = format!("t={now},{}", one(&[&new]));
            assert_eq!(gateway.send(&event, &[twice]).await.0, 401, "which time is meant?");
            assert_eq!(gateway.send(&event, &[one(&[&other]), one(&[&new])]).await.0, 202, "the second header fits");
            for signatures in [vec![one(&[&other, &new])], vec![one(&[&old])], vec![one(&[&new]), one(&[&old])]] {
                assert_eq!(gateway.send(&event, &signatures).await.0, 200, "{signatures:?}");
            }
        });
    }

    fn what_does_not_concern_us_is_counted_and_a_currency_has_no_case(test: &TestDatabase) {
        with_webhooks(test, SECRET, async |gateway, instance| {
            settle(&instance);
            for (kind, label) in [("payment.approved", "payment.approved"), ("customer.updated", "other"), ("x", "other")] {
                let series = format!("webhooks_taken_total{{type=\"{label}\",status=\"ignored\"}} ");
                let counted = gateway.counted(&series).await;
                let (status, body) = gateway.report(&json!({"type": kind}), now_s(), SECRET).await;
                assert_eq!((status, &body["status"]), (200, &json!("ignored")), "{kind}");
                assert!(gateway.counted(&series).await > counted, "{kind}");
            }
            let lower = with(&returned("event-1", 100), json!({"currency": "usd"}));
            assert_eq!(gateway.report(&lower, now_s(), SECRET).await.0, 202);
            assert_eq!(outcome(&instance), Some((OutcomeKind::Unwound, 2)));
        });
    }

    fn the_parts_of_a_return_add_up(test: &TestDatabase) {
        with_webhooks(test, SECRET, async |gateway, instance| {
            settle(&instance);
            assert_eq!(gateway.report_now("part-1", 40).await, 202);
            assert_eq!(outcome(&instance), Some((OutcomeKind::Settled, 1)), "nothing is booked of a part");
            assert_eq!(gateway.waiting().await, [("part-1".to_owned(), json!("0.60"))]);
            assert_eq!(gateway.report_now("part-1", 40).await, 200, "each event once");
            assert_eq!(gateway.report_now("too-much", 70).await, 202);
            assert_eq!(outcome(&instance), Some((OutcomeKind::Settled, 1)));
            assert_eq!(gateway.report_now("part-2", 60).await, 202);
            assert_eq!(outcome(&instance), Some((OutcomeKind::Unwound, 2)));
            assert_eq!(instance.transfer_kinds(CLAIM), ["disburse", "post", "reserve", "return", "reverse"]);
            assert_eq!(gateway.waiting().await, [("too-much".to_owned(), Value::Null)], "it is kept in sight");
            assert_eq!(gateway.report_now("part-3", 40).await, 202, "and so is what comes after all came back");
            assert_eq!((gateway.waiting().await.len(), instance.books_off()), (2, 0));
        });
    }

    /// The refund was answered "already returned" before the gateway reported the return, in parts.
    fn the_parts_of_a_return_that_an_answer_told_of_belong_to_it(test: &TestDatabase) {
        with_webhooks(test, SECRET, async |gateway, instance| {
            settle(&instance);
            let refund = instance.receive(&event(CLAIM, 100, 2));
            instance.answer(&refund[0], Input::RefundAnswer(RefundAnswer::AlreadyReturned));
            let transfers = instance.transfer_kinds(CLAIM);
            assert_eq!(gateway.report_now("part-1", 40).await, 202);
            assert_eq!(gateway.report_now("part-2", 60).await, 202);
            assert_eq!(gateway.waiting().await, []);
            assert_eq!(gateway.report_now("part-3", 40).await, 202);
            assert_eq!(gateway.waiting().await.len(), 1, "more than came back");
            assert_eq!((instance.transfer_kinds(CLAIM), instance.books_off()), (transfers, 0));
        });
    }

    fn an_operator_closes_what_cannot_be_placed(test: &TestDatabase) {
        with_webhooks(test, SECRET, async |gateway, instance| {
            settle(&instance);
            assert_eq!(gateway.report_now("a-mistake", 70).await, 202);
            assert_eq!(gateway.report_now("part-1", 40).await, 202);
            assert_eq!(gateway.report_now("part-2", 60).await, 202);
            let why = || json!({"reason": "says the help desk", "operator": "A. Smith"});
            assert_eq!(gateway.resolve("a-mistake", json!({})).await.0, 422, "a reason is required");
            assert_eq!(gateway.resolve("unknown", why()).await.0, 404);
            assert_eq!(gateway.resolve("a%00b", why()).await.0, 404);
            assert_eq!(test.database().read(count_waiting).expect("counts").0, 3);

            let (status, resolved) = gateway.resolve("a-mistake", why()).await;
            assert_eq!((status, &resolved["event_id"]), (200, &json!("a-mistake")), "{resolved}");
            assert!(resolved["resolved_at"].is_string(), "{resolved}");
            // What waited beside it adds up without it.
            assert_eq!(test.database().read(count_waiting).expect("counts").0, 0);
            assert_eq!((outcome(&instance), gateway.waiting().await), (Some((OutcomeKind::Unwound, 2)), vec![]));

            assert_eq!(gateway.resolve("a-mistake", why()).await, (200, resolved), "it is resolved already");
            assert_eq!(gateway.resolve("part-1", why()).await.0, 409, "it is booked");
            assert_eq!(gateway.report_now("a-mistake", 70).await, 200, "delivered before");
            let url = gateway.url.replace("/webhooks/gateway", &format!("/payments/{CLAIM}"));
            let payment: Value = gateway.client.get(url).send().await.expect("answers").json().await.expect("JSON");
            let acts = payment["operator_acts"].as_array().expect("a list");
            assert_eq!(acts.len(), 1, "once: {acts:?}");
            assert_eq!((&acts[0]["act"], &acts[0]["answer"]), (&json!("resolve_return"), &json!("a-mistake")));
            assert_eq!((&acts[0]["reason"], &acts[0]["operator"]), (&json!("says the help desk"), &json!("A. Smith")));
        });
    }

    fn a_refund_that_fails_later_reopens_what_it_closed(test: &TestDatabase) {
        with_webhooks(test, SECRET, async |gateway, instance| {
            settle(&instance);
            let refund = instance.receive(&event(CLAIM, 100, 2));
            instance.answer(&refund[0], crate::harness::refunded());
            assert_eq!(outcome(&instance), Some((OutcomeKind::Unwound, 2)));
            let failed = refund_failed("event-1", &format!("{CLAIM}.refund"), 100);
            for wrong in [json!({"amount_cents": 99}), json!({"idempotency_key": "another"})] {
                let event = with(&with(&failed, wrong.clone()), json!({"id": format!("wrong-{}", wrong.to_string().len())}));
                assert_eq!(gateway.report(&event, now_s(), SECRET).await.0, 202, "kept: {wrong}");
            }
            assert_eq!((outcome(&instance), gateway.waiting().await.len()), (Some((OutcomeKind::Unwound, 2)), 2));

            let (status, body) = gateway.report(&failed, now_s(), SECRET).await;
            assert_eq!((status, &body["status"]), (202, &json!("applied")));
            assert_eq!(gateway.report(&failed, now_s(), SECRET).await.0, 200, "delivered before");
            let stored = instance.saga(CLAIM);
            assert_eq!(stored.saga.disbursement, Disbursement::RefundFailed { amount_cents: 100 });
            assert_eq!((stored.saga.outcome, stored.state().as_str()), (None, "stuck"));
            assert_eq!(cash_out(&instance), 100, "the provider has the money");
            assert_eq!(instance.resume(), [], "it waits for an operator");

            let again = retry(&instance);
            let Call::Refund { key, .. } = &again[0].call else { panic!("{again:?}") };
            assert_eq!(*key, format!("{CLAIM}.refund.2"), "a refund that failed is final for its key");
            // The answer to the call for the first refund comes late.
            assert_eq!(instance.answer(&refund[0], crate::harness::refunded()), []);
            assert_eq!(cash_out(&instance), 100);
            instance.answer(&again[0], crate::harness::refunded());
            assert_eq!((outcome(&instance), cash_out(&instance)), (Some((OutcomeKind::Unwound, 3)), 0));
            assert!(instance.saga(CLAIM).saga.unsolicited, "no request of the claim waits for this end");
            let under_another_id = with(&failed, json!({"id": "event-2"}));
            assert_eq!(gateway.report(&under_another_id, now_s(), SECRET).await.0, 202, "it is about the first refund");
            assert_eq!((outcome(&instance), instance.books_off()), (Some((OutcomeKind::Unwound, 3)), 0));

            let second = refund_failed("event-3", &format!("{CLAIM}.refund.2"), 100);
            assert_eq!(gateway.report(&second, now_s(), SECRET).await.0, 202);
            assert_eq!((cash_out(&instance), instance.saga(CLAIM).state().as_str()), (100, "stuck"));
            // Now its bank sends it back.
            assert_eq!(gateway.report_now("event-4", 100).await, 202);
            assert_eq!((outcome(&instance), cash_out(&instance)), (Some((OutcomeKind::Unwound, 4)), 0));
            assert_eq!(instance.books_off(), 0);
        });
    }

    /// The approval got lost on its way, and then the refund failed.
    fn a_refund_that_fails_before_its_answer_is_known_is_not_booked(test: &TestDatabase) {
        with_webhooks(test, SECRET, async |gateway, instance| {
            settle(&instance);
            let refund = instance.receive(&event(CLAIM, 100, 2));
            let failed = refund_failed("event-1", &format!("{CLAIM}.refund"), 100);
            assert_eq!(gateway.report(&failed, now_s(), SECRET).await.0, 202);
            assert_eq!(instance.answer(&refund[0], crate::harness::refunded()), []);
            assert_eq!((cash_out(&instance), instance.saga(CLAIM).state().as_str()), (100, "stuck"));
            assert_eq!(instance.transfer_kinds(CLAIM), ["disburse", "post", "reserve", "reverse"]);
        });
    }

    fn two_reports_at_once_are_one(test: &TestDatabase) {
        let instances: Vec<Instance> = (0..4).map(|n| Instance::new(test.database(), &n.to_string())).collect();
        settle(&instances[0]);
        let reported: Vec<ReturnOutcome> = std::thread::scope(|scope| {
            let reporting: Vec<_> = instances
                .iter()
                .map(|instance| scope.spawn(|| instance.executor.apply_return("event-1", CLAIM, 100).expect("applies").0))
                .collect();
            reporting.into_iter().map(|thread| thread.join().expect("no panic")).collect()
        });
        assert_eq!(reported.iter().filter(|outcome| **outcome == ReturnOutcome::Applied).count(), 1, "{reported:?}");
        assert_eq!(reported.iter().filter(|outcome| **outcome == ReturnOutcome::Repeated).count(), 3, "{reported:?}");
    }

    fn the_ledger_is_append_only_by_the_database_itself(test: &TestDatabase) {
        let instance = Instance::new(test.database(), "one");
        settle(&instance);
        let is_sqlite = test.database().read(|c| Ok(matches!(c, dual_db::Connection::Sqlite(_)))).expect("reads");
        // In the place of one by its id, and by what it ends.
        let replaced = |id: &str, kind: &str| {
            format!(
                "INSERT OR REPLACE INTO ledger_transfers SELECT {id}, claim_id, kind, debit_account, credit_account, 1, weight, \
                 ends_pending, reverses, booked_at_us FROM ledger_transfers WHERE kind = '{kind}'"
            )
        };
        let (same_id, other_id) = (replaced("id", "disburse"), replaced("'another'", "post"));
        for sql in [
            "UPDATE ledger_transfers SET amount_cents = 1",
            "DELETE FROM ledger_transfers",
            "UPDATE ledger_transfers SET booked_at_us = 0 WHERE kind = 'post'",
        ]
        .into_iter()
        .chain(match is_sqlite {
            true => [same_id.as_str(), other_id.as_str()].to_vec(),
            false => vec!["TRUNCATE ledger_transfers"],
        }) {
            let refused = test.database().write(|connection| {
                on_each_backend!(connection, |c| diesel::sql_query(sql).execute(c))?;
                Ok(())
            });
            assert!(refused.is_err(), "{sql}");
        }
        assert_eq!((instance.transfer_kinds(CLAIM), instance.books_off()), (vec!["disburse".into(), "post".into(), "reserve".into()], 0));
    }
}

//! What the gateway reports: signed, of this time, kept once, and applied when its payment is known.

use crate::harness::{CLAIM, Instance, approved, event, with_application};
use claim_events::OutcomeKind;
use diesel::{QueryDsl, RunQueryDsl};
use dual_db::on_each_backend;
use hmac::{Hmac, Mac};
use payments::db::returns::count_waiting;
use payments::db::schema::gateway_returns;
use payments::domain::saga::Disbursement;
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
        let body = body.to_string();
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("any key");
        mac.update(format!("{at_s}.{body}").as_bytes());
        let hex: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        let signed = self.client.post(&self.url).header("gateway-signature", format!("t={at_s},v1={hex}"));
        let answer = signed.body(body).send().await.expect("answers");
        (answer.status().as_u16(), answer.json().await.expect("JSON"))
    }

    /// How many were refused for a reason, by any instance in this process.
    async fn refused(&self, reason: &str) -> u64 {
        let url = self.url.replace("/v1/webhooks/gateway", "/metrics");
        let metrics = self.client.get(url).send().await.expect("answers").text().await.expect("text");
        let series = format!("webhooks_refused_total{{reason=\"{reason}\"}} ");
        let value = metrics.lines().find_map(|line| line.strip_prefix(series.as_str()));
        value.map_or(0, |value| value.parse().expect("a number"))
    }

    async fn report_now(&self, event_id: &str, amount_cents: i64) -> u16 {
        self.report(&returned(event_id, amount_cents), now_s(), SECRET).await.0
    }
}

fn now_s() -> i64 {
    jiff::Timestamp::now().as_second()
}

fn returned(event_id: &str, amount_cents: i64) -> Value {
    json!({"id": event_id, "type": "payment.returned", "payment_id": "p", "reference": CLAIM,
           "amount_cents": amount_cents, "currency": "USD"})
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

fn outcome(instance: &Instance) -> Option<(OutcomeKind, i64)> {
    instance.saga(CLAIM).saga.outcome.map(|outcome| (outcome.kind, outcome.version))
}

on_both_databases! {
    fn a_return_after_settlement_unwinds_once_however_often_it_is_reported(test: &TestDatabase) {
        with_webhooks(test, SECRET, async |gateway, instance| {
            settle(&instance);
            assert_eq!(gateway.report_now("event-1", 100).await, 200);
            assert_eq!(outcome(&instance), Some((OutcomeKind::Unwound, 2)));
            assert!(instance.saga(CLAIM).saga.unsolicited);
            let transfers = instance.transfer_kinds(CLAIM);
            assert_eq!(transfers, ["disburse", "post", "reserve", "return", "reverse"]);
            assert_eq!(gateway.report_now("event-1", 100).await, 409);
            assert_eq!(gateway.report_now("another-id", 100).await, 200, "of another id, and nothing new");
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

    fn another_return_under_the_same_id_is_an_alarm_and_changes_nothing(test: &TestDatabase) {
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
        assert_eq!(report(CLAIM, 70), (ReturnOutcome::Repeated, 1));
        assert_eq!(report("another", 100), (ReturnOutcome::Repeated, 2));
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
                (json!({"type": "payment.made"}), 422),
                (json!({"currency": "EUR"}), 422),
                (json!({"amount_cents": 0}), 422),
                (json!({"amount_cents": 9_223_372_036_854_775_807_i64}), 422),
                (json!({"amount_cents": "100"}), 400),
                (json!({"reference": null}), 400),
            ] {
                let mut wrong = event.clone();
                wrong.as_object_mut().expect("an object").extend(change.as_object().expect("an object").clone());
                assert_eq!(gateway.report(&wrong, now_s(), SECRET).await.0, status, "{change}");
            }
            assert_eq!(outcome(&instance), Some((OutcomeKind::Settled, 1)));
            assert_eq!(gateway.report_now("event-1", 100).await, 200, "and the event is not used up");
        });
    }

    fn every_refusal_is_counted_by_its_reason_and_changes_nothing(test: &TestDatabase) {
        let change = |settings: &mut Settings| {
            settings.gateway.webhook_secret = SECRET.into();
            settings.http.max_body_bytes = 1_000;
        };
        with_application(test, change, async |base, instance| {
            let gateway = Gateway { client: Client::new(), url: format!("{base}/v1/webhooks/gateway") };
            settle(&instance);
            assert_eq!(gateway.report_now("kept", 100).await, 200);
            let state = || {
                let returns: dual_db::Result<i64> =
                    test.database().read(|c| Ok(on_each_backend!(c, |c| gateway_returns::table.count().get_result(c))?));
                let transfers = instance.transfer_kinds(CLAIM);
                (instance.saga(CLAIM), transfers, instance.published(), returns.expect("counts"))
            };
            let before = state();
            let with = |change: Value| {
                let mut event = returned("another", 100);
                event.as_object_mut().expect("an object").extend(change.as_object().expect("an object").clone());
                event
            };
            let now = now_s();
            for (event, at_s, secret, status, reason) in [
                (with(json!({})), now, "guessed", 401, "wrong_signature"),
                (with(json!({})), now - HOUR_S, SECRET, 401, "old"),
                (with(json!({})), now + HOUR_S, SECRET, 401, "old"),
                (with(json!({"id": "kept"})), now, SECRET, 409, "repeated"),
                (with(json!({"id": "kept", "amount_cents": 7})), now, SECRET, 409, "repeated"),
                (json!([]), now, SECRET, 400, "malformed"),
                (with(json!({"amount_cents": 1.5})), now, SECRET, 400, "malformed"),
                (with(json!({"id": ""})), now, SECRET, 400, "malformed"),
                (with(json!({"id": "a\u{0}b"})), now, SECRET, 400, "malformed"),
                (with(json!({"reference": "x".repeat(201)})), now, SECRET, 400, "malformed"),
                (with(json!({"type": "payment.made"})), now, SECRET, 422, "unknown_event"),
                (with(json!({"amount_cents": -1})), now, SECRET, 422, "unknown_event"),
                (with(json!({"id": "x".repeat(1_000)})), now, SECRET, 413, "unreadable"),
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
            assert_eq!(gateway.report_now("event-1", 100).await, 409);
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
            assert_eq!(gateway.report_now("half", 50).await, 202, "another amount came back than was paid");
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
            assert_eq!(gateway.report_now("event-1", 100).await, 200);
            assert_eq!(instance.saga(CLAIM).saga.disbursement, Disbursement::Returned);
            instance.answer(&refund[0], crate::harness::refunded());
            assert_eq!(instance.transfer_kinds(CLAIM), ["disburse", "post", "reserve", "return", "reverse"]);
            assert_eq!((outcome(&instance), instance.books_off()), (Some((OutcomeKind::Unwound, 2)), 0));
            assert!(!instance.saga(CLAIM).saga.unsolicited, "the void asked for it");
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

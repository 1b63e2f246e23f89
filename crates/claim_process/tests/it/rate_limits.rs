//! Limits for each client: what is counted, what the headers say, and what counts as one client.

use crate::service::{Answer, PROVIDERS, Service, claim, with_service, with_settings};
use claim_process::settings::Settings;
use reqwest::Method;
use serde_json::json;
use std::time::{Duration, Instant};
use test_support::TestDatabase;

/// The headers about the limit: limit, remaining, seconds until all of it is there again.
fn left(answer: &Answer) -> [u64; 3] {
    assert!(answer.headers.keys().all(|name| !name.as_str().starts_with("x-ratelimit")), "{:?}", answer.headers);
    ["ratelimit-limit", "ratelimit-remaining", "ratelimit-reset"]
        .map(|name| answer.header(name).parse().unwrap_or_else(|_| panic!("{name} in {:?}", answer.headers)))
}

/// Asks for the top providers with a header.
async fn top_with(service: &Service, name: &str, value: &str) -> Answer {
    Answer::of(service.request(Method::GET, "/v1/providers/top").header(name, value)).await
}

#[test]
fn the_eleventh_request_of_a_minute_gets_retry_after() {
    let database = TestDatabase::sqlite();
    with_service(&database, async |service| {
        let began = Instant::now();
        for n in 1..=10 {
            let answer = service.get("/v1/providers/top").await;
            assert_eq!(answer.status, 200, "request {n}");
            let [limit, remaining, reset] = left(&answer);
            assert_eq!((limit, remaining), (10, 10 - n), "request {n}");
            assert!((n * 6 - 5..=n * 6).contains(&reset), "request {n}: {reset} s, and one comes back every six");
        }
        for _ in 0..3 {
            let answer = service.get("/v1/providers/top").await;
            assert_eq!(answer.problem(429), "rate-limited");
            let seconds: u64 = answer.header("retry-after").parse().expect("whole seconds");
            assert!((1..=6).contains(&seconds), "{seconds} s until the next of ten a minute");
            assert_eq!(left(&answer), [10, 0, 60]);
        }
        assert!(began.elapsed() < Duration::from_secs(5), "all of it within the time of one request");
        // Nothing else is limited.
        for path in ["/v1/claims", "/healthz", "/metrics"] {
            assert_eq!(service.get(path).await.status, 200, "{path}");
        }
        assert_eq!(service.post(&claim(PROVIDERS[0], "1.00")).await.status, 201);
    });
}

#[test]
fn a_client_that_waits_for_retry_after_is_served() {
    let database = TestDatabase::sqlite();
    with_settings(
        &database,
        |settings| settings.rate_limit.top_providers_per_minute = 60,
        async |service| {
            let refused = loop {
                let answer = service.get("/v1/providers/top").await;
                if answer.status == 429 {
                    break answer;
                }
            };
            let seconds: u64 = refused.header("retry-after").parse().expect("whole seconds");
            assert!((1..=2).contains(&seconds), "{seconds}");
            // The client waits as the header demands; the time itself is what is tested.
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            assert_eq!(service.get("/v1/providers/top").await.status, 200);
        },
    );
}

#[test]
fn all_that_changes_something_shares_a_limit_and_refusals_count() {
    let database = TestDatabase::sqlite();
    with_settings(
        &database,
        |settings| {
            settings.rate_limit.writes_per_minute = 4;
            settings.rate_limit.limit_loopback = true;
        },
        async |service| {
            let id = service.accepted(&claim(PROVIDERS[0], "1.00")).await;
            let refused = service.post(&json!({"lines": []})).await;
            assert_eq!((refused.problem(422), left(&refused)), ("claim-refused", [4, 2, 30]));
            let void = service.request(Method::POST, &format!("/v1/claims/{id}/void"));
            let voided = Answer::of(void.try_clone().unwrap().json(&json!({"reason": "sent by mistake"}))).await;
            assert_eq!((voided.status, left(&voided)[1]), (202, 1));
            assert_eq!(service.post(&claim(PROVIDERS[0], "1.00")).await.status, 201);
            let [redrive, discard] =
                ["redrive", "discard"].map(|act| service.request(Method::POST, &format!("/v1/dead-letters/1/{act}")));
            for limited in [
                service.post(&claim(PROVIDERS[0], "1.00")).await,
                Answer::of(void).await,
                Answer::of(redrive).await,
                Answer::of(discard).await,
            ] {
                assert_eq!(limited.problem(429), "rate-limited");
                let seconds: u64 = limited.header("retry-after").parse().expect("whole seconds");
                assert!((1..=15).contains(&seconds), "{seconds}");
            }
            // Reading is not limited, and its answers have no such headers.
            let listed = service.get("/v1/claims").await;
            assert_eq!((listed.status, listed.header("ratelimit-limit")), (200, ""));
            assert_eq!(listed.body["claims"].as_array().unwrap().len(), 2);
            assert_eq!(service.get("/v1/dead-letters").await.status, 200);
        },
    );
}

#[test]
fn a_sender_on_this_machine_is_not_limited_and_one_behind_a_proxy_on_it_is() {
    let database = TestDatabase::sqlite();
    let strict = |settings: &mut Settings| {
        settings.rate_limit.writes_per_minute = 2;
        settings.proxies.trusted = vec!["127.0.0.1".to_owned()];
    };
    with_settings(&database, strict, async |service| {
        for _ in 0..4 {
            let answer = service.post(&claim(PROVIDERS[0], "1.00")).await;
            assert_eq!((answer.status, left(&answer)), (201, [2, 2, 1]));
        }
        let from_elsewhere = async || {
            let request = service.claims().header("x-forwarded-for", "198.51.100.1");
            Answer::of(request.json(&claim(PROVIDERS[0], "1.00"))).await
        };
        for remaining in [1, 0] {
            let answer = from_elsewhere().await;
            assert_eq!((answer.status, left(&answer)[1]), (201, remaining));
        }
        assert_eq!(from_elsewhere().await.problem(429), "rate-limited");
    });
}

#[test]
fn clients_behind_a_trusted_proxy_are_distinguished_and_cannot_spoof() {
    let database = TestDatabase::sqlite();
    let trusting = |settings: &mut Settings| {
        settings.rate_limit.top_providers_per_minute = 1;
        settings.proxies.trusted = vec!["127.0.0.0/8".to_owned(), "10.0.0.0/8".to_owned()];
    };
    with_settings(&database, trusting, async |service| {
        assert_eq!(top_with(&service, "x-forwarded-for", "198.51.100.1").await.status, 200);
        // One client, also with other addresses in front of the one that the proxy appended.
        for pretended in ["198.51.100.1", "6.6.6.6, 198.51.100.1", "7.7.7.7, 198.51.100.1, 10.0.0.7"] {
            assert_eq!(
                top_with(&service, "x-forwarded-for", pretended).await.problem(429),
                "rate-limited",
                "{pretended}"
            );
        }
        assert_eq!(top_with(&service, "x-forwarded-for", "198.51.100.2").await.status, 200, "another client");
        // A client has a /64 of IPv6 for itself.
        assert_eq!(top_with(&service, "x-forwarded-for", "2001:470:1:2::1").await.status, 200);
        assert_eq!(top_with(&service, "x-forwarded-for", "2001:470:1:2:ffff::9").await.status, 429);
        assert_eq!(top_with(&service, "x-forwarded-for", "2001:470:1:3::1").await.status, 200);
        // The other header is not believed: this is the proxy itself.
        assert_eq!(top_with(&service, "forwarded", "for=198.51.100.3").await.status, 200);
        assert_eq!(top_with(&service, "forwarded", "for=198.51.100.4").await.status, 429);
    });
}

#[test]
fn where_no_proxy_is_trusted_a_header_changes_nothing() {
    let database = TestDatabase::sqlite();
    let strict = |settings: &mut Settings| settings.rate_limit.top_providers_per_minute = 1;
    with_settings(&database, strict, async |service| {
        assert_eq!(top_with(&service, "x-forwarded-for", "198.51.100.1").await.status, 200);
        assert_eq!(top_with(&service, "x-forwarded-for", "198.51.100.2").await.problem(429), "rate-limited");
    });
}

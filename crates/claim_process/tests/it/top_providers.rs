//! `GET /v1/providers/top`: the order, and how many there are.

use crate::service::{Answer, assert_totals_agree, claim, with_service};
use serde_json::{Value, json};
use test_support::{TestDatabase, execute, on_both_databases};

/// What is listed of each provider: rank, NPI, net fee, claims.
fn listed(answer: &Answer) -> Vec<Value> {
    assert_eq!(answer.status, 200, "{}", answer.body);
    let time = answer.body["as_of"].as_str().expect("a time");
    assert!(time.ends_with('Z') && time.contains('T'), "{time}");
    let providers = answer.body["providers"].as_array().expect("a list").iter();
    providers.map(|p| json!([p["rank"], p["provider_npi"], p["net_fee"], p["claims"]])).collect()
}

on_both_databases! {
    fn providers_are_ranked_by_net_fee_and_ties_by_npi(database: &TestDatabase) {
        with_service(database, async |service| {
            assert_eq!(listed(&service.get("/v1/providers/top").await), Vec::<Value>::new());
            // 1497775530 and 1234567893 end up with the same total, the latter in two claims.
            for (provider, net_fee) in [
                ("1497775530", "30.00"),
                ("1234567893", "10.00"),
                ("1993999998", "100.00"),
                ("1234567893", "20.00"),
                ("1245319599", "0.00"),
            ] {
                service.accepted(&claim(provider, net_fee)).await;
            }
            let mut owes = claim("1999999984", "0.00");
            owes["lines"][0]["allowed_fees"] = json!("5.00");
            service.accepted(&owes).await;
            let all = [
                json!([1, "1993999998", "100.00", 1]),
                json!([2, "1234567893", "30.00", 2]),
                json!([3, "1497775530", "30.00", 1]),
                json!([4, "1245319599", "0.00", 1]),
                json!([5, "1999999984", "-5.00", 1]),
            ];
            assert_eq!(listed(&service.get("/v1/providers/top").await), all);
            assert_eq!(listed(&service.get("/v1/providers/top?limit=3").await), all[..3]);
            assert_eq!(listed(&service.get("/v1/providers/top?limit=100").await), all);
            for wrong in ["limit=0", "limit=101", "limit=x", "limit=-3", "offset=3"] {
                assert_eq!(
                    service.get(&format!("/v1/providers/top?{wrong}")).await.problem(400),
                    "malformed",
                    "{wrong}"
                );
            }
        });
        assert_totals_agree(database.database());
    }

    fn ten_are_listed_unless_more_are_asked_for_and_none_without_claims(database: &TestDatabase) {
        with_service(database, async |service| {
            database
                .database()
                .write(|connection| {
                    for n in 0..120 {
                        let claims = i32::from(n != 119);
                        let net_fee = if claims == 0 { 0 } else { n };
                        execute(
                            connection,
                            &format!(
                                "INSERT INTO provider_totals (provider_npi, net_fee_cents, claims) \
                         VALUES ('{:010}', {net_fee}, {claims})",
                                1_000_000_000 + n
                            ),
                        )?;
                    }
                    Ok(())
                })
                .unwrap();
            let top = listed(&service.get("/v1/providers/top").await);
            assert_eq!(top.len(), 10);
            assert_eq!(
                top[0],
                json!([1, "1000000118", "1.18", 1]),
                "all claims of the last are unwound: it is not listed"
            );
            assert_eq!(listed(&service.get("/v1/providers/top?limit=100").await).len(), 100);
        });
    }
}

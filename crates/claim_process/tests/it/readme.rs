//! The claims that the README shows are accepted, with the net fees that it shows.

use crate::service::{REAL_CLAIM, with_service};
use test_support::{TestDatabase, on_both_databases};

const README: &str = include_str!("../../../../README.md");

/// The body of each claim that README sends as JSON, and the net fee that it shows behind it.
fn claims() -> Vec<(&'static str, &'static str)> {
    let mut claims = Vec::new();
    for rest in README.split("-d '").skip(1) {
        let (body, behind) = rest.split_once('\'').expect("the quote is closed");
        if body.contains("provider_npi") {
            let shown = behind.split("\"net_fee\": \"").nth(1).and_then(|rest| rest.split('"').next());
            claims.push((body, shown.expect("its net fee is shown behind it")));
        }
    }
    claims
}

on_both_databases! {
    fn the_claims_of_the_readme_are_accepted_with_the_net_fees_that_it_shows(database: &TestDatabase) {
        with_service(database, async |service| {
            let answer = service.post_csv(REAL_CLAIM).await;
            let net_fee = answer.body["net_fee"].as_str().expect("money is text");
            assert_eq!(answer.status, 201, "{}", answer.body);
            assert!(README.contains(&format!("\"net_fee\": \"{net_fee}\"")), "{net_fee}");
            assert_eq!(claims().len(), 1);
            for (body, net_fee) in claims() {
                let answer = service.post(&serde_json::from_str(body).expect("it is JSON")).await;
                assert_eq!((answer.status, answer.body["net_fee"].as_str()), (201, Some(net_fee)), "{}", answer.body);
            }
        });
    }
}

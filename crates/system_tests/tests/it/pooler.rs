//! Both services behind a PgBouncer in transaction mode, whose few server connections all instances share.

use std::time::Duration;
use system_tests::audit::{self, Accepted, Strictness};
use system_tests::fates::ALL;
use system_tests::process::Process;
use system_tests::stack::Stack;
use test_support::{PgBouncer, TestDatabase, behind_pgbouncer};

const SENDERS: usize = 6;
const CLAIMS_OF_A_SENDER: usize = 22;
const VOIDED_OF: usize = 5;

async fn send(stack: &Stack, sender: usize) -> Vec<Accepted> {
    let mut accepted = Vec::new();
    for number in sender * CLAIMS_OF_A_SENDER..(sender + 1) * CLAIMS_OF_A_SENDER {
        let fate = ALL[number % ALL.len()];
        let claim = fate.claim(i64::try_from(number).expect("small"));
        let answer = stack.api.submit(&claim, &format!("key-{number}")).await;
        let mut claim = Accepted::new(answer["id"].as_str().expect("an id").to_owned(), fate);
        claim.voided = number % VOIDED_OF == 0 && stack.api.void(&claim.id).await;
        accepted.push(claim);
    }
    accepted
}

behind_pgbouncer! {
    // The instances migrate both databases while they start at the same time.
    #[tokio::test(flavor = "multi_thread")]
    async fn claims_of_all_fates_end_correctly_behind_a_transaction_pooler() {
        let stack = Stack::start_behind_pgbouncer(2, 3).await;
        let batch = SENDERS * CLAIMS_OF_A_SENDER..SENDERS * CLAIMS_OF_A_SENDER + 200;
        let batch: Vec<_> = batch.map(|number| (number, ALL[number % ALL.len()])).collect();
        let claims: Vec<String> = batch
            .iter()
            .map(|(number, fate)| fate.claim(i64::try_from(*number).expect("small")).to_string())
            .collect();
        let (a, b, c, d, e, f, ids) = tokio::join!(
            send(&stack, 0), send(&stack, 1), send(&stack, 2), send(&stack, 3), send(&stack, 4), send(&stack, 5),
            stack.api.submit_batch(&claims),
        );
        assert_eq!(ids.len(), batch.len(), "every claim of the batch is accepted");
        let mut accepted = [a, b, c, d, e, f].concat();
        accepted.extend(ids.into_iter().zip(batch).map(|(id, (_, fate))| Accepted::new(id, fate)));
        audit::check(&stack.api, &accepted, Duration::from_secs(120), Strictness::EndedOnce).await;
        let output = stack.all_output();
        for phrase in ["dead-lettered", "panicked", "a query failed", "prepared statement"] {
            assert!(!output.contains(phrase), "{phrase}: see {}", stack.directory().display());
        }
    }

    #[test]
    fn every_program_refuses_a_transaction_pooler_that_its_settings_do_not_name() {
        let database = TestDatabase::postgres();
        let pgbouncer = PgBouncer::start("transaction", 2, &[]);
        let directory = tempfile::tempdir().expect("a directory");
        for (name, program) in [("claim_process", "CLAIM_PROCESS"), ("payments", "PAYMENTS"), ("simulated_gateway", "SIMULATED_GATEWAY")] {
            let mut environment = vec![
                (format!("{program}__DATABASE__URL"), pgbouncer.url(database.settings().url.expose())),
                (format!("{program}__HTTP__PORT"), "0".to_owned()),
            ];
            if name == "payments" {
                environment.push((format!("{program}__GATEWAY__URL"), "http://127.0.0.1:1".to_owned()));
            }
            let mut process = Process::new(directory.path(), name, name, vec![], environment);
            process.start();
            let status = process.wait(Duration::from_secs(20));
            assert_eq!(status.code(), Some(1), "{}", process.output());
            assert!(process.output().contains("DATABASE__POOLER=transaction"), "{}", process.output());
        }
    }
}

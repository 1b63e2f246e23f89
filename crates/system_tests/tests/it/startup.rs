//! A start that cannot succeed ends with one sentence that names the remedy.

use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;
use system_tests::process::Process;

/// Starts a program that must refuse to run, and returns its exit code and standard error.
fn refused(program: &'static str, environment: &[(&str, String)]) -> (i32, String) {
    let directory = tempfile::tempdir().expect("a directory");
    let prefix = program.to_uppercase();
    let mut all = vec![(format!("{prefix}__DATABASE__URL"), format!("sqlite://{}/db", directory.path().display()))];
    all.extend(environment.iter().map(|(name, value)| (format!("{prefix}__{name}"), value.clone())));
    let mut process = Process::new(directory.path(), program, program, vec![], all);
    process.start();
    let status = process.wait(Duration::from_secs(20));
    (status.code().expect("it ends by itself"), process.output())
}

#[test]
fn payments_does_not_start_without_a_gateway() {
    let (code, output) = refused("payments", &[("HTTP__PORT", "0".into())]);
    assert_eq!(code, 2);
    assert!(output.contains("gateway.url") && output.contains("PAYMENTS__GATEWAY__URL="), "{output}");
}

#[test]
fn all_settings_are_listed_even_if_a_required_one_is_missing() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut process = Process::new(directory.path(), "payments", "payments", vec!["settings".into()], vec![]);
    process.start();
    assert_eq!(process.wait(Duration::from_secs(20)).code(), Some(2));
    let output = process.output();
    for named in ["gateway.url = \"\"", "saga.lease_ms = 15000", "PAYMENTS__GATEWAY__URL="] {
        assert!(output.contains(named), "{named}: {output}");
    }
}

#[test]
fn a_port_in_use_is_named_with_the_setting_that_moves_it() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("bound").port().to_string();
    let gateway = ("GATEWAY__URL", "http://127.0.0.1:1".to_owned());
    for (program, environment) in [
        ("claim_process", vec![("HTTP__PORT", port.clone())]),
        ("payments", vec![("HTTP__PORT", port.clone()), gateway]),
        ("simulated_gateway", vec![("HTTP__PORT", port.clone())]),
    ] {
        let (code, output) = refused(program, &environment);
        assert_eq!(code, 1, "{output}");
        assert!(output.contains(&port) && output.contains("http.port"), "{program}: {output}");
    }
}

#[test]
fn a_database_that_cannot_be_written_is_named() {
    for program in ["claim_process", "payments", "simulated_gateway"] {
        let environment = [
            ("HTTP__PORT", "0".to_owned()),
            ("DATABASE__URL", "sqlite:///proc/nowhere/claims.db".to_owned()),
            ("GATEWAY__URL", "http://127.0.0.1:1".to_owned()),
        ];
        let wanted = if program == "payments" { &environment[..] } else { &environment[..2] };
        let (code, output) = refused(program, wanted);
        assert_eq!(code, 1, "{output}");
        assert!(output.contains("/proc/nowhere/claims.db") && output.contains("check the path"), "{program}: {output}");
        assert!(!Path::new("/proc/nowhere").exists());
    }
}

#[test]
fn every_invalid_setting_is_listed() {
    let wrong =
        [("HTTP__PORT", "many".to_owned()), ("HTTP__POTR", "1".to_owned()), ("WATCHDOG__MAX_CLAIMS", "0".to_owned())];
    let (code, output) = refused("claim_process", &wrong);
    assert_eq!(code, 2);
    for named in ["CLAIM_PROCESS__HTTP__PORT", "CLAIM_PROCESS__HTTP__POTR", "watchdog.max_claims"] {
        assert!(output.contains(named), "{named}: {output}");
    }
}

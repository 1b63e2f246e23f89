//! Runs the search with larger bounds than the tests use; it takes minutes and gigabytes, depending on the bounds:
//! `cargo run -p protocol_model --example larger -- VOIDS RETURNS WIPES PAYMENTS_RESTORES CLAIM_RESTORES EXTRA_RESYNCS COPIES STALE`.

use protocol_model::params::Params;
use protocol_model::search::explore;
use std::process::ExitCode;

#[allow(clippy::print_stdout, clippy::print_stderr, reason = "the program prints its report")]
fn main() -> ExitCode {
    let bounds: Vec<u8> = std::env::args().skip(1).filter_map(|bound| bound.parse().ok()).collect();
    let &[voids, returns, wipes, payments_restores, claim_restores, extra_resyncs, copies, stale] = bounds.as_slice()
    else {
        eprintln!(
            "expected eight small numbers, as in 1 1 1 2 1 0 2 0: voids, returns, wipes, restores of payments, restores"
        );
        eprintln!("of claim_process, unneeded reannouncements, copies kept, and 1 to keep stale messages");
        return ExitCode::from(2);
    };
    let report = explore(&Params {
        voids,
        returns,
        wipes,
        payments_restores,
        claim_restores,
        extra_resyncs,
        copies,
        keep_stale: stale > 0,
        ..Params::default()
    });
    println!("{bounds:?}: {report}");
    if report.counterexample.is_none() && report.is_complete { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

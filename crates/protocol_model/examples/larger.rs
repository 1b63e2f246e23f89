//! Larger bounds than every run of the tests needs; takes minutes and gigabytes, depending on them:
//! `cargo run -p protocol_model --example larger -- VOIDS RETURNS WIPES PAYMENTS_RESTORES CLAIM_RESTORES EXTRA_ASKS COPIES STALE`.

use protocol_model::params::Params;
use protocol_model::search::explore;
use std::process::ExitCode;

#[allow(clippy::print_stdout, clippy::print_stderr, reason = "the report is what this program is for")]
fn main() -> ExitCode {
    let bounds: Vec<u8> = std::env::args().skip(1).filter_map(|bound| bound.parse().ok()).collect();
    let &[voids, returns, wipes, payments_restores, claim_restores, extra_resyncs, copies, stale] = bounds.as_slice()
    else {
        eprintln!(
            "give eight small numbers, as in 1 1 1 2 1 0 2 0: voids, returns, wipes, restores of payments, restores"
        );
        eprintln!("of claim_process, asks without need, copies kept, and whether stale answers are kept");
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

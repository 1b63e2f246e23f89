//! Larger bounds than every run needs: `LARGER=voids,returns,wipes,payments,claim,asks,copies,stale cargo test -p protocol_model --test larger -- --ignored --nocapture`.

use protocol_model::params::Params;
use protocol_model::search::explore;

#[test]
#[ignore = "takes minutes and gigabytes, depending on LARGER"]
fn larger_bounds() {
    let asked = std::env::var("LARGER").unwrap_or_else(|_| "1,1,1,2,1,0,2,0".to_owned());
    let bounds: Vec<u8> = asked.split(',').map(|bound| bound.parse().expect("a small number")).collect();
    let [voids, returns, wipes, payments_restores, claim_restores, extra_asks, copies, stale] = bounds[..] else {
        panic!("LARGER takes eight numbers, not {asked}");
    };
    let report = explore(&Params {
        voids,
        returns,
        wipes,
        payments_restores,
        claim_restores,
        extra_asks,
        copies,
        keep_stale: stale > 0,
        ..Params::default()
    });
    eprintln!("{asked}: {report}");
    assert!(report.counterexample.is_none() && report.is_complete, "{asked}: {report}");
}

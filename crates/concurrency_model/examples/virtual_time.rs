//! Compares the controller with fixed limits, in virtual time, on a gateway whose capacity falls to a tenth and recovers. Prints a
//! table; `--svg FILE` draws a chart.

use clap::Parser;
use concurrency_model::chart::Chart;
use concurrency_model::report::{self, Sample};
use concurrency_model::scenarios::{self, FIXED_LIMITS};
use concurrency_model::simulation::{CallLimit, Scenario, run};
use std::error::Error;
use std::path::PathBuf;

const SEED: u64 = 1;

type Making = fn(CallLimit, u64) -> Scenario;

#[derive(Parser)]
struct Arguments {
    /// The SVG file to draw
    #[arg(long)]
    svg: Option<PathBuf>,
}

#[allow(clippy::print_stdout, reason = "the program prints its report")]
fn main() -> Result<(), Box<dyn Error>> {
    let tried: [(&str, Making); 3] = [
        ("one of ten workers is left in between", scenarios::fewer_workers),
        ("calls take ten times as long in between", scenarios::slower_calls),
        ("the gateway is down in between", scenarios::outage),
    ];
    let Arguments { svg } = Arguments::parse();
    for (index, (what, scenario)) in tried.into_iter().enumerate() {
        let runs = runs(scenario);
        let spans = scenario(scenarios::adaptive(), SEED).spans();
        println!("{what}:\n\n{}", report::table(&runs, &spans));
        if let Some(path) = svg.as_ref().filter(|_| index == 0) {
            Chart {
                title: "A gateway that takes 200, 20 and 200 calls a second (virtual time)",
                runs: &runs,
                spans: &spans,
            }
            .write(path)?;
            println!("drawn in {}\n", path.display());
        }
    }
    Ok(())
}

fn runs(scenario: Making) -> Vec<(String, Vec<Sample>)> {
    let fixed = FIXED_LIMITS.map(|limit| (format!("fixed at {limit}"), CallLimit::Fixed(limit)));
    let all = [("adaptive".to_owned(), scenarios::adaptive())].into_iter().chain(fixed);
    all.map(|(name, limit)| (name, run(&scenario(limit, SEED)).samples)).collect()
}

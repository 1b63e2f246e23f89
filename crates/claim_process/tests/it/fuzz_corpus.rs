//! What the fuzz targets have found worth keeping is read here, too, by every reader.

use claim_events::Cents;
use claim_process::domain::field::fold;
use claim_process::domain::limits::Limits;
use claim_process::domain::raw_claim::RawClaim;
use claim_process::domain::rules::default_severities;
use claim_process::domain::rules::rule_set::RuleSet;
use claim_process::domain::service_date::ServiceDate;
use claim_process::intake::batch_input::{BatchFormat, BatchLimits, Grouping, SourceLocation, read_batch};
use claim_process::intake::{ReadLimits, read_csv, read_json};
use jiff::Timestamp;
use std::convert::Infallible;
use std::fs;
use std::path::Path;

const FORMATS: [Option<BatchFormat>; 4] =
    [None, Some(BatchFormat::JsonArray), Some(BatchFormat::JsonLines), Some(BatchFormat::Csv)];

#[test]
fn every_input_of_the_corpus_is_read_or_refused() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    let mut inputs = 0;
    for target in fs::read_dir(corpus).unwrap() {
        for input in fs::read_dir(target.unwrap().path()).unwrap() {
            read_by_all(&fs::read(input.unwrap().path()).unwrap());
            inputs += 1;
        }
    }
    assert!(inputs > 0, "there is no corpus");
}

fn read_by_all(input: &[u8]) {
    let rules = RuleSet::new(default_severities(), Limits::default(), None);
    let judge = |raw_claim: &RawClaim| {
        let _ = rules.accept(raw_claim, Timestamp::now());
    };
    [read_json(input, ReadLimits::default()), read_csv(input, ReadLimits::default())].iter().flatten().for_each(judge);
    // In the inputs of the target `batch` the first byte sets how it reads the others.
    for batch in [input, input.get(1..).unwrap_or_default()] {
        for format in FORMATS {
            for grouping in [Grouping::Claim, Grouping::Row] {
                let limits = BatchLimits { max_claim_bytes: 1024, read: ReadLimits::default(), hashes: true };
                let mut before = 0;
                let _ = read_batch(batch, format, grouping, limits, &mut |claim| {
                    claim.raw_claim.iter().for_each(judge);
                    if let Some(SourceLocation::Rows(..)) = claim.location {
                        let line = claim.file_line.unwrap();
                        assert!(line > before, "a claim at line {line} behind one at {before}");
                        before = line;
                    }
                    Ok::<(), Infallible>(())
                });
            }
        }
    }
    if let Ok(text) = std::str::from_utf8(input) {
        if let Ok(amount) = Cents::parse(text) {
            assert_eq!(Cents::parse(&amount.to_string()), Ok(amount));
        }
        if let Ok(date) = ServiceDate::parse(text) {
            assert_eq!(ServiceDate::parse(&date.to_string()), Ok(date));
        }
        assert_eq!(fold(&fold(text)), fold(text));
    }
}

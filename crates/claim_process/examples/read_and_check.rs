//! Reads and checks one claim many times, to measure what that costs, without an HTTP server and a database:
//!
//! ```sh
//! cargo build --release -p claim_process --example read_and_check
//! valgrind --tool=callgrind target/release/examples/read_and_check json 10000
//! perf stat -e instructions:u,task-clock target/release/examples/read_and_check ndjson 1000000
//! ```
//!
//! `json` is a claim that is sent alone; `ndjson` and `csv` are a batch of as many claims.

use claim_process::domain::limits::Limits;
use claim_process::domain::rules::rule_set::RuleSet;
use claim_process::intake::batch_input::{BatchFormat, BatchLimits, Grouping, read_batch};
use claim_process::intake::{ReadLimits, read_json};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::hint::black_box;
use std::io::{Cursor, Read};

/// A claim of four lines, about 1 kB, as a billing program exports it.
const CLAIM: &str = concat!(
    r##"{"plan_group":"GRP-1000","subscriber_id":"3730189502","provider_npi":"1497775530","service_date":"2018-03-28","lines":["##,
    r##"{"submitted_procedure":"D0180","provider_fees":"100.00","allowed_fees":"100.00","member_coinsurance":"0.00","member_copay":"0.00"},"##,
    r##"{"submitted_procedure":"D0210","provider_fees":"108.00","allowed_fees":"108.00","member_coinsurance":"0.00","member_copay":"0.00"},"##,
    r##"{"submitted_procedure":"D4346","provider_fees":"130.00","allowed_fees":"65.00","member_coinsurance":"16.25","member_copay":"0.00"},"##,
    r##"{"submitted_procedure":"D4211","quadrant":"UR","provider_fees":"178.00","allowed_fees":"178.00","member_coinsurance":"35.60","member_copay":"0.00"}]}"##,
    "\n"
);

const CSV_HEAD: &str = "service date,submitted procedure,quadrant,Plan/Group #,Subscriber#,Provider NPI,provider fees,Allowed fees,member coinsurance,member copay\n";

/// The same claim in rows, of two subscribers in turn, so that each four rows are a claim.
const CSV_ROWS: &str = "\
3/28/18 0:00,D0180,,GRP-1000,3730189502,1497775530,$100.00,$100.00,$0.00,$0.00
3/28/18 0:00,D0210,,GRP-1000,3730189502,1497775530,$108.00,$108.00,$0.00,$0.00
3/28/18 0:00,D4346,,GRP-1000,3730189502,1497775530,$130.00,$65.00,$16.25,$0.00
3/28/18 0:00,D4211,UR,GRP-1000,3730189502,1497775530,$178.00,$178.00,$35.60,$0.00
3/28/18 0:00,D0180,,GRP-1000,3730189503,1497775530,$100.00,$100.00,$0.00,$0.00
3/28/18 0:00,D0210,,GRP-1000,3730189503,1497775530,$108.00,$108.00,$0.00,$0.00
3/28/18 0:00,D4346,,GRP-1000,3730189503,1497775530,$130.00,$65.00,$16.25,$0.00
3/28/18 0:00,D4211,UR,GRP-1000,3730189503,1497775530,$178.00,$178.00,$35.60,$0.00
";

/// The text over and over, without end.
struct Repeated(Cursor<&'static str>);

impl Read for Repeated {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.0.position() == self.0.get_ref().len() as u64 {
            self.0.set_position(0);
        }
        self.0.read(buffer)
    }
}

fn repeated(text: &'static str, times: usize) -> impl Read {
    Repeated(Cursor::new(text)).take((text.len() * times) as u64)
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let (Some(what), Some(times)) = (arguments.next(), arguments.next().and_then(|text| text.parse::<usize>().ok()))
    else {
        panic!("name what is read (json, ndjson or csv) and how often")
    };
    let rules = RuleSet::new(BTreeMap::new(), Limits::default(), None);
    let check = |raw| {
        let validation = rules.validate(&raw, Timestamp::now());
        let claim = validation.claim.expect("the claim breaks no rule");
        assert_eq!(claim.lines.len(), 4);
        black_box(rules.duplicate_check(&claim));
    };
    let batch = |format, input: Box<dyn Read>| {
        let limits = BatchLimits { max_claim_bytes: 1_048_576, read: ReadLimits::default(), hashes: false };
        let read = read_batch(input, Some(format), Grouping::Claim, limits, &mut |claim| {
            check(claim.raw_claim.expect("it is a claim"));
            Ok::<_, ()>(())
        });
        assert!(read.is_ok());
    };
    match what.as_str() {
        "json" => {
            (0..times).for_each(|_| check(read_json(CLAIM.as_bytes(), ReadLimits::default()).expect("it is JSON")))
        }
        "ndjson" => batch(BatchFormat::JsonLines, Box::new(repeated(CLAIM, times))),
        "csv" => batch(BatchFormat::Csv, Box::new(CSV_HEAD.as_bytes().chain(repeated(CSV_ROWS, times / 2)))),
        other => panic!("there is no {other}: write json, ndjson or csv"),
    }
}

//! The claims that are sent: of four lines, about 1 kB of JSON, with another subscriber for each and varying providers, procedures
//! and fees. All are approved by the simulated gateway.

/// The number of providers.
const PROVIDERS: u64 = 1_000;
/// The lines of a claim.
pub const LINES: u64 = 4;
const PROCEDURES: [&str; 8] = ["D0120", "D0140", "D0180", "D0210", "D0274", "D1110", "D1206", "D0330"];

/// The provider's id of a claim: with a valid check digit, as otherwise each claim would have a warning.
pub fn npi(number: u64) -> u64 {
    let nine = 149_770_000 + number % PROVIDERS;
    // The Luhn digit of these nine, with the prefix 80840 that stands for a constant 24.
    let mut sum = 24;
    let mut rest = nine;
    for position in 0..9 {
        let digit = rest % 10;
        rest /= 10;
        let value = if position % 2 == 0 { digit * 2 } else { digit };
        sum += value / 10 + value % 10;
    }
    nine * 10 + (10 - sum % 10) % 10
}

/// The subscriber of a claim.
pub fn subscriber(number: u64) -> u64 {
    1_000_000_000 + number
}

/// The fees of a line in whole dollars.
fn fees(number: u64, line: u64) -> u64 {
    101 + (number * 7 + line * 13) % 800
}

fn procedure(number: u64, line: u64) -> &'static str {
    let index = usize::try_from((number + line) % 8).expect("small");
    PROCEDURES[index]
}

/// Appends the claim with this number as one line of JSON.
pub fn write_json(number: u64, to: &mut Vec<u8>) {
    use std::io::Write as _;
    let _ = write!(
        to,
        r#"{{"plan_group": "GRP-{}", "subscriber_id": "{}", "provider_npi": "{}", "lines": ["#,
        1_000 + number % 50,
        subscriber(number),
        npi(number)
    );
    for line in 0..LINES {
        let _ = write!(
            to,
            r#"{}{{"service_date": "2026-03-{:02}", "submitted_procedure": "{}", "quadrant": "UR", "provider_fees": "{}.00", "allowed_fees": "100.00", "member_coinsurance": "10.00", "member_copay": "{}"}}"#,
            if line == 0 { "" } else { ", " },
            1 + number % 28,
            procedure(number, line),
            fees(number, line),
            // The cents of the sum are approved by the simulated gateway.
            if line == 0 { "5.85" } else { "5.00" }
        );
    }
    to.extend_from_slice(b"]}");
}

/// The first line of a CSV of claims.
pub const CSV_HEADER: &str = "service_date,submitted_procedure,quadrant,plan_group,subscriber_id,provider_npi,provider_fees,allowed_fees,member_coinsurance,member_copay\n";

/// Appends the claim with this number as lines of CSV.
pub fn write_csv(number: u64, to: &mut Vec<u8>) {
    use std::io::Write as _;
    for line in 0..LINES {
        let _ = writeln!(
            to,
            "2026-03-{:02},{},UR,GRP-{},{},{},{}.00,100.00,10.00,{}",
            1 + number % 28,
            procedure(number, line),
            1_000 + number % 50,
            subscriber(number),
            npi(number),
            fees(number, line),
            if line == 0 { "5.85" } else { "5.00" }
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn providers_have_check_digits() {
        assert_eq!(npi(0), 1_497_700_009);
        for number in 0..PROVIDERS {
            let digits = format!("80840{}", npi(number));
            let sum: u32 = digits
                .bytes()
                .rev()
                .enumerate()
                .map(|(position, digit)| {
                    let value = u32::from(digit - b'0') * if position % 2 == 1 { 2 } else { 1 };
                    value / 10 + value % 10
                })
                .sum();
            assert_eq!(sum % 10, 0, "{digits}");
        }
    }

    #[test]
    fn a_claim_has_four_lines_and_about_a_kilobyte() {
        let mut json = Vec::new();
        write_json(123_456, &mut json);
        assert!((700..1_200).contains(&json.len()), "{}", json.len());
        let claim: Value = serde_json::from_slice(&json).unwrap();
        let lines = claim["lines"].as_array().unwrap();
        assert_eq!(lines.len(), 4);
        let cents = |field: &str| -> i64 {
            let sum = lines.iter().map(|line| line[field].as_str().unwrap().replace('.', "").parse::<i64>().unwrap());
            sum.sum()
        };
        let net = cents("provider_fees") + cents("member_coinsurance") + cents("member_copay") - cents("allowed_fees");
        assert_eq!(net % 100, 85, "the gateway approves it");
    }

    #[test]
    fn the_csv_has_the_same_claims() {
        let mut csv = CSV_HEADER.as_bytes().to_vec();
        write_csv(5, &mut csv);
        let csv = String::from_utf8(csv).unwrap();
        let columns: Vec<usize> = csv.lines().map(|line| line.split(',').count()).collect();
        assert_eq!(columns, [10; 5]);
        let mut json = Vec::new();
        write_json(5, &mut json);
        let claim: Value = serde_json::from_slice(&json).unwrap();
        assert!(csv.contains(claim["provider_npi"].as_str().unwrap()));
        assert!(csv.contains(claim["subscriber_id"].as_str().unwrap()));
    }
}

//! Examples: small claims that break a rule, or pass it. Each can be posted as it is.

use std::fmt::Write as _;

/// A request body. Members are pairs of a name and a value in JSON.
#[derive(Debug, Clone, Copy)]
pub enum Example {
    /// One flat line: the good one, with these members changed or added.
    Line(&'static [Member]),
    /// A claim with these members of its own, and lines that are the good one with members changed or added.
    Claim(&'static [Member], &'static [&'static [Member]]),
    /// This JSON.
    Json(&'static str),
    /// This CSV.
    Csv(&'static str),
}

/// A member of a JSON object: its name, and its value as JSON.
pub type Member = (&'static str, &'static str);

/// The good line.
pub const GOOD: Example = Example::Line(&[]);

const GOOD_LINE: [Member; 9] = [
    ("service_date", "\"2018-03-28\""),
    ("submitted_procedure", "\"D0180\""),
    ("plan_group", "\"GRP-1000\""),
    ("subscriber_id", "\"3730189502\""),
    ("provider_npi", "\"1497775530\""),
    ("provider_fees", "\"100.00\""),
    ("allowed_fees", "\"100.00\""),
    ("member_coinsurance", "\"0.00\""),
    ("member_copay", "\"0.00\""),
];

impl Example {
    /// Its content type.
    pub fn content_type(&self) -> &'static str {
        match self {
            Example::Csv(_) => "text/csv",
            Example::Line(_) | Example::Claim(..) | Example::Json(_) => "application/json",
        }
    }

    /// The body.
    pub fn body(&self) -> String {
        match self {
            Example::Line(changes) => object(&line(changes), ""),
            Example::Claim(members, lines) => {
                let lines: Vec<String> =
                    lines.iter().map(|changes| format!("  {}", object(&line(changes), "  "))).collect();
                let lines = format!("[\n{}\n]", lines.join(",\n"));
                let mut members: Vec<(&str, &str)> = members.to_vec();
                members.push(("lines", &lines));
                object(&members, "")
            }
            Example::Json(text) | Example::Csv(text) => (*text).to_owned(),
        }
    }
}

fn line(changes: &[Member]) -> Vec<Member> {
    let mut members = GOOD_LINE.to_vec();
    for (name, value) in changes {
        match members.iter_mut().find(|(known, _)| known == name) {
            Some(member) => member.1 = value,
            None => members.push((name, value)),
        }
    }
    members
}

/// An object, three members to a text line.
fn object(members: &[(&str, &str)], indent: &str) -> String {
    let mut text = String::from("{");
    for (index, (name, value)) in members.iter().enumerate() {
        match index {
            0 => {}
            _ if index % 3 == 0 => {
                let _ = write!(text, ",\n{indent} ");
            }
            _ => text.push_str(", "),
        }
        let _ = write!(text, "\"{name}\": {value}");
    }
    text.push('}');
    text
}

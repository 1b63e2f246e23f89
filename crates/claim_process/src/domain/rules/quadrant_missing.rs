//! Procedures that are defined per quadrant need one: the ADA's instructions for its claim form ask for the area of the
//! oral cavity if the nomenclature of the code refers to a quadrant. The list covers gum surgery and deep scaling; another
//! code is one line here.

use super::example::Example;
use super::rule::{Check, Rule, Severity};
use crate::domain::field::Field;

/// Codes whose nomenclature ends in "per quadrant".
const PER_QUADRANT: [&str; 8] = [
    "D4210", "D4211", // gingivectomy or gingivoplasty
    "D4240", "D4241", // gingival flap procedure
    "D4260", "D4261", // osseous surgery
    "D4341", "D4342", // periodontal scaling and root planing
];

pub(super) const RULE: Rule = Rule {
    code: "quadrant_missing",
    description: "A procedure that is defined per quadrant names the quadrant: D4210, D4211, D4240, D4241, D4260, D4261, D4341 and D4342.",
    fields: &[Field::Quadrant.name()],
    source: "ADA Dental Claim Form, item 25 (Area of Oral Cavity); the nomenclature of these codes in ADA CDT",
    severity: Severity::Warn,
    settable: true,
    breaks: Example::Line(&[("submitted_procedure", "\"D4341\"")]),
    passes: Example::Line(&[("submitted_procedure", "\"D4341\""), ("quadrant", "\"UR\"")]),
    check: Check::Claim(|claim, _| {
        claim.each_line(Field::Quadrant, |line| {
            let code = line.submitted_procedure.as_ref()?.as_str();
            (PER_QUADRANT.contains(&code) && line.quadrant.is_none())
                .then_some("is needed for this procedure, which is defined per quadrant: write UR, UL, LR or LL")
        })
    }),
};

//! The fields of a claim and the names senders give them.
//!
//! A name is folded (convert_case, punctuation to one underscore) and then looked up here. A new spelling is one word in
//! [`Field::aliases`].

use convert_case::{Case, Casing};
use std::cell::RefCell;
use std::collections::HashMap;

/// A field of a claim or of one of its lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Field {
    /// The sender's own id for the claim.
    ExternalClaimId,
    /// The day of the service.
    ServiceDate,
    /// The procedure code.
    SubmittedProcedure,
    /// The quadrant.
    Quadrant,
    /// The plan or group.
    PlanGroup,
    /// The subscriber.
    SubscriberId,
    /// The provider's NPI.
    ProviderNpi,
    /// What the provider charges.
    ProviderFees,
    /// What the plan allows.
    AllowedFees,
    /// The member's share by percentage.
    MemberCoinsurance,
    /// The member's fixed share.
    MemberCopay,
}

/// The longest name that is looked up, in bytes. A finding repeats the name of its field, so a long name would be repeated
/// with each finding.
const LONGEST_NAME: usize = 64;

impl Field {
    /// Every field, in the order in which findings are listed.
    pub const ALL: [Field; 11] = [
        Field::ExternalClaimId,
        Field::ServiceDate,
        Field::SubmittedProcedure,
        Field::Quadrant,
        Field::PlanGroup,
        Field::SubscriberId,
        Field::ProviderNpi,
        Field::ProviderFees,
        Field::AllowedFees,
        Field::MemberCoinsurance,
        Field::MemberCopay,
    ];

    /// Whether any short text is valid: only the sender knows what it names.
    pub const fn takes_any_text(self) -> bool {
        matches!(self, Field::ExternalClaimId | Field::PlanGroup | Field::SubscriberId)
    }

    /// Whether every line needs it.
    pub const fn is_required(self) -> bool {
        !matches!(self, Field::ExternalClaimId | Field::Quadrant)
    }

    /// The canonical name.
    pub const fn name(self) -> &'static str {
        match self {
            Field::ExternalClaimId => "external_claim_id",
            Field::ServiceDate => "service_date",
            Field::SubmittedProcedure => "submitted_procedure",
            Field::Quadrant => "quadrant",
            Field::PlanGroup => "plan_group",
            Field::SubscriberId => "subscriber_id",
            Field::ProviderNpi => "provider_npi",
            Field::ProviderFees => "provider_fees",
            Field::AllowedFees => "allowed_fees",
            Field::MemberCoinsurance => "member_coinsurance",
            Field::MemberCopay => "member_copay",
        }
    }

    /// Other folded names that mean the field.
    fn aliases(self) -> &'static [&'static str] {
        match self {
            Field::ExternalClaimId => &["claim_reference", "external_id", "claim_number"],
            Field::ServiceDate => &["service_dt", "date_of_service"],
            Field::SubmittedProcedure => &["submitted_proc", "procedure_code", "proc_code", "procedure"],
            Field::Quadrant => &["quad"],
            Field::PlanGroup => {
                &["plan_group_number", "group_plan", "group_id", "group_number", "plan_number", "plan_group_no"]
            }
            Field::SubscriberId => &["subscriber", "subscriber_number", "subscriber_no", "member_id"],
            Field::ProviderNpi => &["npi"],
            Field::ProviderFees => &["billed_amount", "provider_fee"],
            Field::AllowedFees => &["allowed_amount", "allowed_fee"],
            Field::MemberCoinsurance => {
                &["member_co_insurance", "member_co_ins", "member_coins", "coinsurance", "co_insurance"]
            }
            Field::MemberCopay => &["member_co_pay", "member_copayment", "member_co_payment", "copay", "co_pay"],
        }
    }

    /// The field that a sender's name means, if any.
    pub fn from_sent(name: &str) -> Option<Self> {
        match Meaning::of(name) {
            Meaning::Field(field) => Some(field),
            Meaning::Lines | Meaning::Unknown => None,
        }
    }
}

/// What a sender's name means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// A field.
    Field(Field),
    /// The lines of a claim.
    Lines,
    /// Nothing that is read.
    Unknown,
}

/// How many spellings are remembered. Senders use a few dozen; a sender that makes up names gets them folded each time.
const MOST_SPELLINGS: usize = 1_024;

thread_local! {
    /// What each spelling means that was seen, because folding a name costs more than reading its value. None is longer than
    /// [`LONGEST_NAME`].
    static SPELLINGS: RefCell<HashMap<Box<str>, Meaning>> = RefCell::default();
}

impl Meaning {
    /// What a sender's name means.
    pub fn of(name: &str) -> Self {
        if let Some(field) = Field::ALL.into_iter().find(|field| field.name() == name) {
            return Self::Field(field);
        }
        if name.len() > LONGEST_NAME {
            return Self::Unknown;
        }
        SPELLINGS.with_borrow_mut(|spellings| {
            if let Some(meaning) = spellings.get(name) {
                return *meaning;
            }
            if spellings.len() == MOST_SPELLINGS {
                spellings.clear();
            }
            let meaning = Self::of_folded(&fold(name));
            spellings.insert(name.into(), meaning);
            meaning
        })
    }

    fn of_folded(folded: &str) -> Self {
        if folded == "lines" {
            return Self::Lines;
        }
        let field = Field::ALL.into_iter().find(|field| field.name() == folded || field.aliases().contains(&folded));
        field.map_or(Self::Unknown, Self::Field)
    }
}

/// Folds a name into snake_case: `Plan/Group #`, `planGroup` and ` PLAN GROUP ` all become `plan_group`.
pub fn fold(name: &str) -> String {
    let words: Vec<String> = name
        .split(|character: char| !character.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(|word| word.to_case(Case::Snake))
        .collect();
    words.join("_")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Every spelling seen in the wild, field by field.
    const SEEN: [(Field, &[&str]); 10] = [
        (
            Field::ServiceDate,
            &[
                "service date",
                "Service Date",
                " Service Date ",
                "SERVICE DATE",
                "service_date",
                "serviceDate",
                "service_dt",
            ],
        ),
        (
            Field::SubmittedProcedure,
            &[
                "submitted procedure",
                "Submitted Procedure",
                "SUBMITTED PROCEDURE",
                "submitted_proc",
                "procedure_code",
                "proc_code",
            ],
        ),
        (Field::Quadrant, &["quadrant", "QUADRANT", "quad", "quadrant\n", "Quadrant\r\n"]),
        (
            Field::PlanGroup,
            &[
                "Plan/Group #",
                "plan/Group #",
                "PLAN/GROUP #",
                "Plan Group",
                "Plan_group",
                "plan_group_number",
                "group_plan",
                "group_id",
                "group_number",
                "plan_number",
            ],
        ),
        (
            Field::SubscriberId,
            &[
                "Subscriber#",
                "subscriber#",
                "Subscriber #",
                "Subscriber",
                "subscriber_number",
                "subscriber_id",
                "subscriber_no",
                "member_id",
            ],
        ),
        (
            Field::ProviderNpi,
            &["Provider NPI", "provider Npi", "PROVIDER NPI", "Provider_NPI", "provider_npi", "npi", "providerNPI"],
        ),
        (Field::ProviderFees, &["provider fees", "provider Fees", "billed_amount"]),
        (Field::AllowedFees, &["Allowed fees", "allowed Fees", "Allowed_fees", "allowed_amount"]),
        (
            Field::MemberCoinsurance,
            &["member coinsurance", "member CoInsurance", "member_co_ins", "member_coins", "coinsurance"],
        ),
        (Field::MemberCopay, &["member copay", "member coPay", "member_co_pay", "member_copayment", "copay"]),
    ];

    #[test]
    fn every_spelling_seen_is_understood() {
        for (field, spellings) in SEEN {
            for spelling in spellings {
                assert_eq!(Field::from_sent(spelling), Some(field), "{spelling:?} folds to {:?}", fold(spelling));
            }
        }
        assert_eq!(Field::from_sent("claim_reference"), Some(Field::ExternalClaimId));
        assert_eq!(Field::from_sent("tooth"), None);
        assert_eq!(Field::from_sent(""), None);
        assert_eq!([" Lines:", "line"].map(Meaning::of), [Meaning::Lines, Meaning::Unknown]);
    }

    #[test]
    fn a_long_name_is_no_field() {
        let longest = format!("{:<1$}", "npi", LONGEST_NAME);
        assert_eq!(Field::from_sent(&longest), Some(Field::ProviderNpi));
        assert_eq!(Field::from_sent(&format!("{longest} ")), None);
        let long = " ".repeat(LONGEST_NAME);
        assert_eq!(Field::from_sent(&format!("npi{long}")), None);
        assert_eq!(Meaning::of(&format!("lines{long}")), Meaning::Unknown);
    }

    #[test]
    fn made_up_names_do_not_fill_the_memory_and_others_are_still_understood() {
        for number in 0..3 * MOST_SPELLINGS {
            assert_eq!(Meaning::of(&format!("column {number}")), Meaning::Unknown);
            assert_eq!(Meaning::of("Plan/Group #"), Meaning::Field(Field::PlanGroup));
        }
        assert!(SPELLINGS.with_borrow(HashMap::len) <= MOST_SPELLINGS);
    }

    #[test]
    fn no_name_means_two_fields() {
        let names: Vec<&str> =
            Field::ALL.into_iter().flat_map(|field| field.aliases().iter().copied().chain([field.name()])).collect();
        let mut unique = names.clone();
        unique.sort_unstable();
        unique.dedup();
        assert_eq!(unique.len(), names.len());
    }

    proptest! {
        #[test]
        fn folding_twice_is_folding_once(name in "\\PC{0,40}") {
            prop_assert_eq!(fold(&fold(&name)), fold(&name));
        }
    }
}

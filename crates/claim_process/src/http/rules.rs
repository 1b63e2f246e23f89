//! `GET /v1/rules`: everything that can be found wrong with a claim, with an example of each and what it gives here.

use super::api::Api;
use crate::domain::finding::Finding;
use crate::domain::identifiers::ClaimId;
use crate::domain::rules;
use crate::domain::rules::example::Example;
use crate::domain::rules::likely_duplicate::finding as likely_duplicate;
use crate::domain::rules::rule::{Check, Rule, Severity};
use crate::domain::rules::rule_set::RuleSet;
use crate::intake::batch::Refusal;
use crate::intake::{Malformed, ReadLimits, read_csv, read_json};
use actix_web::{HttpResponse, web};
use serde::Serialize;
use utoipa::ToSchema;

#[derive(Serialize, ToSchema)]
struct RulesAnswer {
    rules: Vec<RuleAnswer>,
    /// What refuses a place of a batch, beside the rules of a claim.
    batch_rules: Vec<BatchRuleAnswer>,
}

#[derive(Serialize, ToSchema)]
struct BatchRuleAnswer {
    code: String,
    description: &'static str,
    /// What the service says, for example.
    finding: Finding,
}

#[derive(Serialize, ToSchema)]
struct RuleAnswer {
    code: &'static str,
    description: &'static str,
    /// The fields that its findings name; `any` where it may be each of them.
    fields: &'static [&'static str],
    source: &'static str,
    #[schema(value_type = String, examples("reject"))]
    default_severity: Severity,
    /// What it does in this deployment.
    #[schema(value_type = String, examples("reject", "warn", "off"))]
    severity: Severity,
    /// Whether the setting `rules.<code>` says so.
    settable: bool,
    breaks: ExampleAnswer,
    /// What the service says of the example that breaks it; none where this deployment's limits let it pass.
    finding: Option<Finding>,
    passes: ExampleAnswer,
}

/// A body that can be posted as it is.
#[derive(Serialize, ToSchema)]
struct ExampleAnswer {
    content_type: &'static str,
    body: String,
}

impl From<&Example> for ExampleAnswer {
    fn from(example: &Example) -> Self {
        Self { content_type: example.content_type(), body: example.body() }
    }
}

/// Everything that can be found wrong with a claim.
///
/// Each rule with what it demands, where that comes from, an example that breaks it with what is found then, and one that
/// passes.
#[utoipa::path(get, path = "/v1/rules", tag = "claims", operation_id = "list_rules",
    responses((status = 200, description = "The rules as this deployment has them.", body = RulesAnswer)))]
pub(super) async fn list(api: web::Data<Api>) -> HttpResponse {
    let limits = api.settings.read_limits();
    let rules = rules::all().map(|rule| answer(rule, &api.rules, limits)).collect();
    let batch_rules = batch_rules(limits, api.settings.batch.max_claim_bytes);
    HttpResponse::Ok().json(RulesAnswer { rules, batch_rules })
}

fn batch_rules(limits: ReadLimits, max_claim_bytes: usize) -> Vec<BatchRuleAnswer> {
    let malformed = read_json(b"{", limits).err().map(|Malformed(why)| why).unwrap_or_default();
    let each = Refusal::one_of_each(malformed, max_claim_bytes).into_iter().map(|refusal| {
        let finding = refusal.finding();
        BatchRuleAnswer { code: finding.code().to_owned(), description: refusal.demand(), finding }
    });
    each.collect()
}

fn answer(rule: &Rule, book: &RuleSet, limits: ReadLimits) -> RuleAnswer {
    RuleAnswer {
        code: rule.code,
        description: rule.description,
        fields: rule.fields,
        source: rule.source,
        default_severity: rule.severity,
        severity: book.severity(rule),
        settable: rule.settable,
        breaks: (&rule.breaks).into(),
        finding: finding(rule, book, limits),
        passes: (&rule.passes).into(),
    }
}

/// What the example gives, by reading it like a claim that is sent.
fn finding(rule: &Rule, book: &RuleSet, limits: ReadLimits) -> Option<Finding> {
    if let Check::Stored(_) = rule.check {
        return Some(likely_duplicate(ClaimId::EXAMPLE));
    }
    let body = rule.breaks.body();
    let form = match rule.breaks {
        Example::Csv(_) => read_csv(body.as_bytes(), limits),
        Example::Line(_) | Example::Claim(..) | Example::Json(_) => read_json(body.as_bytes(), limits),
    };
    book.example_finding(rule, &form.ok()?)
}

//! `GET /v1/rules`: everything that can be found wrong with a claim, with an example of each and what it gives here.

use crate::domain::finding::Finding;
use crate::domain::rules;
use crate::domain::rules::example::Example;
use crate::domain::rules::likely_duplicate::finding as likely_duplicate;
use crate::domain::rules::rule::{Check, Rule, Severity};
use crate::domain::rules::rule_set::RuleSet;
use crate::intake::batch_input::Refusal;
use crate::intake::{Malformed, ReadLimits, read_csv, read_json};
use crate::settings::Settings;
use actix_web::{HttpResponse, web};
use claim_events::ClaimId;
use serde::Serialize;
use utoipa::ToSchema;

#[derive(Serialize, ToSchema)]
struct RulesResponse {
    rules: Vec<RuleResponse>,
    /// What refuses a place of a batch, beside the rules of a claim.
    batch_rules: Vec<BatchRuleResponse>,
}

#[derive(Serialize, ToSchema)]
struct BatchRuleResponse {
    code: String,
    description: &'static str,
    /// What the service says, for example.
    finding: Finding,
}

#[derive(Serialize, ToSchema)]
struct RuleResponse {
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
    breaks: ExampleResponse,
    /// What the service says of the example that breaks it; none where this deployment's limits let it pass.
    finding: Option<Finding>,
    passes: ExampleResponse,
}

/// A body that can be posted as it is.
#[derive(Serialize, ToSchema)]
struct ExampleResponse {
    content_type: &'static str,
    body: String,
}

impl From<&Example> for ExampleResponse {
    fn from(example: &Example) -> Self {
        Self { content_type: example.content_type(), body: example.body() }
    }
}

/// Everything that can be found wrong with a claim.
///
/// Each rule with what it demands, where that comes from, an example that breaks it with what is found then, and one that
/// passes.
#[utoipa::path(get, path = "/v1/rules", tag = "claims", operation_id = "list_rules",
    responses((status = 200, description = "The rules as this deployment has them.", body = RulesResponse)))]
pub(super) async fn list(settings: web::Data<Settings>, rule_set: web::Data<RuleSet>) -> HttpResponse {
    let limits = settings.read_limits();
    let rules = rules::all().map(|rule| response(rule, &rule_set, limits)).collect();
    let batch_rules = batch_rules(limits, settings.batch.max_claim_bytes);
    HttpResponse::Ok().json(RulesResponse { rules, batch_rules })
}

fn batch_rules(limits: ReadLimits, max_claim_bytes: usize) -> Vec<BatchRuleResponse> {
    let malformed = read_json(b"{", limits).err().map(|Malformed(why)| why).unwrap_or_default();
    let each = Refusal::one_of_each(malformed, max_claim_bytes).into_iter().map(|refusal| {
        let finding = refusal.finding();
        BatchRuleResponse { code: finding.code().to_owned(), description: refusal.requirement(), finding }
    });
    each.collect()
}

fn response(rule: &Rule, rule_set: &RuleSet, limits: ReadLimits) -> RuleResponse {
    RuleResponse {
        code: rule.code,
        description: rule.description,
        fields: rule.fields,
        source: rule.source,
        default_severity: rule.severity,
        severity: rule_set.severity(rule),
        settable: rule.settable,
        breaks: (&rule.breaks).into(),
        finding: finding(rule, rule_set, limits),
        passes: (&rule.passes).into(),
    }
}

/// What the example gives, by reading it like a claim that is sent.
fn finding(rule: &Rule, rule_set: &RuleSet, limits: ReadLimits) -> Option<Finding> {
    if let Check::Stored(_) = rule.check {
        return Some(likely_duplicate(ClaimId::EXAMPLE));
    }
    let body = rule.breaks.body();
    let form = match rule.breaks {
        Example::Csv(_) => read_csv(body.as_bytes(), limits),
        Example::Line(_) | Example::Claim(..) | Example::Json(_) => read_json(body.as_bytes(), limits),
    };
    rule_set.example_finding(rule, &form.ok()?)
}

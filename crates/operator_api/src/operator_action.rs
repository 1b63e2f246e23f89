//! What an operator says with an act: why it is done and by whom. The address it came from is added here.
//!
//! A reason may say anything, of a patient too: it is kept with what was acted on, shown there, and never logged.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, web};
use serde::Deserialize;
use serde_json::{Value, json};
use service_runtime::client_address::{Clients, ProxySettings};
use service_runtime::http_server::{HttpSettings, read_body};
use service_runtime::problem::Problem;
use utoipa::ToSchema;

/// The longest reason, in characters.
const LONGEST_REASON: usize = 500;
/// The longest name of an operator, in characters.
const LONGEST_OPERATOR: usize = 100;

/// What reading an operator's act needs.
#[derive(Debug, Clone)]
pub struct Operators {
    http: HttpSettings,
    clients: Clients,
}

/// Whether an act is done without a reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// It is refused with 422.
    Required,
    /// It is done.
    Optional,
}

/// The body of an act that may be done without a reason; all of it may be missing.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct OperatorBody {
    /// Why it is done. It is kept and shown with what was acted on.
    #[schema(max_length = 500, examples("the provider is known now"))]
    reason: Option<String>,
    /// Who does it.
    #[schema(max_length = 100, examples("A. Smith"))]
    operator: Option<String>,
    /// What is answered with the act; only where it takes an answer.
    #[schema(ignore)]
    answer: Option<String>,
}

/// The body of an act that needs a reason.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "it stands for `OperatorBody` in the document of the routes that need a reason")]
pub struct ReasonedBody {
    /// Why it is done. It is kept and shown with what was acted on.
    #[schema(min_length = 1, max_length = 500, examples("sent by mistake"))]
    reason: String,
    /// Who does it.
    #[schema(max_length = 100, examples("A. Smith"))]
    operator: Option<String>,
}

/// An act of an operator: its reason, who does it and where from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperatorAction {
    /// Why; there and not blank where it is [`Reason::Required`].
    pub reason: Option<String>,
    /// Who, in their own words.
    pub operator: Option<String>,
    /// The address of the client.
    pub client: String,
}

impl Operators {
    /// Reads bodies within these limits, from clients behind these proxies.
    pub fn new(http: &HttpSettings, proxies: &ProxySettings) -> Self {
        Self { http: http.clone(), clients: Clients::behind(proxies) }
    }

    /// Reads the act that a request asks for.
    ///
    /// # Errors
    /// 400 where the body is not as it must be, 422 where a field is too long or the reason is missing; and those of
    /// [`read_body`].
    pub async fn read(
        &self,
        request: &HttpRequest,
        payload: web::Payload,
        reason: Reason,
    ) -> Result<OperatorAction, Problem> {
        self.read_with_answer::<()>(request, payload, reason, &[]).await.map(|(act, _)| act)
    }

    /// The same for an act that takes an answer, which is one of these, by its name.
    ///
    /// # Errors
    /// As [`read`](Self::read), and 422 where the answer is none of them.
    pub async fn read_with_answer<A: Copy>(
        &self,
        request: &HttpRequest,
        payload: web::Payload,
        reason: Reason,
        answers: &[(&str, A)],
    ) -> Result<(OperatorAction, Option<A>), Problem> {
        let client = self.clients.address_of(request)?.to_string();
        let (OperatorBody { reason, operator, .. }, answer) =
            read(&read_body(payload, &self.http).await?, reason, answers)?;
        Ok((OperatorAction { reason, operator, client }, answer))
    }
}

fn read<A: Copy>(body: &[u8], needed: Reason, answers: &[(&str, A)]) -> Result<(OperatorBody, Option<A>), Problem> {
    let sent = if body.trim_ascii().is_empty() {
        OperatorBody::default()
    } else {
        let sent: Option<OperatorBody> = serde_json::from_slice(body).map_err(|_| malformed(answers))?;
        sent.unwrap_or_default()
    };
    if sent.answer.is_some() && answers.is_empty() {
        return Err(malformed(answers));
    }
    let meant = |name: &str| answers.iter().find(|(known, _)| *known == name).map(|(_, answer)| *answer);
    let answer = sent.answer.as_deref().map(meant);
    let not_blank = |text: Option<String>| text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
    let said = OperatorBody { reason: not_blank(sent.reason), operator: not_blank(sent.operator), ..sent };
    let mut findings = Vec::new();
    if said.reason.is_none() && needed == Reason::Required {
        findings.push(finding("reason", "required", "must say why it is done"));
    }
    findings.extend(too_long("reason", said.reason.as_deref(), LONGEST_REASON));
    findings.extend(too_long("operator", said.operator.as_deref(), LONGEST_OPERATOR));
    if answer.is_some_and(|meant| meant.is_none()) {
        findings.push(finding("answer", "unknown", &format!("must be one of {}", names(answers))));
    }
    if findings.is_empty() {
        return Ok((said, answer.flatten()));
    }
    Err(Problem::new(
        StatusCode::UNPROCESSABLE_ENTITY,
        "act-refused",
        "This cannot be done like this",
        "each of the errors names a field that has to be put right; nothing was changed",
    )
    .with("errors", findings))
}

fn malformed<A>(answers: &[(&str, A)]) -> Problem {
    let answer = match names(answers) {
        none if none.is_empty() => String::new(),
        names => format!(", \"answer\": \"one of {names}\""),
    };
    Problem::malformed(format!(
        "the body must be JSON with no other fields than {{\"reason\": \"why it is done\", \"operator\": \"who does it\"{answer}}}"
    ))
}

fn names<A>(answers: &[(&str, A)]) -> String {
    answers.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
}

fn too_long(field: &str, text: Option<&str>, most: usize) -> Option<Value> {
    let text = text?;
    if text.chars().count() > most {
        return Some(finding(field, "length", &format!("must have at most {most} characters")));
    }
    text.contains('\0').then(|| finding(field, "length", "must have no NUL character"))
}

fn finding(field: &str, code: &str, message: &str) -> Value {
    json!({"field": field, "pointer": format!("/{field}"), "code": code, "message": message})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_act_is_read_and_what_is_wrong_is_named_without_what_was_sent() {
        let long =
            |field: &str, length: usize| format!("{{\"{field}\": \"{}\", \"reason\": \"r\"}}", "x".repeat(length));
        for (body, needed, wanted) in [
            ("", Reason::Optional, Ok((None, None))),
            ("null", Reason::Optional, Ok((None, None))),
            ("null", Reason::Required, Err((422, "/reason"))),
            ("", Reason::Required, Err((422, "/reason"))),
            ("{}", Reason::Required, Err((422, "/reason"))),
            (r#"{"reason": " \t"}"#, Reason::Required, Err((422, "/reason"))),
            (r#"{"reason": " why ", "operator": " "}"#, Reason::Required, Ok((Some("why"), None))),
            (r#"{"operator": "who"}"#, Reason::Optional, Ok((None, Some("who")))),
            (r#"{"reason": "a\u0000b"}"#, Reason::Optional, Err((422, "/reason"))),
            (&long("operator", 100), Reason::Required, Ok((Some("r"), Some("x".repeat(100).as_str())))),
            (&long("operator", 101), Reason::Required, Err((422, "/operator"))),
            (&format!(r#"{{"reason": "{}"}}"#, "\u{fc}".repeat(501)), Reason::Optional, Err((422, "/reason"))),
            (r#"{"answer": "CANARY"}"#, Reason::Optional, Err((422, "/answer"))),
            (r#"{"answer": "owed"}"#, Reason::Optional, Ok((None, None))),
            (r#"{"reason": 5}"#, Reason::Optional, Err((400, ""))),
            (r#"{"why": "CANARY"}"#, Reason::Optional, Err((400, ""))),
            ("CANARY", Reason::Optional, Err((400, ""))),
        ] {
            let read = read(body.as_bytes(), needed, &[("owed", 7)]);
            let said = read.as_ref().map(|(body, _)| (body.reason.as_deref(), body.operator.as_deref()));
            let told = said.map_err(|problem| problem.to_json(None));
            match wanted {
                Ok(wanted) => assert_eq!(told, Ok(wanted), "{body}"),
                Err((status, pointer)) => {
                    let problem = told.expect_err(body);
                    assert_eq!(problem["status"], status, "{body}");
                    assert_eq!(problem["errors"][0]["pointer"].as_str().unwrap_or_default(), pointer, "{body}");
                    assert!(!problem.to_string().contains("CANARY"));
                }
            }
        }
    }

    #[test]
    fn an_answer_is_one_of_those_that_the_act_takes() {
        let body = br#"{"answer": "owed", "reason": "r"}"#;
        let answers = [("paid", 1), ("owed", 2)];
        assert_eq!(read(body, Reason::Required, &answers).unwrap().1, Some(2));
        assert_eq!(read(b"", Reason::Optional, &answers).unwrap().1, None);
        let refused = read(body, Reason::Required, &answers[..1]).unwrap_err().to_json(None);
        assert_eq!(refused["errors"][0]["message"], "must be one of paid");
        assert_eq!(read::<()>(body, Reason::Required, &[]).unwrap_err().to_json(None)["status"], 400);
        let named_otherwise = br#"{"reason": "r", "outcome": "paid"}"#;
        let refused = read(named_otherwise, Reason::Required, &answers).unwrap_err().to_json(None);
        assert!(refused["detail"].as_str().unwrap().contains("\"answer\": \"one of paid, owed\""), "{refused}");
    }
}

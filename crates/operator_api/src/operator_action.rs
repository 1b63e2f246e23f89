//! What an operator sends with an action: why it is done and by whom. The address of the client is added here.
//!
//! A reason may hold anything, patient data too: it is kept with what was acted on, shown there, and never logged.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, web};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use service_runtime::client_address::{Clients, ProxySettings};
use service_runtime::http_server::{HttpSettings, read_body};
use service_runtime::problem::Problem;
use utoipa::ToSchema;

/// The longest reason, in characters.
const LONGEST_REASON: usize = 500;
/// The longest name of an operator, in characters.
const LONGEST_OPERATOR: usize = 100;

/// Reads the actions of operators.
#[derive(Debug, Clone)]
pub struct Operators {
    http: HttpSettings,
    clients: Clients,
}

/// The body of an action: a reason, an operator, and perhaps fields of its own. Each is optional to the reader, so that a
/// missing one is refused by its name; a body that is empty or `null` is one without any field.
pub trait ActionBody: Default + DeserializeOwned {
    /// The fields, as a refusal of an unreadable body shows them.
    const FORM: &str;

    /// The reason and the operator, as sent.
    fn reason_and_operator(&self) -> (Option<&str>, Option<&str>);

    /// What is wrong with the fields of its own, where the payment or message need not be looked at to know it.
    fn own_findings(&self) -> Vec<Finding> {
        Vec::new()
    }
}

/// The body of an action that has no fields of its own.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReasonedBody {
    /// Why it is done. It is kept and shown with what was acted on.
    #[schema(required, value_type = String, min_length = 1, max_length = 500, examples("sent by mistake"))]
    reason: Option<String>,
    /// Who does it.
    #[schema(max_length = 100, examples("A. Smith"))]
    operator: Option<String>,
}

/// What is wrong with a field of an action's body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The field.
    pub field: &'static str,
    /// The kind of fault.
    pub code: &'static str,
    /// What the field must be.
    pub message: String,
}

/// An action of an operator: its reason, who does it and where from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperatorAction {
    /// Why; not blank.
    pub reason: String,
    /// Who, as they call themselves.
    pub operator: Option<String>,
    /// The address of the client.
    pub client: String,
}

impl ActionBody for ReasonedBody {
    const FORM: &str = r#"{"reason": "why it is done", "operator": "who does it"}"#;

    fn reason_and_operator(&self) -> (Option<&str>, Option<&str>) {
        (self.reason.as_deref(), self.operator.as_deref())
    }
}

impl Operators {
    /// Reads bodies within these limits, from clients behind these proxies.
    pub fn new(http: &HttpSettings, proxies: &ProxySettings) -> Self {
        Self { http: http.clone(), clients: Clients::behind(proxies) }
    }

    /// Reads the action that a request wants done, and its body.
    ///
    /// # Errors
    /// 400 where the body is not as it must be, 422 where the reason is missing or a field is wrong; and those of
    /// [`read_body`].
    pub async fn read<B: ActionBody>(
        &self,
        request: &HttpRequest,
        payload: web::Payload,
    ) -> Result<(OperatorAction, B), Problem> {
        let client = self.clients.address_of(request)?.to_string();
        read(&read_body(payload, &self.http).await?, client)
    }
}

fn read<B: ActionBody>(body: &[u8], client: String) -> Result<(OperatorAction, B), Problem> {
    let body: B = if body.trim_ascii().is_empty() {
        B::default()
    } else {
        let sent: Option<B> = serde_json::from_slice(body).map_err(|_| malformed(B::FORM))?;
        sent.unwrap_or_default()
    };
    let (reason, operator) = body.reason_and_operator();
    let [reason, operator] = [reason, operator].map(|text| text.map(str::trim).filter(|text| !text.is_empty()));
    let mut findings = Vec::new();
    if reason.is_none() {
        findings.push(Finding { field: "reason", code: "required", message: "must say why it is done".to_owned() });
    }
    findings.extend(too_long("reason", reason, LONGEST_REASON));
    findings.extend(too_long("operator", operator, LONGEST_OPERATOR));
    findings.extend(body.own_findings());
    match reason {
        Some(reason) if findings.is_empty() => {
            let operator = operator.map(str::to_owned);
            Ok((OperatorAction { reason: reason.to_owned(), operator, client }, body))
        }
        _ => Err(refused(&findings)),
    }
}

/// The refusal of an action for fields of its body: 422.
pub fn refused(findings: &[Finding]) -> Problem {
    Problem::new(
        StatusCode::UNPROCESSABLE_ENTITY,
        "operator-action-refused",
        "The operator action is refused",
        "each of the errors names a field that has to be put right; nothing was changed",
    )
    .with("errors", findings.iter().map(Finding::to_json).collect::<Vec<_>>())
}

impl Finding {
    fn to_json(&self) -> Value {
        let Self { field, code, message } = self;
        json!({"field": field, "pointer": format!("/{field}"), "code": code, "message": message})
    }
}

fn malformed(form: &str) -> Problem {
    Problem::malformed(format!("the body must be JSON with no other fields than {form}"))
}

fn too_long(field: &'static str, text: Option<&str>, most: usize) -> Option<Finding> {
    let text = text?;
    let message = if text.chars().count() > most {
        format!("must have at most {most} characters")
    } else if text.contains('\0') {
        "must have no NUL character".to_owned()
    } else {
        return None;
    };
    Some(Finding { field, code: "length", message })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_reasoned(body: &str) -> Result<OperatorAction, Value> {
        read::<ReasonedBody>(body.as_bytes(), "192.0.2.7".to_owned())
            .map(|(action, _)| action)
            .map_err(|problem| problem.to_json(None))
    }

    #[test]
    fn an_action_is_read_and_what_is_wrong_is_named_without_what_was_sent() {
        let long =
            |field: &str, length: usize| format!("{{\"{field}\": \"{}\", \"reason\": \"r\"}}", "x".repeat(length));
        let longest = "x".repeat(100);
        for (body, wanted) in [
            ("", Err((422, "/reason"))),
            ("null", Err((422, "/reason"))),
            ("{}", Err((422, "/reason"))),
            (r#"{"operator": "who"}"#, Err((422, "/reason"))),
            (r#"{"reason": " \t"}"#, Err((422, "/reason"))),
            (r#"{"reason": " why ", "operator": " "}"#, Ok(("why", None))),
            (r#"{"reason": "why", "operator": "who "}"#, Ok(("why", Some("who")))),
            (r#"{"reason": "a\u0000b"}"#, Err((422, "/reason"))),
            (&long("operator", 100), Ok(("r", Some(longest.as_str())))),
            (&long("operator", 101), Err((422, "/operator"))),
            (&format!(r#"{{"reason": "{}"}}"#, "\u{fc}".repeat(501)), Err((422, "/reason"))),
            (r#"{"reason": 5}"#, Err((400, ""))),
            (r#"{"why": "CANARY"}"#, Err((400, ""))),
            (r#"{"reason": "why", "answer": "paid"}"#, Err((400, ""))),
            ("CANARY", Err((400, ""))),
        ] {
            match (read_reasoned(body), wanted) {
                (Ok(action), wanted) => {
                    assert_eq!(Ok((action.reason.as_str(), action.operator.as_deref())), wanted, "{body}");
                    assert_eq!(action.client, "192.0.2.7");
                }
                (Err(problem), Err((status, pointer))) => {
                    assert_eq!(problem["status"], status, "{body}");
                    assert_eq!(problem["errors"][0]["pointer"].as_str().unwrap_or_default(), pointer, "{body}");
                    assert!(!problem.to_string().contains("CANARY"));
                }
                (Err(problem), Ok(_)) => panic!("{body}: {problem}"),
            }
        }
    }

    #[test]
    fn fields_of_an_actions_own_are_read_with_it_and_their_faults_are_listed_with_its_own() {
        #[derive(Debug, Default, Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Example {
            reason: Option<String>,
            answer: Option<String>,
        }
        impl ActionBody for Example {
            const FORM: &str = r#"{"reason": "why", "answer": "yes"}"#;

            fn reason_and_operator(&self) -> (Option<&str>, Option<&str>) {
                (self.reason.as_deref(), None)
            }

            fn own_findings(&self) -> Vec<Finding> {
                let wrong = self.answer.as_deref() != Some("yes");
                wrong
                    .then(|| Finding { field: "answer", code: "unknown", message: "must be yes".to_owned() })
                    .into_iter()
                    .collect()
            }
        }
        let read =
            |body: &str| read::<Example>(body.as_bytes(), String::new()).map_err(|problem| problem.to_json(None));
        let (_, body) = read(r#"{"reason": "why", "answer": "yes"}"#).unwrap();
        assert_eq!(body.answer.as_deref(), Some("yes"));
        let refused = read(r#"{"answer": "no"}"#).unwrap_err();
        let fields: Vec<&Value> = refused["errors"].as_array().unwrap().iter().map(|error| &error["field"]).collect();
        assert_eq!(fields, ["reason", "answer"]);
        let malformed = read(r#"{"operator": "who"}"#).unwrap_err();
        assert!(malformed["detail"].as_str().unwrap().contains(Example::FORM), "{malformed}");
    }
}

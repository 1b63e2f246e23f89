//! Masks a dead letter for display, because it may hold patient data. Names are shown if they look like names, and values only
//! if they are known to be no patient data. Anything else is shown as its kind and its size.

use claim_events::{ClaimEvent, ClaimId, Envelope, Event, PaymentMessage};
use serde::Serialize;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

/// The largest body that is parsed for its shape, in bytes.
const LARGEST: usize = 4 * 1024 * 1024;
/// The depth to which a shape is shown.
const DEEPEST: usize = 8;
/// The most names and elements that a shape shows in all.
const MOST: usize = 500;
/// The longest name that is shown, in characters.
const LONGEST_NAME: usize = 40;
/// The longest value of a header that is shown, in characters.
const LONGEST_HEADER: usize = 200;
/// The most digits in a name that is shown. A name with more could be the number of a person.
const MOST_DIGITS: usize = 2;

/// The structure of a body without its content.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MaskedBody {
    bytes: usize,
    /// SHA-256 of the body, to compare two bodies.
    #[schema(examples("44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"))]
    sha256: String,
    /// If the body is JSON: the body with every value replaced by its kind and size, except those of `claim_id`, `type`,
    /// `version` and `resync_epoch`. A name that does not look like a name is replaced, too.
    #[schema(value_type = Option<Value>, examples(json!({"claim_id": "4fXk0aV1StGXR8Z5jdHi6B", "net_fee_cents": "text of 6 characters"})))]
    shape: Option<Value>,
    /// If the body is not JSON: the position of the error.
    #[schema(examples("it is not JSON (line 1, column 14)"))]
    problem: Option<String>,
}

impl MaskedBody {
    /// Masks a body.
    pub(crate) fn of(body: &[u8]) -> Self {
        let (shape, problem) = match shape(body) {
            Ok(shape) => (Some(shape), None),
            Err(problem) => (None, Some(problem)),
        };
        Self { bytes: body.len(), sha256: format!("{:x}", Sha256::digest(body)), shape, problem }
    }
}

/// Masks a header: its name and its value.
pub(crate) fn header(name: &str, value: &str) -> (String, String) {
    let is_known = Envelope::HEADERS.contains(&name)
        && value.chars().count() <= LONGEST_HEADER
        && value.chars().all(|character| character.is_ascii_graphic() || character == ' ');
    let shown = if is_known { value.to_owned() } else { text(value) };
    (if looks_like_a_name(name) { name.to_owned() } else { format!("a name, {}", text(name)) }, shown)
}

/// Masks a key, unless it is a claim id.
pub(crate) fn key(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(key) if ClaimId::parse(key).is_some() => key.to_owned(),
        Ok(key) => text(key),
        Err(_) => format!("{} bytes that are not UTF-8", bytes.len()),
    }
}

fn shape(body: &[u8]) -> Result<Value, String> {
    if body.len() > LARGEST {
        return Err(format!("it has more than {LARGEST} bytes and is not parsed"));
    }
    let json: Value = serde_json::from_slice(body).map_err(|error| {
        // serde_json's own message can contain a part of the body.
        format!("it is not JSON (line {}, column {})", error.line(), error.column())
    })?;
    Ok(Mask { left: MOST }.value(None, &json, 0))
}

struct Mask {
    /// How many more names and elements may be shown.
    left: usize,
}

impl Mask {
    fn value(&mut self, name: Option<&str>, value: &Value, depth: usize) -> Value {
        let masked = match value {
            Value::Object(members) if depth < DEEPEST => return self.object(members, depth),
            Value::Array(elements) if depth < DEEPEST => return self.array(elements, depth),
            Value::Object(members) => format!("object of {} members", members.len()),
            Value::Array(elements) => format!("array of {} elements", elements.len()),
            known if name.is_some_and(|name| is_known(name, known)) => return known.clone(),
            Value::Null => "null".to_owned(),
            Value::Bool(_) => "boolean".to_owned(),
            Value::Number(_) => "number".to_owned(),
            Value::String(value) => text(value),
        };
        Value::String(masked)
    }

    fn object(&mut self, members: &Map<String, Value>, depth: usize) -> Value {
        let mut shown = Map::new();
        for (index, (name, value)) in members.iter().enumerate() {
            if self.left == 0 {
                shown.insert("…".to_owned(), Value::String(format!("{} more members", members.len() - index)));
                break;
            }
            self.left -= 1;
            let masked = self.value(Some(name), value, depth + 1);
            let name = if looks_like_a_name(name) {
                name.clone()
            } else {
                // The number tells two names of the same size apart.
                format!("name {}, {}", index + 1, text(name))
            };
            shown.insert(name, masked);
        }
        Value::Object(shown)
    }

    fn array(&mut self, elements: &[Value], depth: usize) -> Value {
        let mut shown = Vec::new();
        for (index, element) in elements.iter().enumerate() {
            if self.left == 0 {
                shown.push(Value::String(format!("{} more elements", elements.len() - index)));
                break;
            }
            self.left -= 1;
            shown.push(self.value(None, element, depth + 1));
        }
        Value::Array(shown)
    }
}

/// Whether the name and the format of a value show that it is no patient data.
fn is_known(name: &str, value: &Value) -> bool {
    match (name, value) {
        ("claim_id", Value::String(id)) => ClaimId::parse(id).is_some(),
        ("type", Value::String(kind)) => {
            ClaimEvent::TYPES.iter().chain(PaymentMessage::TYPES).any(|known| known == kind)
        }
        ("version" | "resync_epoch", Value::Number(number)) => number.is_i64(),
        _ => false,
    }
}

/// Whether a name is like `net_fee_cents`, ASCII letters with few digits, and so neither a person's number nor free text.
fn looks_like_a_name(name: &str) -> bool {
    let digits = name.bytes().filter(u8::is_ascii_digit).count();
    (1..=LONGEST_NAME).contains(&name.len())
        && digits <= MOST_DIGITS
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

fn text(value: &str) -> String {
    format!("text of {} characters", value.chars().count())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn shape_of(body: &Value) -> Value {
        MaskedBody::of(body.to_string().as_bytes()).shape.expect("JSON")
    }

    #[test]
    fn names_are_shown_and_values_replaced_by_their_kind_and_size() {
        let body = json!({
            "claim_id": "4fXk0aV1StGXR8Z5jdHi6B", "plan_group": "GRP-1000", "net_fee_cents": 100, "resync_epoch": 7, "paid": true,
            "lines": [{"line": 1, "quadrant": null, "claim_id": "Jane Doe"}],
            "known_outcome": {"type": "payment.settled", "version": 3}, "type": "Jane", "version": "3730189502",
        });
        assert_eq!(
            shape_of(&body),
            json!({
                "claim_id": "4fXk0aV1StGXR8Z5jdHi6B", "plan_group": "text of 8 characters", "net_fee_cents": "number",
                "resync_epoch": 7, "paid": "boolean",
                "lines": [{"line": "number", "quadrant": "null", "claim_id": "text of 8 characters"}],
                "known_outcome": {"type": "payment.settled", "version": 3}, "type": "text of 4 characters",
                "version": "text of 10 characters",
            })
        );
        assert_eq!(shape_of(&json!("\u{fc}\u{fc}")), json!("text of 2 characters"));
    }

    #[test]
    fn unusual_names_are_masked_and_stay_distinct() {
        let body = json!({"3730189502": 1, "3730189503": 1, "Jane Doe": 1, "x".repeat(41): 1, "": 1, "line_12": 1});
        let shape = shape_of(&body);
        let mut names: Vec<&str> = shape.as_object().unwrap().keys().map(String::as_str).collect();
        names.sort_unstable();
        assert_eq!(names.len(), 6);
        assert_eq!(names[0], "line_12");
        assert!(names[1..].iter().all(|name| name.starts_with("name ")), "{names:?}");
    }

    #[test]
    fn depth_and_size_of_a_shape_are_bounded() {
        let deep = (0..100).fold(json!("x"), |inner, _| json!([inner]));
        assert!(shape_of(&deep).to_string().contains("array of 1 elements"));
        let wide = shape_of(&json!(vec![vec![1; 400]; 400]));
        let shown = wide.to_string();
        assert!(shown.len() < 20_000 && shown.contains("more elements"), "{}", shown.len());
        let many: Map<String, Value> = (0..10_000).map(|n| (format!("key {n}"), json!(n))).collect();
        assert_eq!(shape_of(&Value::Object(many)).as_object().unwrap().len(), MOST + 1);
    }

    #[test]
    fn of_a_body_that_is_not_json_only_the_size_and_the_error_position_are_shown() {
        for (body, problem) in [
            (&b"{\"claim_id\": "[..], "it is not JSON (line 1, column 13)"),
            (b"", "it is not JSON (line 1, column 0)"),
            (b"Jane Doe", "it is not JSON (line 1, column 1)"),
            (b"\"\xff\"", "it is not JSON (line 1, column 2)"),
            ("[".repeat(200).as_bytes(), "it is not JSON (line 1, column 128)"),
            (&vec![b' '; LARGEST + 1], "it has more than 4194304 bytes and is not parsed"),
        ] {
            let masked = MaskedBody::of(body);
            assert_eq!((masked.problem.as_deref(), masked.bytes), (Some(problem), body.len()));
            assert!(masked.shape.is_none());
        }
        // From `printf '{}' | sha256sum`.
        let sha256 = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";
        assert_eq!(MaskedBody::of(b"{}").sha256, sha256);
    }

    #[test]
    fn known_headers_and_claim_ids_are_shown() {
        let shown = |name: &str, value: &str| header(name, value);
        assert_eq!(shown("ce_type", "claim.submitted"), ("ce_type".to_owned(), "claim.submitted".to_owned()));
        assert_eq!(shown("ce_type", "Jane\nDoe").1, "text of 8 characters");
        assert_eq!(shown("ce_type", &"x".repeat(201)).1, "text of 201 characters");
        assert_eq!(shown("patient", "Jane Doe"), ("patient".to_owned(), "text of 8 characters".to_owned()));
        assert_eq!(shown("Jane Doe", "").0, "a name, text of 8 characters");
        assert_eq!(key(b"4fXk0aV1StGXR8Z5jdHi6B"), "4fXk0aV1StGXR8Z5jdHi6B");
        assert_eq!(key(b"3730189502"), "text of 10 characters");
        assert_eq!(key(b"\xff"), "1 bytes that are not UTF-8");
    }
}

//! JSON: a claim with `lines`, one flat line, or an array of lines that are one claim.
//!
//! Objects are read member by member, so that a name sent twice is seen, and numbers as they are written, so that money
//! never passes through a float.

use super::{
    CONTRADICTS, LONGEST_ECHOED_NAME, Malformed, NOT_A_FIELD, Place, ReadLimits, note_repeated, note_unknown,
    take_external_claim_id,
};
use crate::domain::field::{Field, means_lines};
use crate::domain::finding::SentAs;
use crate::domain::raw_claim::{RawClaim, RawLine};
use crate::domain::rules::parse_errors;
use serde::Deserialize;
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// Fields that a claim with `lines` may name once for all its lines.
const SHARED: [Field; 4] = [Field::ServiceDate, Field::PlanGroup, Field::SubscriberId, Field::ProviderNpi];

/// Reads one claim.
///
/// # Errors
/// When the body is not JSON, or neither an object nor an array of objects.
pub fn read_json(body: &[u8], limits: ReadLimits) -> Result<RawClaim, Malformed> {
    let text = std::str::from_utf8(body).map_err(|error| {
        Malformed(format!("the body is not UTF-8: byte {} cannot be read", error.valid_up_to() + 1))
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if is_deeper(text, limits.max_depth) {
        return Err(Malformed(format!(
            "the JSON is nested deeper than {} levels: a claim has three",
            limits.max_depth
        )));
    }
    let root: &RawValue = serde_json::from_str(text).map_err(|error| broken(&error))?;
    let mut raw_claim = RawClaim::default();
    match parse(root)? {
        Json::Object(members) if members.iter().any(|(name, _)| means_lines(name)) => {
            read_claim_object(&mut raw_claim, members, limits)?;
        }
        Json::Object(members) => {
            read_line(
                &mut raw_claim,
                Place { line: Some(1), pointer: Some(String::new()) },
                members,
                &BTreeMap::new(),
                limits,
            );
        }
        Json::Array(items) => read_lines(&mut raw_claim, "", items, &BTreeMap::new(), limits)?,
        _ => return Err(Malformed("the body must be a claim: a JSON object, or an array of lines".to_owned())),
    }
    Ok(raw_claim)
}

/// serde_json's own texts for broken syntax name what was expected and where, and nothing of the input.
pub(super) fn broken(error: &serde_json::Error) -> Malformed {
    let text = error.to_string();
    let what = text.split(" at line ").next().unwrap_or("it cannot be read");
    Malformed(format!("the JSON is broken at line {}, column {}: {what}", error.line(), error.column()))
}

enum Json<'a> {
    Null,
    Text(String),
    Number(&'a str),
    Other,
    Array(Vec<&'a RawValue>),
    Object(Vec<(String, &'a RawValue)>),
}

/// One level of JSON. The whole body was checked before; what can still be wrong is a text with half a surrogate pair.
fn parse(raw: &RawValue) -> Result<Json<'_>, Malformed> {
    let text = raw.get();
    let unreadable =
        |error: serde_json::Error| Malformed(format!("a text in the JSON cannot be read: {}", broken(&error).0));
    Ok(match text.as_bytes().first() {
        Some(b'{') => Json::Object(serde_json::from_str::<Members>(text).map_err(unreadable)?.0),
        Some(b'[') => Json::Array(serde_json::from_str::<Items>(text).map_err(unreadable)?.0),
        Some(b'"') => Json::Text(serde_json::from_str(text).map_err(unreadable)?),
        Some(b'n') => Json::Null,
        Some(b't' | b'f') => Json::Other,
        _ => Json::Number(text),
    })
}

fn read_claim_object(
    raw_claim: &mut RawClaim,
    members: Vec<(String, &RawValue)>,
    limits: ReadLimits,
) -> Result<(), Malformed> {
    let mut shared: BTreeMap<Field, Shared> = BTreeMap::new();
    let mut lines = None;
    for (name, raw) in members {
        let pointer = member("", &name);
        let place = Place { line: None, pointer: Some(pointer.clone()) };
        if means_lines(&name) {
            if lines.replace((pointer, raw)).is_some() {
                raw_claim.note_malformed(place.finding(
                    "lines",
                    &name,
                    &parse_errors::SENT_TWICE,
                    "is sent twice: send it once".to_owned(),
                ));
            }
            continue;
        }
        let Some(field) = Field::from_sent(&name) else {
            note_unknown(raw_claim, &place, &name, NOT_A_FIELD);
            continue;
        };
        let Some(text) = scalar(raw_claim, &place, field, &name, raw, limits)? else { continue };
        let sent_as = SentAs { name: name.clone(), pointer: Some(pointer) };
        if field == Field::ExternalClaimId {
            if let Some(first) = raw_claim.header.sent_as(field).map(|sent| sent.name.clone()) {
                note_repeated(raw_claim, &place, field, [&first, &name], None);
            }
            take_external_claim_id(raw_claim, &place, &text, sent_as);
        } else if SHARED.contains(&field) {
            if let Some(first) = shared.insert(field, Shared { text: text.trim().into(), sent_as }) {
                note_repeated(raw_claim, &place, field, [&first.sent_as.name, &name], None);
            }
        } else {
            let message = "belongs into each line, beside 'lines' it says nothing and was ignored".to_owned();
            raw_claim.note_ignored(|| place.finding(field.name(), &name, &parse_errors::IGNORED_FIELD, message));
        }
    }
    let Some((pointer, raw)) = lines else { return Ok(()) };
    match parse(raw)? {
        Json::Array(items) => read_lines(raw_claim, &pointer, items, &shared, limits),
        _ => Err(Malformed("'lines' must be an array of objects, one for each line of the claim".to_owned())),
    }
}

/// A value given once for all lines.
struct Shared {
    text: Arc<str>,
    sent_as: SentAs,
}

fn read_lines(
    raw_claim: &mut RawClaim,
    base: &str,
    items: Vec<&RawValue>,
    shared: &BTreeMap<Field, Shared>,
    limits: ReadLimits,
) -> Result<(), Malformed> {
    for (index, raw) in items.into_iter().enumerate() {
        if raw_claim.is_overfull() {
            break;
        }
        let place = Place { line: Some(index + 1), pointer: Some(format!("{base}/{index}")) };
        match parse(raw)? {
            Json::Object(members) => read_line(raw_claim, place, members, shared, limits),
            _ => {
                return Err(Malformed(format!(
                    "line {} must be a JSON object with the fields of a claim line",
                    index + 1
                )));
            }
        }
    }
    Ok(())
}

fn read_line(
    raw_claim: &mut RawClaim,
    place: Place,
    members: Vec<(String, &RawValue)>,
    shared: &BTreeMap<Field, Shared>,
    limits: ReadLimits,
) {
    let base = place.pointer.clone().unwrap_or_default();
    let mut line = RawLine::at(Some(base.clone()));
    for (field, shared) in shared {
        line.fields.set(*field, Arc::clone(&shared.text), shared.sent_as.clone());
    }
    let mut seen: BTreeMap<Field, String> = BTreeMap::new();
    for (name, raw) in members {
        let pointer = member(&base, &name);
        let place = Place { line: place.line, pointer: Some(pointer.clone()) };
        let Some(field) = Field::from_sent(&name) else {
            note_unknown(raw_claim, &place, &name, NOT_A_FIELD);
            continue;
        };
        if let Some(first) = seen.insert(field, name.clone()) {
            note_repeated(raw_claim, &place, field, [&first, &name], None);
            continue;
        }
        let Ok(Some(text)) = scalar(raw_claim, &place, field, &name, raw, limits) else { continue };
        let sent_as = SentAs { name, pointer: Some(pointer) };
        if field == Field::ExternalClaimId {
            take_external_claim_id(raw_claim, &place, &text, sent_as);
            continue;
        }
        let contradicts =
            shared.get(&field).is_some_and(|shared| !text.trim().is_empty() && *shared.text != *text.trim());
        if contradicts {
            raw_claim.note_malformed(place.finding(
                field.name(),
                &sent_as.name,
                &parse_errors::CONTRADICTION,
                CONTRADICTS.to_owned(),
            ));
        }
        if !shared.contains_key(&field) || !text.trim().is_empty() {
            line.fields.set(field, text, sent_as);
        }
    }
    raw_claim.lines.push(line);
}

/// The pointer of an object's member; where its name is too long to be shown, that of the object.
fn member(object: &str, name: &str) -> String {
    if name.len() > LONGEST_ECHOED_NAME { object.to_owned() } else { format!("{object}/{}", escape(name)) }
}

/// A value as text; a list, an object or a truth value is a finding.
fn scalar(
    raw_claim: &mut RawClaim,
    place: &Place,
    field: Field,
    name: &str,
    raw: &RawValue,
    limits: ReadLimits,
) -> Result<Option<String>, Malformed> {
    let text = match parse(raw) {
        Ok(Json::Null) => String::new(),
        Ok(Json::Text(text)) => text,
        // A number such as 1e400 or 3.730189502e9 is nobody's number, and would be kept as it is written.
        Ok(Json::Number(number)) if field.takes_any_text() && !number.bytes().all(|byte| byte.is_ascii_digit()) => {
            let message = "must be text, or a number of digits alone".to_owned();
            raw_claim.note_malformed(place.finding(field.name(), name, &parse_errors::NOT_TEXT, message));
            return Ok(None);
        }
        Ok(Json::Number(number)) => number.to_owned(),
        Ok(Json::Other | Json::Array(_) | Json::Object(_)) => {
            let message = "must be text or a number".to_owned();
            raw_claim.note_malformed(place.finding(field.name(), name, &parse_errors::NOT_TEXT, message));
            return Ok(None);
        }
        Err(_) => {
            let message = "must be text of whole Unicode characters".to_owned();
            raw_claim.note_malformed(place.finding(field.name(), name, &parse_errors::NOT_TEXT, message));
            return Ok(None);
        }
    };
    Ok((!limits.refuse_long(raw_claim, place, field, name, &text)).then_some(text))
}

/// Whether brackets are nested deeper than `most`, wherever they stand outside of texts.
fn is_deeper(text: &str, most: usize) -> bool {
    let (mut depth, mut in_text, mut escaped) = (0_usize, false, false);
    text.bytes().any(|byte| {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b'{' | b'[' if !in_text => depth += 1,
            b'}' | b']' if !in_text => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth > most
    })
}

/// A name as a step of a JSON pointer (RFC 6901).
fn escape(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// The members of an object in the order sent, repeats included.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Members<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}

/// The items of an array.
struct Items<'a>(Vec<&'a RawValue>);

impl<'de: 'a, 'a> Deserialize<'de> for Items<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Items<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = seq.next_element()? {
                    items.push(item);
                }
                Ok(Items(items))
            }
        }
        deserializer.deserialize_seq(Collect)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_for_all_lines_is_in_memory_once() {
        let raw_claim =
            read_json(br#"{"member_id": " 3730189502 ", "lines": [{}, {"subscriber": ""}]}"#, ReadLimits::default())
                .unwrap();
        let [first, second] = [0, 1].map(|line| raw_claim.lines[line].fields.text(Field::SubscriberId).unwrap());
        assert_eq!(first, "3730189502");
        assert!(std::ptr::eq(first, second));
    }

    #[test]
    fn a_long_name_is_not_that_of_the_lines_and_is_not_repeated_with_each() {
        let raw_claim =
            read_json(format!(r#"{{"lines{}": [{{}}, {{}}]}}"#, " ".repeat(100)).as_bytes(), ReadLimits::default())
                .unwrap();
        assert_eq!(raw_claim.lines.len(), 1);
    }
}

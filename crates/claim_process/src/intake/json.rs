//! JSON: a claim with `lines`, one flat line, or an array of lines that are one claim.
//!
//! Objects are read member by member, so that a name sent twice is seen, and numbers as they are written, so that money
//! never passes through a float. Names and texts are borrowed from the body until they are stored.

use super::{
    CONTRADICTS, Malformed, NOT_A_FIELD, ReadLimits, finding, note_repeated, note_unknown, take_external_claim_id,
};
use crate::domain::field::{Field, Meaning};
use crate::domain::raw_claim::{RawClaim, Shape};
use crate::domain::rules::parse_errors;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

/// Fields that a claim with `lines` may give once for all its lines.
const SHARED: [Field; 4] = [Field::ServiceDate, Field::PlanGroup, Field::SubscriberId, Field::ProviderNpi];

/// The largest part of most bodies that is texts that are kept; the rest is names and punctuation.
const KEPT_PART: usize = 2;

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
    let mut raw_claim = RawClaim::with_room_for(text.len() / KEPT_PART);
    match text.bytes().find(|byte| !byte.is_ascii_whitespace()) {
        Some(b'{') => {
            let Members(members) = parse(text)?;
            if members.iter().any(|member| member.meaning == Meaning::Lines) {
                read_claim_object(&mut raw_claim, members, limits)?;
            } else {
                raw_claim.set_shape(Shape::Line);
                let mut line = LineReader::begin(&mut raw_claim, limits);
                members.into_iter().for_each(|Member { name, meaning, value }| line.take(name, meaning, value));
            }
        }
        Some(b'[') => {
            raw_claim.set_shape(Shape::Lines(String::new()));
            read_lines(&mut raw_claim, text, limits)?;
        }
        _ => {
            parse::<IgnoredAny>(text)?;
            return Err(Malformed("the body must be a claim: a JSON object, or an array of lines".to_owned()));
        }
    }
    Ok(raw_claim)
}

/// serde_json's texts for broken syntax name what was expected and where, and echo nothing of the input.
pub(super) fn broken(error: &serde_json::Error) -> Malformed {
    let text = error.to_string();
    let what = text.split(" at line ").next().unwrap_or("it cannot be read");
    Malformed(format!("the JSON is broken at line {}, column {}: {what}", error.line(), error.column()))
}

/// Parses JSON. Broken syntax anywhere in it comes before whatever else is wrong with it.
fn parse<'a, T: serde::Deserialize<'a>>(text: &'a str) -> Result<T, Malformed> {
    serde_json::from_str(text).map_err(|error| syntax_or(text, || unreadable(&error)))
}

/// What is wrong with a text: its syntax, and only where that is whole what is given.
fn syntax_or(text: &str, other: impl FnOnce() -> Malformed) -> Malformed {
    match serde_json::from_str::<&RawValue>(text) {
        Err(error) => broken(&error),
        Ok(_) => other(),
    }
}

/// The syntax is whole, so it is a text with half a surrogate pair.
fn unreadable(error: &serde_json::Error) -> Malformed {
    Malformed(format!("a text in the JSON cannot be read: {}", broken(error).0))
}

/// A member of an object.
struct Member<'a> {
    name: Cow<'a, str>,
    meaning: Meaning,
    value: &'a RawValue,
}

fn read_claim_object(raw_claim: &mut RawClaim, members: Vec<Member<'_>>, limits: ReadLimits) -> Result<(), Malformed> {
    raw_claim.set_shape(Shape::Lines(String::new()));
    let mut lines: Option<(Cow<'_, str>, &RawValue)> = None;
    for Member { name, meaning, value } in members {
        let field = match meaning {
            Meaning::Field(field) => field,
            Meaning::Lines => {
                if lines.is_some() {
                    let message = "is sent twice: send it once".to_owned();
                    let twice = finding(raw_claim, None, "lines", &name, &parse_errors::SENT_TWICE, message);
                    raw_claim.note_malformed(twice);
                }
                lines = Some((name, value));
                continue;
            }
            Meaning::Unknown => {
                note_unknown(raw_claim, None, &name, NOT_A_FIELD);
                continue;
            }
        };
        let Some(text) = scalar(raw_claim, None, field, &name, value, limits) else { continue };
        if field == Field::ExternalClaimId {
            if let Some(first) = raw_claim.name_in_header(field).map(str::to_owned) {
                note_repeated(raw_claim, None, field, [&first, &name], None);
            }
            take_external_claim_id(raw_claim, None, &text, &name);
        } else if SHARED.contains(&field) {
            if let Some(first) = raw_claim.name_in_header(field).map(str::to_owned) {
                note_repeated(raw_claim, None, field, [&first, &name], None);
            }
            raw_claim.set(None, field, &text, &name);
        } else {
            let message = "was ignored: send it in each line, and not beside 'lines'".to_owned();
            raw_claim.note_ignored(|raw_claim| {
                finding(raw_claim, None, field.name(), &name, &parse_errors::IGNORED_FIELD, message)
            });
        }
    }
    let Some((name, value)) = lines else { return Ok(()) };
    let pointer = raw_claim.pointer(None, &name).unwrap_or_default();
    raw_claim.set_shape(Shape::Lines(pointer));
    if !value.get().starts_with('[') {
        return Err(Malformed("'lines' must be an array of objects, one for each line of the claim".to_owned()));
    }
    read_lines(raw_claim, value.get(), limits)
}

/// Reads an array of lines.
fn read_lines(raw_claim: &mut RawClaim, text: &str, limits: ReadLimits) -> Result<(), Malformed> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let read = deserializer.deserialize_seq(Lines { raw_claim, limits }).and_then(|()| deserializer.end());
    read.map_err(|error| {
        syntax_or(text, || {
            if error.is_data() || is_number(text, raw_claim.line_count()) {
                let line = raw_claim.line_count() + 1;
                return Malformed(format!("line {line} must be a JSON object with the fields of a claim line"));
            }
            unreadable(&error)
        })
    })
}

/// Whether an item of an array is a number. Only a line that is a number is read as one, and one that is too large is an error of
/// its own.
fn is_number(array: &str, index: usize) -> bool {
    let items: Vec<&RawValue> = serde_json::from_str(array).unwrap_or_default();
    items.get(index).is_some_and(|item| item.get().starts_with(|first: char| first == '-' || first.is_ascii_digit()))
}

/// Reads lines into a claim, as many as may be and one more.
struct Lines<'c> {
    raw_claim: &'c mut RawClaim,
    limits: ReadLimits,
}

impl<'de> Visitor<'de> for Lines<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut lines: A) -> Result<(), A::Error> {
        let Self { raw_claim, limits } = self;
        while !raw_claim.is_overfull() {
            if lines.next_element_seed(NextLine { raw_claim, limits })?.is_none() {
                return Ok(());
            }
        }
        while lines.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }
}

/// Reads a line into a claim.
struct NextLine<'c> {
    raw_claim: &'c mut RawClaim,
    limits: ReadLimits,
}

impl<'de> DeserializeSeed<'de> for NextLine<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for NextLine<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let mut line = LineReader::begin(self.raw_claim, self.limits);
        while let Some((Name(name), value)) = members.next_entry()? {
            let meaning = Meaning::of(&name);
            line.take(name, meaning, value);
        }
        Ok(())
    }
}

/// Takes the members of a line.
struct LineReader<'c, 'de> {
    raw_claim: &'c mut RawClaim,
    /// Its number.
    line: usize,
    limits: ReadLimits,
    /// The name by which each field was sent last in it.
    seen: [Option<Cow<'de, str>>; Field::ALL.len()],
}

impl<'c, 'de> LineReader<'c, 'de> {
    fn begin(raw_claim: &'c mut RawClaim, limits: ReadLimits) -> Self {
        let line = raw_claim.begin_line();
        Self { raw_claim, line, limits, seen: Default::default() }
    }

    fn take(&mut self, name: Cow<'de, str>, meaning: Meaning, value: &'de RawValue) {
        let (raw_claim, line) = (&mut *self.raw_claim, Some(self.line));
        let Meaning::Field(field) = meaning else { return note_unknown(raw_claim, line, &name, NOT_A_FIELD) };
        if let Some(first) = &self.seen[field as usize] {
            note_repeated(raw_claim, line, field, [first, &name], None);
        } else if let Some(text) = scalar(raw_claim, line, field, &name, value, self.limits) {
            store(raw_claim, self.line, field, &text, &name);
        }
        self.seen[field as usize] = Some(name);
    }
}

/// Stores a field of a line. Where the same was sent for all lines, a blank text leaves that, and another one contradicts it.
fn store(raw_claim: &mut RawClaim, line: usize, field: Field, text: &str, name: &str) {
    if field == Field::ExternalClaimId {
        return take_external_claim_id(raw_claim, Some(line), text, name);
    }
    let (shared, text) = (raw_claim.header_text(field), text.trim());
    let (is_shared, contradicts) = (shared.is_some(), shared.is_some_and(|shared| !text.is_empty() && shared != text));
    if contradicts {
        let finding =
            finding(raw_claim, Some(line), field.name(), name, &parse_errors::CONTRADICTION, CONTRADICTS.to_owned());
        raw_claim.note_malformed(finding);
    }
    if !is_shared || !text.is_empty() {
        raw_claim.set(Some(line), field, text, name);
    }
}

/// A value as text; a list, an object or a truth value is a finding.
fn scalar<'a>(
    raw_claim: &mut RawClaim,
    line: Option<usize>,
    field: Field,
    name: &str,
    value: &'a RawValue,
    limits: ReadLimits,
) -> Option<Cow<'a, str>> {
    let text = match text_of(value.get(), field) {
        Ok(text) => text,
        Err(message) => {
            let finding = finding(raw_claim, line, field.name(), name, &parse_errors::NOT_TEXT, message.to_owned());
            raw_claim.note_malformed(finding);
            return None;
        }
    };
    (!limits.refuse_long(raw_claim, line, field, name, &text)).then_some(text)
}

/// The text that a value of JSON is for a field, or what the sender has to correct.
fn text_of(value: &str, field: Field) -> Result<Cow<'_, str>, &'static str> {
    match value.as_bytes().first() {
        Some(b'n') => Ok(Cow::Borrowed("")),
        Some(b'"') => {
            let inner = &value[1..value.len() - 1];
            if inner.contains('\\') {
                serde_json::from_str(value).map(Cow::Owned).map_err(|_| "must be text of whole Unicode characters")
            } else {
                Ok(Cow::Borrowed(inner))
            }
        }
        Some(b't' | b'f' | b'[' | b'{') => Err("must be text or a number"),
        // A number such as 1e400 or 3.730189502e9 is not an identifier, and would be stored as it is written.
        _ if field.takes_any_text() && !value.bytes().all(|byte| byte.is_ascii_digit()) => {
            Err("must be text, or a number of digits alone")
        }
        _ => Ok(Cow::Borrowed(value)),
    }
}

/// Whether brackets outside of texts are nested deeper than `most`.
fn is_deeper(text: &str, most: usize) -> bool {
    // Most claims have fewer brackets than levels are allowed. Counting them is many times as fast as matching them.
    if text.bytes().filter(|byte| matches!(byte, b'{' | b'[')).count() <= most {
        return false;
    }
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

/// A name, borrowed where it has no escapes.
struct Name<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> serde::Deserialize<'de> for Name<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Borrow;
        impl<'de> Visitor<'de> for Borrow {
            type Value = Cow<'de, str>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }
            fn visit_borrowed_str<E: Error>(self, name: &'de str) -> Result<Self::Value, E> {
                Ok(Cow::Borrowed(name))
            }
            fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
                Ok(Cow::Owned(name.to_owned()))
            }
        }
        deserializer.deserialize_str(Borrow).map(Self)
    }
}

/// The members of an object in the order sent, repeats included.
struct Members<'a>(Vec<Member<'a>>);

impl<'de: 'a, 'a> serde::Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Members<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::with_capacity(Field::ALL.len());
                while let Some((Name(name), value)) = map.next_entry()? {
                    members.push(Member { meaning: Meaning::of(&name), name, value });
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Collect)
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
        let [first, second] = [1, 2].map(|line| raw_claim.text(Some(line), Field::SubscriberId).unwrap());
        assert_eq!(first, "3730189502");
        assert!(std::ptr::eq(first, second));
    }

    #[test]
    fn a_line_that_is_no_object_is_named_whatever_it_is() {
        for line in ["1", "1e400", "[]", "null", "\"{\""] {
            for body in [format!("[{{}}, {line}]"), format!("{{\"lines\": [{{}}, {line}, {{}}]}}")] {
                let Malformed(why) = read_json(body.as_bytes(), ReadLimits::default()).unwrap_err();
                assert_eq!(why, "line 2 must be a JSON object with the fields of a claim line", "{body}");
            }
        }
    }

    #[test]
    fn a_long_name_is_not_that_of_the_lines_and_is_not_repeated_with_each() {
        let raw_claim =
            read_json(format!(r#"{{"lines{}": [{{}}, {{}}]}}"#, " ".repeat(100)).as_bytes(), ReadLimits::default())
                .unwrap();
        assert_eq!(raw_claim.line_count(), 1);
    }
}

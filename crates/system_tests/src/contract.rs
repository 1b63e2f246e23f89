//! Checks messages against the published contract: `asyncapi.json` and the JSON Schemas of `claim_events`, read as a consumer in
//! another language reads them.

use serde_json::{Value, json};
use std::path::PathBuf;

/// Header names and values.
pub type Headers = [(String, String)];

/// Checks a message's topic, key, headers and body.
///
/// # Errors
/// Every violation, one sentence a line.
///
/// # Panics
/// If the contract cannot be read.
pub fn check(topic: &str, key: Option<&str>, headers: &Headers, body: &[u8]) -> Result<(), String> {
    let header = |name: &str| headers.iter().find(|(header, _)| header == name).map(|(_, value)| value.as_str());
    let event_type = header("ce_type").ok_or("the header ce_type is missing")?;
    if !types_on(topic).iter().any(|known| known == event_type) {
        return Err(format!("{event_type} is not a message of the topic {topic}"));
    }
    let body: Value = serde_json::from_slice(body).map_err(|error| format!("the body is not JSON ({error})"))?;
    let members: serde_json::Map<String, Value> =
        headers.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
    let mut problems = Vec::new();
    if members.len() != headers.len() {
        problems.push("a header occurs twice".to_owned());
    }
    problems.extend(against("headers", &Value::Object(members)));
    problems.extend(against(event_type, &body));

    // Schemas cannot express that values must agree with each other.
    let claim_id = header("ce_subject");
    let version = header("ce_aggregateversion").unwrap_or_default();
    if key != claim_id || body["claim_id"].as_str() != claim_id {
        problems.push("key, ce_subject and claim_id do not name the same claim".to_owned());
    }
    if header("ce_id") != Some(&format!("{}.{event_type}.{version}", claim_id.unwrap_or_default())) {
        problems.push("ce_id is not <claim id>.<type>.<version>".to_owned());
    }
    if header("ce_dataschema").map(Value::from) != Some(schema(event_type)["$id"].clone()) {
        problems.push("ce_dataschema does not name the schema of the type".to_owned());
    }
    if problems.is_empty() { Ok(()) } else { Err(problems.join("\n")) }
}

/// The topics of the contract, each with its number of partitions.
///
/// # Panics
/// If the contract cannot be read.
pub fn topics() -> Vec<(String, usize)> {
    let api = read("asyncapi.json");
    let channels = api["channels"].as_object().expect("the contract has channels");
    let described = channels.values().map(|channel| {
        let partitions = channel["bindings"]["kafka"]["partitions"].as_u64().expect("a channel has partitions");
        (text(&channel["address"]), usize::try_from(partitions).expect("a small number"))
    });
    described.collect()
}

fn types_on(topic: &str) -> Vec<String> {
    let api = read("asyncapi.json");
    let channels = api["channels"].as_object().expect("the contract has channels");
    let channel = channels.values().find(|channel| channel["address"] == topic);
    let messages = channel.and_then(|channel| channel["messages"].as_object());
    messages.into_iter().flat_map(|messages| messages.keys().cloned()).collect()
}

fn against(name: &str, value: &Value) -> Vec<String> {
    let validator = jsonschema::draft202012::options()
        .should_validate_formats(true)
        .build(&schema(name))
        .expect("the contract's schemas are schemas");
    validator.iter_errors(value).map(|error| format!("{name}{}: {error}", error.instance_path())).collect()
}

fn schema(name: &str) -> Value {
    read(&format!("schemas/v1/{name}.json"))
}

fn read(path: &str) -> Value {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../claim_events").join(path);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn text(value: &Value) -> String {
    value.as_str().expect("text").to_owned()
}

//! The contract as other languages read it: JSON Schemas of headers and bodies under `schemas/`, and `asyncapi.json` for
//! topics, partitions and messages. The golden files and the Rust types decide whether they are right.

#![allow(clippy::unwrap_used, reason = "clippy does not see that the functions here are only for tests")]

use claim_events::{CLAIM_TOPIC, ClaimEvent, DecodeError, Envelope, Event, PARTITIONS, PAYMENT_TOPIC, PaymentMessage};
use jsonschema::Validator;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

fn in_crate(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn read(path: &str) -> Value {
    let text = std::fs::read_to_string(in_crate(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The JSON files of a directory, by name without the extension.
fn all_of(directory: &str) -> BTreeMap<String, Value> {
    let files = std::fs::read_dir(in_crate(directory)).unwrap();
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    names.map(|name| (name.trim_end_matches(".json").to_owned(), read(&format!("{directory}/{name}")))).collect()
}

fn schemas() -> BTreeMap<String, Value> {
    all_of("schemas/v1")
}

fn validator(schema: &Value) -> Validator {
    jsonschema::draft202012::options().should_validate_formats(true).build(schema).expect("a schema")
}

fn type_of(golden: &Value) -> &str {
    golden["headers"]["ce_type"].as_str().unwrap()
}

/// A reader of this crate, for a body of the given type.
fn read_by_rust(event_type: &str, body: &Value) -> Result<(), DecodeError> {
    let body = body.to_string();
    match event_type.split_once('.') {
        Some(("claim", _)) => ClaimEvent::from_body(event_type, body.as_bytes()).map(|_| ()),
        _ => PaymentMessage::from_body(event_type, body.as_bytes()).map(|_| ()),
    }
}

/// Every object in `value` that `schema` describes: its place as a JSON pointer, and the schema there.
fn objects<'a>(schema: &'a Value, value: &Value, at: String, found: &mut Vec<(String, &'a Value)>) {
    if let (Some(properties), Some(members)) = (schema["properties"].as_object(), value.as_object()) {
        found.push((at.clone(), schema));
        for (name, member) in members {
            objects(properties.get(name).unwrap_or(&Value::Null), member, format!("{at}/{name}"), found);
        }
    }
    for (index, item) in value.as_array().into_iter().flatten().enumerate() {
        objects(&schema["items"], item, format!("{at}/{index}"), found);
    }
}

fn members<'a>(document: &'a mut Value, at: &str) -> &'a mut serde_json::Map<String, Value> {
    document.pointer_mut(at).unwrap().as_object_mut().unwrap()
}

#[test]
fn every_golden_message_fits_its_schemas() {
    let schemas = schemas();
    let golden = all_of("golden/v1");
    for (name, message) in &golden {
        for (part, schema) in [("headers", "headers"), ("body", type_of(message))] {
            let problems: Vec<String> = validator(&schemas[schema])
                .iter_errors(&message[part])
                .map(|error| format!("{name}, {part}{}: {error}", error.instance_path()))
                .collect();
            assert!(problems.is_empty(), "{problems:#?}");
        }
        let data_schema = &message["headers"]["ce_dataschema"];
        assert_eq!(&schemas[type_of(message)]["$id"], data_schema, "ce_dataschema names the schema of {name}");
    }
    let types: BTreeSet<&str> = golden.values().map(type_of).chain(["headers"]).collect();
    assert_eq!(schemas.keys().map(String::as_str).collect::<BTreeSet<_>>(), types, "a schema for each type, no more");
}

#[test]
fn what_is_required_is_what_the_reader_needs_and_no_message_without_it_fits() {
    let schemas = schemas();
    for (name, message) in all_of("golden/v1") {
        let event_type = type_of(&message);
        let schema = validator(&schemas[event_type]);
        let mut places = Vec::new();
        objects(&schemas[event_type], &message["body"], String::new(), &mut places);
        for (at, described) in places {
            let required: BTreeSet<&str> =
                described["required"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
            for (field, of_field) in described["properties"].as_object().unwrap() {
                let place = format!("{name}: {at}/{field}");
                assert!(of_field["description"].is_string(), "{place} is described");

                let mut without = message["body"].clone();
                assert!(members(&mut without, &at).remove(field).is_some(), "{place} is in the golden file");
                assert_eq!(schema.is_valid(&without), !required.contains(field.as_str()), "{place} is missing");
                assert_eq!(read_by_rust(event_type, &without).is_ok(), schema.is_valid(&without), "{place} is missing");

                let mut wrong = message["body"].clone();
                members(&mut wrong, &at).insert(field.clone(), json!(0.5));
                assert!(!schema.is_valid(&wrong), "{place} is of a wrong type");
                assert!(read_by_rust(event_type, &wrong).is_err(), "{place} is of a wrong type");
            }
            let mut with_more = message["body"].clone();
            members(&mut with_more, &at).insert("added_later".to_owned(), json!([1]));
            assert!(schema.is_valid(&with_more), "{name}: {at} may have fields that are added later");
        }
    }
}

#[test]
fn each_header_that_is_required_is_missed_and_a_wrong_one_is_noticed() {
    let schema = &schemas()["headers"];
    let message = read("golden/v1/payment.settled.json");
    let validator = validator(schema);
    let required: BTreeSet<&str> = schema["required"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    let described: BTreeSet<&str> = schema["properties"].as_object().unwrap().keys().map(String::as_str).collect();
    let written: BTreeSet<&str> = message["headers"].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(described, written);
    for header in written {
        let mut without = message["headers"].clone();
        without.as_object_mut().unwrap().remove(header);
        assert_eq!(validator.is_valid(&without), !required.contains(header), "{header} is missing");
        let mut wrong = message["headers"].clone();
        wrong[header] = json!("");
        assert!(!validator.is_valid(&wrong), "{header} is empty");
    }
    let highest = Envelope::HIGHEST_VERSION;
    for (version, fits) in
        [(1, true), (highest - 1, true), (highest, true), (highest + 1, false), (10 * highest, false)]
    {
        let mut of_version = message["headers"].clone();
        of_version["ce_aggregateversion"] = json!(version.to_string());
        assert_eq!(validator.is_valid(&of_version), fits, "{version}");
    }
    let mut with_more = message["headers"].clone();
    with_more["added-later"] = json!("x");
    assert!(validator.is_valid(&with_more));
}

#[test]
fn the_version_of_a_known_outcome_is_bounded_as_every_version_is() {
    for event_type in ["claim.submitted", "claim.void_requested", "claim.outcome_recorded"] {
        let version = &schemas()[event_type]["properties"]["known_outcome"]["properties"]["version"];
        assert_eq!((&version["minimum"], &version["maximum"]), (&json!(1), &json!(Envelope::HIGHEST_VERSION)));
    }
}

#[test]
fn a_void_says_all_that_the_claim_said() {
    let schemas = schemas();
    for part in ["properties", "required"] {
        assert_eq!(schemas["claim.submitted"][part], schemas["claim.void_requested"][part]);
    }
}

#[test]
fn the_asyncapi_names_the_topics_with_their_partitions_and_every_type_with_its_schemas() {
    let api = read("asyncapi.json");
    let follow = |reference: &Value| {
        let reference = reference["$ref"].as_str().unwrap_or_else(|| panic!("{reference} is a reference"));
        api.pointer(reference.strip_prefix('#').unwrap()).unwrap_or_else(|| panic!("{reference} leads somewhere"))
    };
    let topics = BTreeMap::from([(CLAIM_TOPIC, "claim."), (PAYMENT_TOPIC, "payment.")]);
    let mut types = BTreeSet::from(["headers".to_owned()]);
    let mut addresses = BTreeSet::new();
    for channel in api["channels"].as_object().unwrap().values() {
        let address = channel["address"].as_str().unwrap();
        addresses.insert(address);
        assert_eq!(channel["bindings"]["kafka"]["topic"], address);
        assert_eq!(channel["bindings"]["kafka"]["partitions"], PARTITIONS);
        for (event_type, message) in channel["messages"].as_object().unwrap() {
            assert!(event_type.starts_with(topics[address]), "{event_type} on {address}");
            let message = follow(message);
            assert_eq!(message["name"], event_type.as_str());
            for (part, schema) in [("headers", "headers"), ("payload", event_type.as_str())] {
                assert_eq!(message[part]["schema"]["$ref"], format!("schemas/v1/{schema}.json"), "{event_type}");
            }
            follow(&message["bindings"]["kafka"]["key"]);
            types.insert(event_type.clone());
        }
    }
    assert_eq!(addresses, topics.keys().copied().collect());
    assert_eq!(types, schemas().into_keys().collect(), "every schema is used");
    for operation in api["operations"].as_object().unwrap().values() {
        let of_channel = follow(&operation["channel"])["messages"].as_object().unwrap().len();
        let said: BTreeSet<_> =
            operation["messages"].as_array().unwrap().iter().map(|m| follow(m).to_string()).collect();
        assert_eq!(said.len(), of_channel, "an operation speaks of every message of its channel");
    }
}

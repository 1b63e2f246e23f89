//! Sends every example in the OpenAPI document of a running service, and compares each answer with the document.

use jsonschema::Validator;
use reqwest::{Client, Method, Response};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The document of the service at `base`.
pub async fn document(base: &str) -> Value {
    let answer = reqwest::get(format!("{base}/openapi.json")).await.expect("answers");
    assert_eq!(answer.headers()["content-type"], "application/json");
    let document: Value = answer.json().await.expect("JSON");
    assert!(document["openapi"].as_str().is_some_and(|version| version.starts_with("3.1.")), "{}", document["openapi"]);
    document
}

/// The method, path and description of each operation.
pub fn operations(document: &Value) -> Vec<(Method, &str, &Value)> {
    let paths = document["paths"].as_object().expect("paths").iter();
    let all = paths.flat_map(|(path, item)| {
        item.as_object().expect("operations").iter().map(move |(method, operation)| {
            (method.to_uppercase().parse().expect("a method"), path.as_str(), operation)
        })
    });
    all.collect()
}

/// Sends every example. Returns the statuses of the answers by operation.
pub async fn send_examples(base: &str, document: &Value) -> BTreeMap<String, Vec<u16>> {
    let client = Client::builder().redirect(reqwest::redirect::Policy::none()).build().expect("a client");
    let mut statuses: BTreeMap<String, Vec<u16>> = BTreeMap::new();
    for (method, path, operation) in operations(document) {
        for (content_type, body) in bodies(operation) {
            let (mut url, mut query, mut headers) = (format!("{base}{path}"), Vec::new(), Vec::new());
            for parameter in operation["parameters"].as_array().into_iter().flatten() {
                let name = parameter["name"].as_str().expect("a name");
                let Some(example) = parameter.get("example").map(text) else {
                    assert_ne!(parameter["required"], true, "{method} {path}: {name} is required and has no example");
                    continue;
                };
                let schema = validator(document, &parameter["schema"]);
                assert!(schema.is_valid(&parameter["example"]), "{method} {path}: the example of {name}");
                match parameter["in"].as_str() {
                    Some("path") => url = url.replace(&format!("{{{name}}}"), &example),
                    Some("query") => query.push((name, example)),
                    Some("header") => headers.push((name, example)),
                    other => panic!("{name} in {other:?}"),
                }
            }
            let mut request = client.request(method.clone(), url).query(&query);
            for (name, value) in headers {
                request = request.header(name, value);
            }
            if let Some(content_type) = content_type {
                let schema = &operation["requestBody"]["content"][content_type]["schema"];
                assert!(
                    validator(document, schema).is_valid(&body),
                    "{method} {path}: an example does not fit its schema"
                );
                request = match body["file"].as_str().filter(|_| content_type == "multipart/form-data") {
                    Some(file) => {
                        request.header("content-type", format!("{content_type}; boundary=part")).body(format!(
                            "--part\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\n{file}\r\n--part--\r\n"
                        ))
                    }
                    None => request.header("content-type", content_type).body(text(&body)),
                };
            }
            let answer = request.send().await.expect("answers");
            assert!(operation["tags"].as_array().is_some_and(|tags| !tags.is_empty()), "{method} {path} has no tag");
            let id = operation["operationId"].as_str().expect("an id").to_owned();
            statuses.entry(id.clone()).or_default().push(answer.status().as_u16());
            assert_conforms(document, operation, &id, answer).await;
        }
    }
    statuses
}

/// Asserts that the operation describes the answer: status, headers, content type and body.
pub async fn assert_conforms(document: &Value, operation: &Value, id: &str, answer: Response) {
    let status = answer.status();
    let described = &operation["responses"][status.as_str()];
    assert!(described.is_object(), "{id}: {status} is not described");
    for name in described["headers"].as_object().into_iter().flat_map(|headers| headers.keys()) {
        assert!(answer.headers().contains_key(name), "{id}: {status} has no {name}");
    }
    let sent = answer.headers().get("content-type").map(|value| value.to_str().expect("text").to_owned());
    let body = answer.text().await.expect("a body");
    let Some(sent) = sent else {
        assert!(described.get("content").is_none() && body.is_empty(), "{id}: {status} has no body");
        return;
    };
    let kind = sent.split(';').next().expect("a part").trim();
    let content = &described["content"][kind];
    assert!(content.is_object(), "{id}: {status} has the content type {kind}, which is not described");
    let bodies: Vec<Value> = match kind {
        "application/x-ndjson" => body.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect(),
        kind if kind.ends_with("json") => vec![serde_json::from_str(&body).expect("JSON")],
        _ => vec![Value::String(body)],
    };
    let schema = validator(document, &content["schema"]);
    for body in bodies {
        let errors: Vec<String> = schema.iter_errors(&body).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{id}: {status} does not fit its schema: {errors:?} {body}");
    }
}

/// The bodies to send, each with its content type, or one request without a body.
fn bodies(operation: &Value) -> Vec<(Option<&str>, Value)> {
    let Some(contents) = operation["requestBody"]["content"].as_object() else { return vec![(None, Value::Null)] };
    let mut all = Vec::new();
    for (kind, content) in contents {
        let one = content.get("example").cloned();
        let named = content["examples"].as_object().into_iter().flatten().map(|(_, example)| example["value"].clone());
        let before = all.len();
        all.extend(one.into_iter().chain(named).map(|body| (Some(kind.as_str()), body)));
        assert!(all.len() > before, "a body of type {kind} has no example");
    }
    all
}

/// A schema of the document, with the schemas that it refers to.
fn validator(document: &Value, schema: &Value) -> Validator {
    let mut whole = schema.clone();
    whole["components"] = document["components"].clone();
    whole["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    jsonschema::validator_for(&whole).expect("a schema")
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

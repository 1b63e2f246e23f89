//! The list of settings: name, default, description and bounds.

use super::sources::{Sources, doc};
use quote::ToTokens;
use serde_json::Value;
use std::fmt::Write as _;

/// A section for each nested struct of `Settings`, with one entry a setting.
pub(super) fn list(sources: &Sources, defaults: &Value) -> String {
    let mut page = String::new();
    section(sources, "Settings", "", defaults, &mut page);
    page
}

fn section(sources: &Sources, name: &str, path: &str, defaults: &Value, page: &mut String) {
    let settings = sources.find_struct(name).unwrap_or_else(|| panic!("the struct {name} is in the sources"));
    let mut nested = Vec::new();
    for field in &settings.fields {
        let ident = field.ident.as_ref().expect("a named field").to_string();
        let (full, default) = (format!("{path}{}", ident.to_uppercase()), &defaults[&ident]);
        let type_name = last_segment(&field.ty);
        let description = doc(&field.attrs);
        assert!(!description.is_empty(), "{full} has a doc comment");
        if default.is_object() && sources.find_struct(&type_name).is_some() {
            nested.push((type_name, full, description, default));
        } else {
            let bounds = bounds(&field.attrs).map(|bounds| format!(" It {bounds}.")).unwrap_or_default();
            let _ = writeln!(page, "- `{full}` ({}): {description}{bounds}", shown(default));
        }
    }
    for (type_name, full, description, default) in nested {
        let _ = writeln!(page, "\n### `{full}`\n\n{description}\n");
        section(sources, &type_name, &format!("{full}__"), default, page);
    }
}

fn last_segment(ty: &syn::Type) -> String {
    match ty {
        syn::Type::Path(path) => path.path.segments.last().map(|segment| segment.ident.to_string()).unwrap_or_default(),
        _ => String::new(),
    }
}

/// The message of the `validate` attribute, such as `must be 1 to 1000`.
fn bounds(attributes: &[syn::Attribute]) -> Option<String> {
    let attribute = attributes.iter().find(|attribute| attribute.path().is_ident("validate"))?;
    let text = attribute.meta.to_token_stream().to_string();
    let message = text.split_once("message = \"")?.1.split_once('"')?.0;
    message.starts_with("must ").then(|| message.to_owned())
}

fn shown(default: &Value) -> String {
    match default {
        Value::Null => "none".to_owned(),
        Value::String(text) if text.is_empty() => "empty".to_owned(),
        Value::String(text) => format!("`{text}`"),
        Value::Number(number) => number.to_string(),
        other => format!("`{other}`"),
    }
}

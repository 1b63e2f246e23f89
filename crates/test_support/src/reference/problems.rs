//! The table of problem types: type, status and title.

use super::sources::Sources;
use quote::ToTokens;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use syn::visit::{self, Visit};

#[derive(Default)]
struct Found(BTreeSet<(String, String, String)>);

impl Visit<'_> for Found {
    fn visit_expr_call(&mut self, call: &syn::ExprCall) {
        let function = call.func.to_token_stream().to_string().replace(' ', "");
        if function.ends_with("Problem::new") || function == "Self::new" {
            let mut arguments = call.args.iter();
            if let (Some(status), Some(kind), Some(title)) = (arguments.next(), arguments.next(), arguments.next())
                && let (Some(kind), Some(title)) = (text(kind), text(title))
            {
                let status = status.to_token_stream().to_string().replace(' ', "");
                self.0.insert((kind, number(&status), title));
            }
        }
        visit::visit_expr_call(self, call);
    }
}

fn text(expression: &syn::Expr) -> Option<String> {
    match expression {
        syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(text), .. }) => Some(text.value()),
        _ => None,
    }
}

/// The status code of `StatusCode::NAME`.
fn number(status: &str) -> String {
    let name = status.rsplit("::").next().unwrap_or(status);
    let known = (100..600).filter_map(|code| reqwest::StatusCode::from_u16(code).ok()).find(|code| {
        code.canonical_reason().is_some_and(|reason| reason.replace([' ', '-'], "_").to_uppercase() == name)
    });
    known.map_or_else(|| name.to_lowercase(), |code| code.as_u16().to_string())
}

/// A row for each problem type.
pub(super) fn table(sources: &Sources) -> String {
    let mut found = Found::default();
    for file in sources.files() {
        found.visit_file(file);
    }
    let mut page = String::from("| type | status | title |\n|---|---|---|\n");
    for (kind, status, title) in &found.0 {
        let _ = writeln!(page, "| `{kind}` | {status} | {title} |");
    }
    page
}

//! The table of metrics: name, kind, labels and help text.

use super::sources::Sources;
use proc_macro2::{TokenStream, TokenTree};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use syn::visit::Visit;

#[derive(Default)]
struct Found {
    /// The kind and the labels of each metric that is recorded.
    recorded: BTreeMap<String, (&'static str, BTreeSet<String>)>,
    /// The help text of each metric that is described.
    described: BTreeMap<String, String>,
}

impl Visit<'_> for Found {
    fn visit_macro(&mut self, found: &syn::Macro) {
        let name = found.path.segments.last().map(|segment| segment.ident.to_string()).unwrap_or_default();
        let kind = ["counter", "gauge", "histogram"].into_iter().find(|kind| name.ends_with(kind));
        let Some(kind) = kind else { return };
        let literals = literals(found.tokens.clone());
        let Some((metric, _)) = literals.first() else { return };
        if name.starts_with("describe_") {
            let help = &literals.last().expect("a help text").0;
            self.described.insert(metric.clone(), help.clone());
        } else if name == kind {
            let labels = literals[1..].iter().filter(|(_, is_label)| *is_label).map(|(label, _)| label.clone());
            self.recorded.entry(metric.clone()).or_insert((kind, BTreeSet::new())).1.extend(labels);
        }
    }
}

/// The string literals among the arguments of a macro, and whether `=>` follows, which makes it a label.
fn literals(tokens: TokenStream) -> Vec<(String, bool)> {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let text = |token: &TokenTree| match token {
        TokenTree::Literal(literal) => {
            syn::parse_str::<syn::LitStr>(&literal.to_string()).ok().map(|text| text.value())
        }
        _ => None,
    };
    let is_label = |at: usize| matches!(tokens.get(at + 1), Some(TokenTree::Punct(punct)) if punct.as_char() == '=');
    tokens.iter().enumerate().filter_map(|(at, token)| text(token).map(|text| (text, is_label(at)))).collect()
}

/// A row for each metric.
pub(super) fn table(sources: &Sources) -> String {
    let mut found = Found::default();
    for file in sources.files() {
        found.visit_file(file);
    }
    let recorded: BTreeSet<&String> = found.recorded.keys().collect();
    let described: BTreeSet<&String> = found.described.keys().collect();
    assert_eq!(recorded, described, "every recorded metric is described, and no other");
    let mut page = String::from("| metric | kind | labels | what it is |\n|---|---|---|---|\n");
    for (name, (kind, labels)) in &found.recorded {
        let labels: Vec<String> = labels.iter().map(|label| format!("`{label}`")).collect();
        let _ = writeln!(page, "| `{name}` | {kind} | {} | {} |", labels.join(", "), found.described[name]);
    }
    page
}

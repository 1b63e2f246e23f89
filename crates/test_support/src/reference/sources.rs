//! The parsed source files of crates.

use std::path::{Path, PathBuf};

/// The syntax trees of all files under the `src` of some crates, in the order of their paths.
pub(super) struct Sources(Vec<syn::File>);

impl Sources {
    pub(super) fn of(crates: &[impl AsRef<Path>]) -> Self {
        let mut files = Vec::new();
        for directory in crates {
            collect(&directory.as_ref().join("src"), &mut files);
        }
        let parse = |file: &PathBuf| {
            let text = std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
            syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
        };
        Self(files.iter().map(parse).collect())
    }

    pub(super) fn files(&self) -> impl Iterator<Item = &syn::File> {
        self.0.iter()
    }

    /// The struct with this name.
    pub(super) fn find_struct(&self, name: &str) -> Option<&syn::ItemStruct> {
        self.files().flat_map(|file| &file.items).find_map(|item| match item {
            syn::Item::Struct(found) if found.ident == name => Some(found),
            _ => None,
        })
    }
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) {
    let entries = std::fs::read_dir(directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// The doc comment of an item, as one line.
pub(super) fn doc(attributes: &[syn::Attribute]) -> String {
    let lines = attributes.iter().filter_map(|attribute| match &attribute.meta {
        syn::Meta::NameValue(value) if value.path.is_ident("doc") => match &value.value {
            syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(text), .. }) => Some(text.value().trim().to_owned()),
            _ => None,
        },
        _ => None,
    });
    lines.collect::<Vec<_>>().join(" ").trim().to_owned()
}

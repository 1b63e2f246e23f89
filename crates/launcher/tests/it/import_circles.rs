//! The modules of a crate must not import each other in a circle: modules in a circle can be read, tested and moved only
//! together.
//!
//! The test reads the source as text and follows every `use` and every path that begins with `crate`, `super`, `self` or a child
//! module to the file that defines the named item. A parent that only re-exports a child does not import it. Unit tests, comments
//! and string literals do not count. A program beside a library (`main.rs`, `bin/`) is a crate of its own.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::path::Path;

/// The sources of a crate by their path in `src`.
type Sources = BTreeMap<String, String>;

/// A module: its file, and what the file imports and defines.
#[derive(Debug, Default)]
struct Module {
    /// Its file, in `src`.
    file: String,
    /// The imported or re-exported names, with their paths.
    names: BTreeMap<String, Vec<String>>,
    /// The modules that it re-exports by a glob.
    globs: Vec<Vec<String>>,
    /// The names that it defines.
    defined: BTreeSet<String>,
    /// Every path in its code.
    paths: BTreeSet<Vec<String>>,
}

/// A flattened `use`: the path, the local name, and whether it is public.
struct Import {
    path: Vec<String>,
    name: String,
    is_public: bool,
}

type Modules = BTreeMap<Vec<String>, Module>;

/// The source without comments and without the contents of string and character literals.
fn code_only(text: &str) -> String {
    let characters: Vec<char> = text.chars().collect();
    let at = |index: usize| characters.get(index).copied().unwrap_or('\0');
    let mut code = String::new();
    let mut index = 0;
    while index < characters.len() {
        let is_word = |character: char| character.is_alphanumeric() || character == '_';
        let begins_word = index == 0 || !is_word(at(index - 1));
        let hashes = |from: usize| characters[from.min(characters.len())..].iter().take_while(|c| **c == '#').count();
        if at(index) == '/' && at(index + 1) == '/' {
            while index < characters.len() && at(index) != '\n' {
                index += 1;
            }
        } else if at(index) == '/' && at(index + 1) == '*' {
            let mut depth = 0;
            loop {
                match (at(index), at(index + 1)) {
                    ('/', '*') => depth += 1,
                    ('*', '/') => depth -= 1,
                    _ => {
                        index += 1;
                        continue;
                    }
                }
                index += 2;
                if depth == 0 || index >= characters.len() {
                    break;
                }
            }
        } else if begins_word && at(index) == 'r' && at(index + 1 + hashes(index + 1)) == '"' {
            let end = format!("\"{}", "#".repeat(hashes(index + 1)));
            let rest: String = characters[index + 2 + hashes(index + 1)..].iter().collect();
            let length = rest.find(&end).map_or(rest.len(), |end_at| end_at + end.len());
            index += 2 + hashes(index + 1) + rest[..length].chars().count();
            code.push(' ');
        } else if at(index) == '"' {
            index += 1;
            while index < characters.len() && at(index) != '"' {
                index += if at(index) == '\\' { 2 } else { 1 };
            }
            index += 1;
            code.push(' ');
        } else if at(index) == '\'' && (at(index + 1) == '\\' || at(index + 2) == '\'') {
            // A character literal; otherwise it is a lifetime.
            index += if at(index + 1) == '\\' { 3 } else { 2 };
            while index < characters.len() && at(index) != '\'' {
                index += 1;
            }
            index += 1;
            code.push(' ');
        } else {
            code.push(at(index));
            index += 1;
        }
    }
    code
}

/// The tokens: words, `::`, and every other non-blank character by itself.
fn tokens(code: &str) -> Vec<String> {
    let mut tokens: Vec<String> = Vec::new();
    let mut was_word = false;
    let mut rest = code.chars().peekable();
    while let Some(character) = rest.next() {
        let is_word = character.is_alphanumeric() || character == '_';
        match tokens.last_mut() {
            Some(word) if is_word && was_word => word.push(character),
            _ if character == ':' && rest.next_if_eq(&':').is_some() => tokens.push("::".to_owned()),
            _ if character.is_whitespace() => {}
            _ => tokens.push(character.to_string()),
        }
        was_word = is_word;
    }
    tokens
}

/// The index after the bracket that closes the one at `open`.
fn behind_bracket(tokens: &[String], open: usize) -> usize {
    let mut depth = 0;
    for (index, token) in tokens.iter().enumerate().skip(open) {
        match token.as_str() {
            "{" | "(" | "[" => depth += 1,
            "}" | ")" | "]" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return index + 1;
        }
    }
    tokens.len()
}

/// The tokens without items that exist only for tests.
fn without_tests(tokens: &[String]) -> Vec<String> {
    const FOR_TESTS: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let mut kept = Vec::new();
    let mut index = 0;
    while index < tokens.len() {
        if !tokens[index..].iter().map(String::as_str).take(FOR_TESTS.len()).eq(FOR_TESTS) {
            kept.push(tokens[index].clone());
            index += 1;
            continue;
        }
        // The item ends with its first block, or with a semicolon before that.
        while index < tokens.len() && tokens[index] != "{" && tokens[index] != ";" {
            index = if matches!(tokens[index].as_str(), "(" | "[") { behind_bracket(tokens, index) } else { index + 1 };
        }
        index = if index < tokens.len() && tokens[index] == "{" { behind_bracket(tokens, index) } else { index + 1 };
    }
    kept
}

/// Flattens the tokens between `use` and its semicolon.
fn flatten(tree: &[String], before: &[String], is_public: bool, imports: &mut Vec<Import>) {
    let mut path = before.to_vec();
    let mut name = None;
    let mut index = 0;
    while index < tree.len() {
        match tree[index].as_str() {
            "::" => {}
            "{" => {
                let end = behind_bracket(tree, index);
                let mut from = index + 1;
                while from < end {
                    let mut to = from;
                    while to < end - 1 && tree[to] != "," {
                        to = if tree[to] == "{" { behind_bracket(tree, to) } else { to + 1 };
                    }
                    flatten(&tree[from..to], &path, is_public, imports);
                    from = to + 1;
                }
                return;
            }
            "as" => {
                name = tree.get(index + 1).cloned();
                break;
            }
            "self" if !path.is_empty() => {}
            word => path.push(word.to_owned()),
        }
        index += 1;
    }
    if let Some(last) = path.last().cloned()
        && !tree.is_empty()
    {
        imports.push(Import { name: name.unwrap_or(last), path, is_public });
    }
}

/// The path from the root of the crate, if it is a path of this crate. `base` is the module that contains it.
fn absolute(path: &[String], base: &[String], modules: &BTreeSet<Vec<String>>) -> Option<Vec<String>> {
    let mut from = base.to_vec();
    let mut rest = path;
    match path.first()?.as_str() {
        "crate" => (from, rest) = (Vec::new(), &path[1..]),
        "self" | "super" => {
            while let Some(first @ ("self" | "super")) = rest.first().map(String::as_str) {
                if first == "super" {
                    from.pop();
                }
                rest = &rest[1..];
            }
        }
        child => {
            from.push(child.to_owned());
            if !modules.contains(&from) {
                return None;
            }
            from.pop();
        }
    }
    from.extend(rest.iter().cloned());
    Some(from)
}

/// Reads the file of the module `place`.
fn read(file: &str, text: &str, place: &[String], modules: &BTreeSet<Vec<String>>) -> Module {
    let tokens = without_tests(&tokens(&code_only(text)));
    let token = |index: usize| tokens.get(index).map_or("", String::as_str);
    let is_word = |token: &str| token.starts_with(|first: char| first.is_alphabetic() || first == '_');
    let mut module = Module { file: file.to_owned(), ..Module::default() };
    let mut imports: Vec<(Import, Vec<String>)> = Vec::new();
    let mut used: BTreeSet<String> = BTreeSet::new();
    // The modules inside the file, with the bracket depth at which each begins.
    let mut inside: Vec<(String, usize)> = Vec::new();
    let (mut depth, mut index) = (0_usize, 0);
    while index < tokens.len() {
        let base: Vec<String> = place.iter().chain(inside.iter().map(|(name, _)| name)).cloned().collect();
        match token(index) {
            "{" => depth += 1,
            "}" => {
                depth = depth.saturating_sub(1);
                inside.retain(|(_, began)| *began < depth + 1);
            }
            // `pub(in crate::…)` imports nothing.
            "pub" if token(index + 1) == "(" => {
                index = behind_bracket(&tokens, index + 1);
                if token(index) == "use" {
                    index -= 1;
                } else {
                    continue;
                }
            }
            "mod" if is_word(token(index + 1)) => {
                if token(index + 2) == "{" {
                    inside.push((tokens[index + 1].clone(), depth + 1));
                }
                index += 1;
            }
            // `use<'a>` is not an import.
            "use" if token(index + 1) != "<" => {
                let end = (index..tokens.len()).find(|at| token(*at) == ";").unwrap_or(tokens.len());
                let is_public = index > 0 && matches!(token(index - 1), "pub" | ")");
                let mut flat = Vec::new();
                flatten(&tokens[index + 1..end], &[], is_public, &mut flat);
                imports.extend(flat.into_iter().map(|import| (import, base.clone())));
                index = end;
            }
            "fn" | "struct" | "enum" | "trait" | "const" | "static" | "type" | "union" if is_word(token(index + 1)) => {
                module.defined.insert(tokens[index + 1].clone());
                index += 1;
            }
            "macro_rules" => {
                module.defined.insert(token(index + 2).to_owned());
                index += 2;
            }
            word if is_word(word) => {
                let mut path = vec![word.to_owned()];
                while token(index + 1) == "::" && is_word(token(index + 2)) {
                    path.push(tokens[index + 2].clone());
                    index += 2;
                }
                if path.len() > 1 {
                    module.paths.extend(absolute(&path, &base, modules));
                }
                used.extend(path);
            }
            _ => {}
        }
        index += 1;
    }
    for (Import { mut path, name, is_public }, base) in imports {
        let is_glob = path.last().is_some_and(|last| last == "*");
        if is_glob {
            path.pop();
        }
        let Some(path) = absolute(&path, &base, modules) else { continue };
        let is_of_child = path.starts_with(place) && path.len() > place.len();
        let is_only_passed_on = is_public && is_of_child && !used.contains(&name);
        if !is_only_passed_on {
            module.paths.insert(path.clone());
        }
        if is_glob && is_public {
            module.globs.push(path);
        } else if !is_glob && base == place {
            module.names.insert(name, path);
        }
    }
    module
}

/// The module that defines the item at a path.
fn home(
    path: &[String],
    modules: &Modules,
    macros: &BTreeMap<String, Vec<String>>,
    most: usize,
) -> Option<Vec<String>> {
    let most = most.checked_sub(1)?;
    let mut at = Vec::new();
    for (index, name) in path.iter().enumerate() {
        let child: Vec<String> = [at.as_slice(), std::slice::from_ref(name)].concat();
        if modules.contains_key(&child) {
            at = child;
            continue;
        }
        let module = modules.get(&at)?;
        if module.defined.contains(name) {
            return Some(at);
        }
        let rest = &path[index + 1..];
        if let Some(named) = module.names.get(name) {
            return home(&[named, rest].concat(), modules, macros, most);
        }
        if let Some(named) = macros.get(name).filter(|_| at.is_empty()) {
            return Some(named.clone());
        }
        let behind = module.globs.iter().map(|glob| [glob.as_slice(), &path[index..]].concat());
        return behind.filter_map(|path| home(&path, modules, macros, most)).next().or(Some(at));
    }
    Some(at)
}

/// The imports between files, by the definitions that they name.
fn imports(sources: &Sources) -> BTreeMap<String, BTreeSet<String>> {
    let has_library = sources.contains_key("lib.rs");
    let place = |file: &str| -> Option<Vec<String>> {
        let mut names: Vec<String> = file.strip_suffix(".rs")?.split('/').map(str::to_owned).collect();
        let last = names.last()?.clone();
        let is_program = names[0] == "bin" || (file == "main.rs" && has_library);
        if last == "mod" || file == "lib.rs" || file == "main.rs" {
            names.pop();
        }
        (!is_program).then_some(names)
    };
    let places: BTreeSet<Vec<String>> = sources.keys().filter_map(|file| place(file)).collect();
    let modules: Modules = sources
        .iter()
        .filter_map(|(file, text)| {
            let place = place(file)?;
            let module = read(file, text, &place, &places);
            Some((place, module))
        })
        .collect();
    let mut macros = BTreeMap::new();
    for (place, module) in &modules {
        let text = &sources[&module.file];
        let named = text.split("macro_rules! ").skip(1).filter_map(|rest| rest.split([' ', '{']).next());
        macros.extend(named.map(|name| (name.to_owned(), place.clone())));
    }
    let mut imports = BTreeMap::new();
    for module in modules.values() {
        let homes = module.paths.iter().filter_map(|path| home(path, &modules, &macros, 20));
        let files = homes.filter_map(|home| Some(modules.get(&home)?.file.clone()));
        imports.insert(module.file.clone(), files.filter(|file| *file != module.file).collect());
    }
    imports
}

/// The shortest cycle of imports through a file, if any; it ends with that file.
fn circle_through<'a>(start: &'a str, imports: &'a BTreeMap<String, BTreeSet<String>>) -> Option<Vec<&'a str>> {
    let mut came_from: BTreeMap<&str, &str> = BTreeMap::new();
    let mut waiting = VecDeque::from([start]);
    while let Some(file) = waiting.pop_front() {
        for next in &imports[file] {
            if next == start {
                let mut circle = vec![start, file];
                while let Some(before) = came_from.get(circle[circle.len() - 1]) {
                    circle.push(before);
                }
                circle.reverse();
                return Some(circle);
            }
            if !came_from.contains_key(next.as_str()) {
                came_from.insert(next, file);
                waiting.push_back(next);
            }
        }
    }
    None
}

/// A sentence for each circle of a crate.
fn complaints(name: &str, sources: &Sources) -> Vec<String> {
    let imports = imports(sources);
    let mut complaints = Vec::new();
    let mut reported: BTreeSet<Vec<&str>> = BTreeSet::new();
    for file in imports.keys() {
        let Some(circle) = circle_through(file, &imports) else { continue };
        let mut files = circle[1..].to_vec();
        files.sort_unstable();
        if reported.insert(files) {
            complaints.push(format!(
                "{name}: {} is a circle of imports: move what is needed from both sides into a file that imports neither.",
                circle.join(" imports ")
            ));
        }
    }
    complaints
}

fn sources_under(directory: &Path, within: &str, sources: &mut Sources) -> io::Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let name = format!("{within}{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() {
            sources_under(&entry.path(), &format!("{name}/"), sources)?;
        } else if name.ends_with(".rs") {
            sources.insert(name, std::fs::read_to_string(entry.path())?);
        }
    }
    Ok(())
}

#[test]
fn no_modules_import_each_other_in_a_circle() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut found = Vec::new();
    let mut files = 0;
    for entry in std::fs::read_dir(crates).unwrap().map(Result::unwrap).filter(|entry| entry.path().is_dir()) {
        let mut sources = Sources::new();
        sources_under(&entry.path().join("src"), "", &mut sources).unwrap();
        files += sources.len();
        found.extend(complaints(entry.file_name().to_str().unwrap(), &sources));
    }
    assert!(files > 200, "{files} files");
    found.sort();
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

/// The complaints about a crate of these files.
fn complaints_about(files: &[(&str, &str)]) -> Vec<String> {
    complaints("planted", &files.iter().map(|(file, text)| ((*file).to_owned(), (*text).to_owned())).collect())
}

fn assert_circle(circle: &str, files: &[(&str, &str)]) {
    let complaints = complaints_about(files);
    assert!(
        complaints.len() == 1 && complaints[0].contains(&format!(": {circle} is a circle")),
        "{circle}: {complaints:?}"
    );
}

#[test]
fn a_planted_circle_is_found_however_it_is_written() {
    let two = "a.rs imports b.rs imports a.rs";
    assert_circle(two, &[("lib.rs", "mod a; mod b;"), ("a.rs", "use crate::b::B;"), ("b.rs", "use super::a::A;")]);
    assert_circle(
        two,
        &[("lib.rs", ""), ("a.rs", "use {std::fmt, crate::{b::{B, C}}};"), ("b.rs", "fn f() { crate::a::g(); }")],
    );
    assert_circle(two, &[("lib.rs", ""), ("a.rs", "pub use crate::b::B;"), ("b.rs", "use crate::a;")]);
    assert_circle(
        "a.rs imports b.rs imports c.rs imports a.rs",
        &[("lib.rs", ""), ("a.rs", "use crate::b::B;"), ("b.rs", "use crate::c::C;"), ("c.rs", "use crate::a::A;")],
    );
    // Through re-exports of the root.
    assert_circle(
        two,
        &[
            ("lib.rs", "mod a; mod b; pub use a::A; pub use b::*;"),
            ("a.rs", "use crate::B; pub struct A;"),
            ("b.rs", "use crate::A; pub struct B;"),
        ],
    );
    // Between a parent and its child.
    assert_circle(
        "a/b.rs imports a/mod.rs imports a/b.rs",
        &[("lib.rs", ""), ("a/mod.rs", "mod b; pub struct A; fn f() { b::g() }"), ("a/b.rs", "use super::A;")],
    );
    assert_circle(
        "a/b.rs imports a/mod.rs imports a/b.rs",
        &[
            ("lib.rs", ""),
            ("a/mod.rs", "mod b; pub use b::B; pub struct A(B);"),
            ("a/b.rs", "use super::A; pub struct B;"),
        ],
    );
    // From a module inside the file, which is one more level up; and by a macro.
    assert_circle(
        two,
        &[("lib.rs", ""), ("a.rs", "mod inner { use super::super::b::B; }"), ("b.rs", "use crate::a::A;")],
    );
    assert_circle(
        two,
        &[
            ("lib.rs", ""),
            ("a.rs", "#[macro_export]\nmacro_rules! shout { () => {} }\nuse crate::b::B;"),
            ("b.rs", "use crate::shout;"),
        ],
    );
}

#[test]
fn harmless_imports_are_not_circles() {
    let none: [String; 0] = [];
    // A parent may re-export the items of its children, and they may import them from it.
    let parent = "mod b; mod c; pub use b::B; pub use c::C; pub const LIMIT: u8 = 1;";
    let children = [("lib.rs", "mod a;"), ("a/mod.rs", parent)];
    let b = ("a/b.rs", "use super::{C, LIMIT}; pub struct B(C);");
    assert_eq!(complaints_about(&[children[0], children[1], b, ("a/c.rs", "pub struct C;")]), none);
    // Tests, comments, string literals, visibility, and other crates.
    for a in [
        "#[cfg(test)]\nmod tests { use crate::b::B; fn f() { crate::b::g(\"}\"); } }",
        "#[cfg(test)]\nuse crate::b::B;",
        "//! See [`B`](crate::b::B).\n/* use crate::b::B; */",
        "const A: &str = \"use crate::b::B;\"; const B: &str = r#\"\"crate::b::B\"#; const C: char = '\"';",
        "pub(in crate::b) struct A;",
        "use b::B; fn f() -> impl Sized + use<'a> { other::b::g() }",
    ] {
        assert_eq!(complaints_about(&[("lib.rs", ""), ("a.rs", a), ("b.rs", "use crate::a::A;")]), none, "{a}");
    }
    // A program is a crate of its own.
    assert_eq!(complaints_about(&[("lib.rs", "mod a;"), ("a.rs", ""), ("main.rs", "mod a; use a::A;")]), none);
}

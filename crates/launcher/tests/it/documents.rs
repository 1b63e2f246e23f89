//! Checks the READMEs of the workspace: size limits, links, and the files and tests that they name.

use launcher::environment::Environment;
use launcher::local_plan::{Options, Plan};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The root of the workspace.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the workspace exists")
}

pub fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The READMEs whose links are checked.
pub fn documents() -> Vec<PathBuf> {
    let root = root();
    let mut documents = vec![root.join("README.md"), root.join("crates/README.md"), root.join("deploy/README.md")];
    let crates = std::fs::read_dir(root.join("crates")).expect("it can be listed");
    documents
        .extend(crates.map(|entry| entry.expect("an entry").path().join("README.md")).filter(|path| path.exists()));
    documents
}

/// Every file of the repository, relative to its root, without build and runtime files.
pub fn files() -> Vec<String> {
    fn list(directory: &Path, root: &Path, into: &mut Vec<String>) {
        for entry in std::fs::read_dir(directory).expect("it can be listed") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_symlink() || name.starts_with('.') || name == "target" {
                continue;
            }
            if path.is_dir() {
                list(&path, root, into);
            } else {
                into.push(path.strip_prefix(root).expect("below it").to_string_lossy().into_owned());
            }
        }
    }
    let (root, mut files) = (root(), Vec::new());
    list(&root, &root, &mut files);
    files
}

/// A Markdown text without its fenced blocks, and the blocks: the language and the text of each.
pub fn split_fences(text: &str) -> (String, Vec<(String, String)>) {
    let (mut prose, mut blocks, mut inside) = (String::new(), Vec::new(), None);
    for line in text.lines() {
        match (line.strip_prefix("```"), &mut inside) {
            (Some(language), None) => inside = Some((language.trim().to_owned(), String::new())),
            (Some(_), Some(_)) => blocks.extend(inside.take()),
            (None, Some((_, block))) => *block += &format!("{line}\n"),
            (None, None) => prose += &format!("{line}\n"),
        }
    }
    assert!(inside.is_none(), "a fence is not closed");
    (prose, blocks)
}

/// The anchor that GitHub generates for the first heading of this text.
fn slug(heading: &str) -> String {
    let kept = heading.trim().to_lowercase();
    let kept = kept.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

/// The text under the heading with this anchor, up to the next heading, without its fenced blocks.
fn section(text: &str, anchor: &str) -> String {
    let prose = split_fences(text).0;
    let lines = prose.lines().skip_while(|line| !line.starts_with('#') || slug(line.trim_start_matches('#')) != anchor);
    lines.skip(1).take_while(|line| !line.starts_with('#')).map(|line| format!("{line}\n")).collect()
}

/// The anchors that GitHub generates for the headings of a Markdown text.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut anchors = BTreeSet::new();
    for line in split_fences(text).0.lines() {
        let heading = line.trim_start_matches('#');
        if heading.len() == line.len() || !heading.starts_with(' ') {
            continue;
        }
        let slug = slug(heading);
        let numbered = |n: usize| if n == 0 { slug.clone() } else { format!("{slug}-{n}") };
        let free = (0..).map(numbered).find(|anchor| !anchors.contains(anchor));
        anchors.extend(free);
    }
    anchors
}

/// The link targets of a Markdown text.
fn links(text: &str) -> Vec<String> {
    let prose = split_fences(text).0;
    prose.split("](").skip(1).filter_map(|rest| Some(rest.split_once(')')?.0.to_owned())).collect()
}

/// The texts in backticks.
pub fn in_backticks(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// The invariants of the map: entries that begin with `- **number**`, without these first characters.
fn invariants(map: &str) -> Vec<String> {
    let mut invariants: Vec<String> = Vec::new();
    let mut inside = false;
    for line in map.lines() {
        if let Some(first) = line.strip_prefix("- **").filter(|rest| rest.starts_with(|c: char| c.is_ascii_digit())) {
            invariants.push(first.to_owned());
            inside = true;
        } else if let (true, true, Some(last)) = (inside, line.starts_with("  "), invariants.last_mut()) {
            last.push('\n');
            last.push_str(line);
        } else {
            inside = false;
        }
    }
    invariants
}

#[test]
fn the_readme_is_short_and_its_tables_are_narrow() {
    let text = read(&root().join("README.md"));
    assert!(text.lines().count() <= 200, "README.md has {} lines: move some elsewhere", text.lines().count());
    assert!(text.len() <= 14 * 1024, "README.md has {} bytes: move some elsewhere", text.len());
    for document in documents() {
        for line in read(&document).lines().filter(|line| line.starts_with('|')) {
            let length = line.chars().count();
            assert!(
                length <= 205,
                "{}: a row has {length} characters, make a section of it: {line}",
                document.display()
            );
        }
    }
}

#[test]
fn every_link_leads_to_an_existing_file_and_heading() {
    let mut followed = 0;
    let mut broken = Vec::new();
    for document in documents() {
        let text = read(&document);
        for link in links(&text).into_iter().filter(|link| !link.contains("://")) {
            let (path, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let directory = document.parent().expect("a file is in a directory");
            let target = if path.is_empty() { document.clone() } else { directory.join(path) };
            let leads = target.exists() && (anchor.is_empty() || anchors(&read(&target)).contains(anchor));
            if !leads {
                broken.push(format!("{}: {link}", document.display()));
            }
            followed += 1;
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
    assert!(followed > 100, "links are found: {followed}");
}

/// A newcomer's questions: README answers each in a sentence with one link, which leads to a short passage with the details.
#[test]
fn common_questions_are_answered_one_link_from_the_readme() {
    let root = root();
    let readme = read(&root.join("README.md"));
    for (question, details) in [
        ("How do I add a rule?", vec!["`REGISTRY`", "rules_md", "`passes`", "checks.rs"]),
        ("What happens when Kafka is down?", vec!["accepts claims as usual", "outbox", "sweepers", "`/readyz`"]),
        ("Where is a claim's net fee computed?", vec!["impl Line {", "impl Claim {", "pub fn net_fee(&self) -> Cents"]),
    ] {
        let start = format!("- **{question}**");
        let answer = readme.lines().find(|line| line.starts_with(&start)).expect(question);
        let [link] = &links(answer)[..] else { panic!("one link leads on: {answer}") };
        let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
        let text = read(&root.join(path));
        let passage = if anchor.is_empty() { text } else { section(&text, anchor) };
        assert!(anchor.is_empty() || passage.lines().count() <= 15, "{link} is a short passage");
        for detail in details {
            assert!(passage.contains(detail), "{link} does not say {detail}");
        }
    }
}

#[test]
fn the_readme_shows_what_runserver_prints() {
    let options = Options { postgres: false, kafka: false, payments: 1 };
    let plan = Plan::new(options, Environment::of(&[]), "secret").expect("the defaults can be used");
    let text = read(&root().join("README.md"));
    assert!(text.contains(plan.invitation().trim()), "README.md should show: {}", plan.invitation());
}

/// Whether a path of the map is that of this file: from a crate on it is whole, and otherwise it is the end of one.
fn is_at(path: &str, file: &str) -> bool {
    let is_crate = |name: &str| root().join("crates").join(name).join("Cargo.toml").exists();
    if path.split('/').next().is_some_and(is_crate) {
        file == format!("crates/{path}")
    } else {
        file == path || file.ends_with(&format!("/{path}"))
    }
}

fn is_source(name: &str) -> bool {
    [".rs", ".sh", ".toml"].iter().any(|end| name.ends_with(end) && name.len() > end.len())
        && !name.contains(['<', '*', ' '])
}

#[test]
fn the_files_named_in_the_map_exist() {
    let files = files();
    let map = read(&root().join("crates/README.md"));
    let prose = split_fences(&map).0;
    let named: BTreeSet<&str> = in_backticks(&prose).into_iter().filter(|name| is_source(name)).collect();
    assert!(named.len() > 100, "paths are found: {}", named.len());
    for path in named {
        assert!(files.iter().any(|file| is_at(path, file)), "crates/README.md names {path}, which does not exist");
    }
}

/// The map names code as `name` in `file`, or as `name` (`file`).
#[test]
fn the_code_named_in_the_map_is_in_its_file() {
    let (root, files) = (root(), files());
    let prose = split_fences(&read(&root.join("crates/README.md"))).0;
    let parts: Vec<&str> = prose.split('`').collect();
    let (mut checked, mut missing) = (0, Vec::new());
    for named in parts[1..].windows(3).step_by(2) {
        let [code, " in " | " (", path] = named else { continue };
        let name = code.rsplit("::").next().unwrap_or_default();
        if !is_source(path) || is_source(code) || !name.chars().all(|c| c.is_alphanumeric() || c == '_') {
            continue;
        }
        checked += 1;
        let texts = files.iter().filter(|file| is_at(path, file)).map(|file| read(&root.join(file)));
        let is_there = |text: String| text.split(|c: char| !(c.is_alphanumeric() || c == '_')).any(|word| word == name);
        if !texts.into_iter().any(is_there) {
            missing.push(format!("{code} in {path}"));
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
    assert!(checked > 150, "names are found: {checked}");
}

#[test]
fn the_tests_of_the_invariants_exist() {
    let (root, files) = (root(), files());
    let map = read(&root.join("crates/README.md"));
    let invariants = invariants(&map);
    assert!(invariants.len() >= 60, "invariants are found: {}", invariants.len());
    let numbers: BTreeSet<&str> = invariants.iter().filter_map(|entry| entry.split("**").next()).collect();
    assert_eq!(numbers.len(), invariants.len(), "each invariant has a number of its own");
    let mut missing = Vec::new();
    for invariant in &invariants {
        let proof = invariant.split_once("\n  Test").map_or("", |(_, proof)| proof);
        let (mut text, mut tests) = (String::new(), Vec::new());
        for name in in_backticks(invariant) {
            let path = format!("crates/{name}");
            if name.ends_with(".rs") || name.ends_with('/') {
                let named =
                    files.iter().filter(|file| **file == path || (name.ends_with('/') && file.starts_with(&path)));
                named.for_each(|file| text += &read(&root.join(file)));
            }
        }
        for name in in_backticks(proof) {
            let is_test =
                name.contains('_') && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
            if is_test {
                tests.push(name);
            }
        }
        if tests.is_empty() && !proof.contains("/tests/") {
            missing.push(format!("a test of the invariant: {invariant}"));
        }
        tests.retain(|test| !text.contains(&format!("fn {test}(")));
        missing.extend(tests.iter().map(|test| format!("{test} in a file of the invariant: {invariant}")));
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

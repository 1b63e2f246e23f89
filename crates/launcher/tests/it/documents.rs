//! The READMEs of the workspace: the first one keeps to its limits, their links lead somewhere, and what they name is there.

use launcher::environment::Environment;
use launcher::local_plan::{Options, Plan};
use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The root of the workspace.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the workspace is there")
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The READMEs whose links are followed.
fn documents() -> Vec<PathBuf> {
    let root = root();
    let mut documents = vec![root.join("README.md"), root.join("crates/README.md"), root.join("deploy/README.md")];
    let crates = std::fs::read_dir(root.join("crates")).expect("it can be listed");
    documents
        .extend(crates.map(|entry| entry.expect("an entry").path().join("README.md")).filter(|path| path.exists()));
    documents
}

/// Every file of the repository, relative to its root. What is built or run is left out.
fn files() -> Vec<String> {
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

/// A Markdown text without its fenced blocks, and these: the language of each, and its text.
fn split_fences(text: &str) -> (String, Vec<(String, String)>) {
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

/// The anchors of a Markdown text, as GitHub makes them of its headings.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut anchors = BTreeSet::new();
    for line in split_fences(text).0.lines() {
        let heading = line.trim_start_matches('#');
        if heading.len() == line.len() || !heading.starts_with(' ') {
            continue;
        }
        let kept = heading.trim().to_lowercase();
        let kept = kept.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        let slug: String = kept.map(|c| if c == ' ' { '-' } else { c }).collect();
        let numbered = |n: usize| if n == 0 { slug.clone() } else { format!("{slug}-{n}") };
        let free = (0..).map(numbered).find(|anchor| !anchors.contains(anchor));
        anchors.extend(free);
    }
    anchors
}

/// Where the links of a Markdown text lead.
fn links(text: &str) -> Vec<String> {
    let prose = split_fences(text).0;
    prose.split("](").skip(1).filter_map(|rest| Some(rest.split_once(')')?.0.to_owned())).collect()
}

/// What stands in backticks.
fn in_backticks(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

#[test]
fn the_readme_is_short_and_its_tables_are_narrow() {
    let text = read(&root().join("README.md"));
    assert!(text.lines().count() <= 200, "README.md has {} lines: move what is more", text.lines().count());
    assert!(text.len() <= 14 * 1024, "README.md has {} bytes: move what is more", text.len());
    for document in documents().iter().filter(|path| !path.ends_with("crates/README.md")) {
        for line in read(document).lines().filter(|line| line.starts_with('|')) {
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
fn every_link_leads_to_a_file_and_a_heading_that_are_there() {
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

#[test]
fn the_commands_of_the_readme_are_there() {
    let root = root();
    let text = read(&root.join("README.md"));
    let commands = read(&root.join("develop_local.sh"));
    let named: BTreeSet<String> = text
        .split("bash develop_local.sh ")
        .skip(1)
        .map(|rest| rest.chars().take_while(char::is_ascii_alphanumeric).collect())
        .collect();
    assert_eq!(named, ["runserver", "test", "docker", "dockercompose"].map(str::to_owned).into());
    for command in named {
        assert!(commands.contains(&format!("'{command} '*")), "develop_local.sh knows no {command}");
    }
    for file in text.split("--data-binary @").skip(1).filter_map(|rest| rest.split_whitespace().next()) {
        assert!(root.join(file).exists(), "{file}");
    }
    let (prose, blocks) = split_fences(&text);
    let indented = prose.lines().filter(|line| line.starts_with("    ")).map(str::to_owned);
    let shell: Vec<String> = indented
        .filter(|line| !line.contains("net fee ="))
        .chain(blocks.into_iter().filter(|(language, _)| language == "sh").map(|(_, block)| block))
        .collect();
    assert!(shell.len() >= 3, "commands are found: {shell:?}");
    for command in shell {
        let mut bash = Command::new("bash").arg("-n").stdin(Stdio::piped()).spawn().expect("bash starts");
        bash.stdin.take().expect("piped").write_all(command.as_bytes()).expect("it reads");
        assert!(bash.wait().expect("it ends").success(), "bash cannot read {command}");
    }
}

#[test]
fn the_readme_shows_what_runserver_prints() {
    let options = Options { postgres: false, kafka: false, payments: 1 };
    let plan = Plan::new(options, Environment::of(&[]), "secret").expect("the defaults can be used");
    let text = read(&root().join("README.md"));
    assert!(text.contains(plan.invitation().trim()), "README.md should show: {}", plan.invitation());
}

#[test]
fn the_files_that_the_map_names_are_there() {
    let files = files();
    let map = read(&root().join("crates/README.md"));
    let is_path = |name: &&str| {
        let a_file = [".rs", ".sh", ".toml"].iter().any(|end| name.ends_with(end) && name.len() > end.len());
        a_file && !name.contains(['<', '*', ' '])
    };
    let prose = split_fences(&map).0;
    let named: BTreeSet<&str> = in_backticks(&prose).into_iter().filter(is_path).collect();
    assert!(named.len() > 100, "paths are found: {}", named.len());
    let is_crate = |name: &str| root().join("crates").join(name).join("Cargo.toml").exists();
    for path in named {
        // A path from a crate is exact; one that is named beside another file, or in a section about a crate, is the end of one.
        let first = path.split('/').next().unwrap_or_default();
        let there = if is_crate(first) {
            files.contains(&format!("crates/{path}"))
        } else {
            files.iter().any(|file| file == path || file.ends_with(&format!("/{path}")))
        };
        assert!(there, "crates/README.md names {path}, which is not there");
    }
}

#[test]
fn the_tests_of_the_invariants_are_where_their_rows_say() {
    let (root, files) = (root(), files());
    let map = read(&root.join("crates/README.md"));
    let is_row = |line: &&str| line.strip_prefix("| ").is_some_and(|row| row.starts_with(|c: char| c.is_ascii_digit()));
    let rows: Vec<&str> = map.lines().filter(is_row).collect();
    assert!(rows.len() >= 60, "rows are found: {}", rows.len());
    let mut missing = Vec::new();
    for row in rows {
        let proof = row.trim_end_matches([' ', '|']).rsplit(" | ").next().unwrap_or_default();
        let (mut text, mut tests) = (String::new(), Vec::new());
        for name in in_backticks(row) {
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
            missing.push(format!("a test in the row: {row}"));
        }
        tests.retain(|test| !text.contains(&format!("fn {test}(")));
        missing.extend(tests.iter().map(|test| format!("{test} in a file of the row: {row}")));
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

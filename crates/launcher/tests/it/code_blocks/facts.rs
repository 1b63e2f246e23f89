//! What exists, as the sources define it: crates, tests, routes, settings and the ports of the programs.

use crate::documents::{files, read, root};
use std::collections::BTreeSet;
use std::sync::LazyLock;

/// The programs that serve HTTP and have settings, by crate, with the start of their environment variables.
pub const PROGRAMS: [(&str, &str); 3] =
    [("claim_process", "CLAIM_PROCESS__"), ("payments", "PAYMENTS__"), ("simulated_gateway", "SIMULATED_GATEWAY__")];

/// Whether a file of the repository has this path, relative to the root.
pub fn is_file(path: &str) -> bool {
    files().iter().any(|file| file == path)
}

/// The text of a file of the repository.
pub fn text(path: &str) -> String {
    read(&root().join(path))
}

/// The texts of all Rust sources in a directory, with their paths from there.
fn sources(directory: &str) -> Vec<(String, String)> {
    let inside = |file: &String| Some(file.strip_prefix(directory)?.trim_start_matches('/').to_owned());
    let rust = files().into_iter().filter(|file| file.ends_with(".rs"));
    rust.filter_map(|file| Some((inside(&file)?, text(&file)))).collect()
}

/// The Rust sources in a directory as one text.
pub fn source_text(directory: &str) -> String {
    sources(directory).into_iter().map(|(_, text)| text).collect()
}

/// The methods and paths that each program serves, as in `GET /v1/claims/{id}`. A segment such as `{id}` stands for any.
static ROUTES: LazyLock<Vec<(&str, Vec<String>)>> =
    LazyLock::new(|| PROGRAMS.map(|(program, _)| (program, routes(program))).into());

fn routes(program: &str) -> Vec<String> {
    let mut routes = Vec::new();
    for directory in [program, "operator_api", "service_runtime"] {
        let text = source_text(&format!("crates/{directory}/src/"));
        for attribute in text.split("#[utoipa::path(").skip(1) {
            if let Some((method, rest)) = attribute.split_once(", path = \"") {
                let path = rest.split('"').next().unwrap_or_default();
                routes.push(format!("{} {path}", method.to_uppercase()));
            }
        }
        // The simulated gateway has no API document.
        for resource in text.split("web::resource(\"").skip(1) {
            let (path, rest) = resource.split_once('"').unwrap_or_default();
            let rest = rest.split(".default_service").next().unwrap_or_default();
            for method in ["get", "post"].into_iter().filter(|method| rest.contains(&format!("web::{method}()"))) {
                routes.push(format!("{} {path}", method.to_uppercase()));
            }
        }
    }
    routes
}

/// Whether the program serves the path, without its query, by this method.
pub fn has_route(program: &str, method: &str, path: &str) -> bool {
    let given = format!("{method} {}", path.split('?').next().unwrap_or_default());
    let fits = |route: &&String| {
        let (route, given): (Vec<&str>, Vec<&str>) = (route.split('/').collect(), given.split('/').collect());
        let same = |(wanted, given): (&&str, &&str)| wanted == given || (wanted.starts_with('{') && !given.is_empty());
        route.len() == given.len() && route.iter().zip(&given).all(same)
    };
    ROUTES.iter().filter(|(name, _)| *name == program).flat_map(|(_, routes)| routes).any(|route| fits(&route))
}

/// The program that listens on this port by default.
pub fn program_on(port: &str) -> Option<&'static str> {
    let listens =
        |program: &str| text(&format!("crates/{program}/REFERENCE.md")).contains(&format!("`HTTP__PORT` ({port})"));
    PROGRAMS.map(|(program, _)| program).into_iter().find(|program| listens(program))
}

/// The settings of each program as `HTTP__PORT`, as its reference page lists them.
static SETTINGS: LazyLock<Vec<(&str, Vec<String>)>> = LazyLock::new(|| {
    let of = |program: &str| {
        let mut settings = Vec::new();
        let page = text(&format!("crates/{program}/REFERENCE.md"));
        for (name, rest) in page.lines().filter_map(|line| line.strip_prefix("- `")?.split_once("` (`")) {
            // Such a default is the settings in a section whose names are not fixed.
            let members = rest.split('`').next().and_then(|default| serde_json::from_str(default).ok());
            let members: serde_json::Map<String, serde_json::Value> = members.unwrap_or_default();
            settings.extend(members.keys().map(|member| format!("{name}__{}", member.to_uppercase())));
        }
        settings.extend(page.lines().filter_map(|line| Some(line.strip_prefix("- `")?.split_once('`')?.0.to_owned())));
        settings
    };
    PROGRAMS.map(|(program, _)| (program, of(program))).into()
});

/// Whether a setting of this program, or of any, fulfils the condition.
pub fn has_setting(program: Option<&str>, condition: impl Fn(&str) -> bool) -> bool {
    let asked = SETTINGS.iter().filter(|(name, _)| program.is_none_or(|program| program == *name));
    asked.flat_map(|(_, settings)| settings).any(|setting| condition(setting))
}

/// The words of all programs, scripts, schemas and configuration files.
static WORDS: LazyLock<BTreeSet<String>> = LazyLock::new(|| {
    let is_source = |file: &String| {
        let extension = file.rsplit('.').next().unwrap_or_default();
        matches!(extension, "rs" | "sh" | "sql" | "json" | "toml" | "yml" | "xml") || file.ends_with("Dockerfile")
    };
    let texts = files().into_iter().filter(is_source).map(|file| text(&file));
    let words = |text: String| -> Vec<String> {
        text.split(|c: char| !(c.is_alphanumeric() || c == '_')).map(str::to_owned).collect()
    };
    texts.flat_map(words).collect()
});

/// Whether a source has this name of code, a variable or a field.
pub fn is_name(name: &str) -> bool {
    WORDS.contains(name)
}

/// Whether the workspace has this crate.
pub fn is_crate(name: &str) -> bool {
    is_file(&format!("crates/{name}/Cargo.toml"))
}

/// The tests of a crate with their modules, as `cargo test` names them.
pub fn tests(name: &str) -> Vec<String> {
    let mut tests = Vec::new();
    for (path, text) in sources(&format!("crates/{name}/")) {
        let module = path.trim_start_matches("src/").trim_start_matches("tests/").trim_start_matches("it/");
        let module = module.trim_end_matches(".rs").trim_end_matches("/mod").replace('/', "::");
        let (mut in_macro, mut attribute) = (false, "");
        for line in text.lines() {
            // `on_both_databases! {` and the like contain tests without an attribute.
            in_macro = if line == "}" { false } else { in_macro || (line.ends_with("! {") && !line.starts_with(' ')) };
            let is_test = attribute == "#[test]" || (in_macro && line.starts_with("    fn "));
            let function = line.trim_start().strip_prefix("fn ").and_then(|rest| rest.split_once('('));
            tests.extend(function.filter(|_| is_test).map(|(name, _)| format!("{module}::{name}")));
            attribute = line.trim_start();
        }
    }
    tests
}

//! Settings: defaults in the binary, then a TOML file, then the environment (`PREFIX__SECTION__FIELD`). Every problem is
//! listed at once, and where each value came from is kept.

use figment::Figment;
use figment::providers::{Format, Serialized, Toml};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use validator::{Validate, ValidationErrors, ValidationErrorsKind};

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The binary.
    Default,
    /// The configuration file.
    File,
    /// An environment variable, by its name.
    Environment(String),
}

/// Settings and where each came from.
#[derive(Debug, Clone)]
pub struct Loaded<T> {
    /// The settings.
    pub settings: T,
    /// What is wrong with them, one sentence each.
    pub problems: Vec<String>,
    origins: BTreeMap<String, Origin>,
}

/// Everything that is wrong with the settings, one sentence each.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct SettingsError(pub Vec<String>);

/// Loads settings of the type `T`, whose `Default` names every field.
///
/// What is wrong with a value (an unknown name, a wrong type, out of range) is among [`Loaded::problems`], and the default
/// stands in its place. `renamed` holds the older name and the present one of each setting that had another name, as in
/// `("kafka.health_interval_ms", "health.interval_ms")`: a setting under its older name is a problem that names the present one.
///
/// # Errors
/// When the file cannot be read.
pub fn load<T>(
    prefix: &str,
    renamed: &[(&str, &str)],
    file: Option<&Path>,
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<Loaded<T>, SettingsError>
where
    T: Default + Serialize + DeserializeOwned + Validate,
{
    let defaults = leaves_of(&T::default());
    let mut problems = Vec::new();
    let mut figment = Figment::from(Serialized::defaults(T::default()));
    let mut origins: BTreeMap<String, Origin> = defaults.keys().map(|path| (path.clone(), Origin::Default)).collect();
    let mut apply = |path: &str, value: Value, origin: Origin, shown: &str| {
        if !defaults.contains_key(path) {
            let now = renamed.iter().find(|(older, _)| *older == path).map(|(_, now)| match &origin {
                Origin::Environment(_) => format!("{prefix}__{}", now.to_uppercase().replace('.', "__")),
                Origin::File | Origin::Default => (*now).to_owned(),
            });
            problems.push(match now {
                Some(now) => format!("{shown}: this setting is called {now} now"),
                None => format!("{shown}: there is no such setting; `settings` lists all there are"),
            });
            return;
        }
        let candidate = figment.clone().merge(Serialized::default(path, value));
        match candidate.extract::<T>() {
            Ok(_) => {
                figment = candidate;
                origins.insert(path.to_owned(), origin);
            }
            Err(error) => problems.push(format!("{shown}: {}", error.kind)),
        }
    };

    if let Some(file) = file {
        let text = std::fs::read_to_string(file).map_err(|error| {
            SettingsError(vec![format!("the configuration file {} cannot be read ({error})", file.display())])
        })?;
        let content: Value = Figment::from(Toml::string(&text)).extract().map_err(|error| {
            SettingsError(vec![format!("the configuration file {} is not TOML ({error})", file.display())])
        })?;
        let mut leaves = BTreeMap::new();
        collect_leaves("", &content, &mut leaves);
        for (path, value) in leaves {
            apply(&path, value, Origin::File, &format!("{} in {}", path, file.display()));
        }
    }

    let start = format!("{prefix}__");
    for (variable, text) in environment {
        let Some(path) = variable.strip_prefix(&start) else { continue };
        let path = path.to_lowercase().replace("__", ".");
        let value = match defaults.get(&path) {
            Some(Value::String(_)) | None => Value::String(text),
            // A number, a truth value or a list is written as in JSON.
            Some(_) => serde_json::from_str(&text).unwrap_or(Value::String(text)),
        };
        apply(&path, value, Origin::Environment(variable.clone()), &variable);
    }

    let settings: T = figment.extract().map_err(|error| SettingsError(vec![error.to_string()]))?;
    if let Err(errors) = settings.validate() {
        collect_problems("", &errors, &mut problems);
    }
    Ok(Loaded { settings, problems, origins })
}

impl<T> Loaded<T> {
    /// The settings, if nothing is wrong with them.
    ///
    /// # Errors
    /// All the problems.
    pub fn checked(self) -> Result<T, SettingsError> {
        if self.problems.is_empty() { Ok(self.settings) } else { Err(SettingsError(self.problems)) }
    }
}

impl<T: Serialize> Loaded<T> {
    /// Every setting, its value and where it came from, one a line; secrets are masked.
    pub fn describe(&self) -> String {
        let mut text = String::new();
        for (path, value) in leaves_of(&self.settings) {
            let origin = match self.origins.get(&path) {
                Some(Origin::Environment(variable)) => format!("environment {variable}"),
                Some(Origin::File) => "file".to_owned(),
                Some(Origin::Default) | None => "default".to_owned(),
            };
            let shown = match value {
                // The address of any other system may hold a password, too.
                Value::String(text) => format!("{:?}", secrets::masked_url(&text)),
                other => other.to_string(),
            };
            let _ = writeln!(text, "{path} = {shown}  # {origin}");
        }
        text
    }
}

fn leaves_of(value: &impl Serialize) -> BTreeMap<String, Value> {
    let tree = serde_json::to_value(value).expect("settings are plain data");
    let mut leaves = BTreeMap::new();
    collect_leaves("", &tree, &mut leaves);
    leaves
}

fn collect_leaves(path: &str, value: &Value, into: &mut BTreeMap<String, Value>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                collect_leaves(&path, member, into);
            }
        }
        leaf => {
            into.insert(path.to_owned(), leaf.clone());
        }
    }
}

fn collect_problems(path: &str, errors: &ValidationErrors, into: &mut Vec<String>) {
    for (name, kind) in errors.errors() {
        let path = if path.is_empty() { name.to_string() } else { format!("{path}.{name}") };
        match kind {
            ValidationErrorsKind::Struct(inner) => collect_problems(&path, inner, into),
            ValidationErrorsKind::List(items) => {
                for (index, inner) in items {
                    collect_problems(&format!("{path}[{index}]"), inner, into);
                }
            }
            ValidationErrorsKind::Field(findings) => {
                for finding in findings {
                    let message = finding.message.as_deref().unwrap_or("the value is out of range");
                    into.push(format!("{path}: {message}"));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http_server::HttpSettings;
    use crate::telemetry::LogSettings;
    use serde::Deserialize;

    #[derive(Debug, Clone, Serialize, Deserialize, Validate)]
    struct Example {
        #[validate(nested)]
        http: HttpSettings,
        #[validate(nested)]
        log: LogSettings,
        url: String,
    }

    impl Default for Example {
        fn default() -> Self {
            Self { http: HttpSettings::on_port(8000), log: LogSettings::default(), url: String::new() }
        }
    }

    fn environment(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn the_environment_overrides_the_file_and_the_file_the_default() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("settings.toml");
        std::fs::write(&file, "[http]\nport = 9000\nworkers = 4\n").unwrap();
        let loaded: Loaded<Example> =
            load("EXAMPLE", &[], Some(&file), environment(&[("EXAMPLE__HTTP__PORT", "9100"), ("OTHER__X", "1")]))
                .unwrap();
        assert_eq!((loaded.settings.http.port, loaded.settings.http.workers), (9100, 4));
        let text = loaded.describe();
        assert!(text.contains("http.port = 9100  # environment EXAMPLE__HTTP__PORT"), "{text}");
        assert!(text.contains("http.workers = 4  # file"), "{text}");
        assert!(text.contains("log.format = \"text\"  # default"), "{text}");
    }

    #[test]
    fn every_problem_is_listed_at_once() {
        let wrong = environment(&[
            ("EXAMPLE__HTTP__PORT", "many"),
            ("EXAMPLE__HTTP__WORKERS", "0"),
            ("EXAMPLE__LOG__FORMAT", "xml"),
            ("EXAMPLE__HTTP__POTR", "1"),
        ]);
        let SettingsError(problems) = load::<Example>("EXAMPLE", &[], None, wrong).unwrap().checked().unwrap_err();
        assert_eq!(problems.len(), 4, "{problems:#?}");
        for named in ["EXAMPLE__HTTP__PORT", "http.workers", "log.format", "EXAMPLE__HTTP__POTR"] {
            assert!(problems.iter().any(|problem| problem.starts_with(named)), "{named} in {problems:#?}");
        }
    }

    #[test]
    fn an_older_name_is_a_problem_that_names_the_present_one() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("settings.toml");
        std::fs::write(&file, "[server]\nport = 9000\nports = 1\n").unwrap();
        let renamed = [("server.port", "http.port"), ("web.workers", "http.workers")];
        let set = environment(&[("EXAMPLE__WEB__WORKERS", "4"), ("EXAMPLE__SERVER__WORKERS", "4")]);
        let loaded: Loaded<Example> = load("EXAMPLE", &renamed, Some(&file), set).unwrap();
        assert_eq!((loaded.settings.http.port, loaded.settings.http.workers), (8000, HttpSettings::on_port(0).workers));
        let in_file = |name: &str| format!("{name} in {}", file.display());
        assert_eq!(
            loaded.checked().unwrap_err().0,
            [
                format!("{}: this setting is called http.port now", in_file("server.port")),
                format!("{}: there is no such setting; `settings` lists all there are", in_file("server.ports")),
                "EXAMPLE__WEB__WORKERS: this setting is called EXAMPLE__HTTP__WORKERS now".to_owned(),
                "EXAMPLE__SERVER__WORKERS: there is no such setting; `settings` lists all there are".to_owned(),
            ]
        );
    }

    #[test]
    fn a_number_in_a_text_setting_is_text_and_passwords_are_masked() {
        let set = environment(&[("EXAMPLE__URL", "12345")]);
        let loaded: Loaded<Example> = load("EXAMPLE", &[], None, set).unwrap();
        assert_eq!(loaded.settings.url, "12345");
        let set = environment(&[("EXAMPLE__URL", "postgres://claims:hunter2@db:5432/claims")]);
        let text = load::<Example>("EXAMPLE", &[], None, set).unwrap().describe();
        assert!(text.contains("postgres://claims:********@db:5432/claims") && !text.contains("hunter2"), "{text}");
    }
}

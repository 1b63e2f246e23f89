//! The environment of started processes: the user's variables, and defaults for missing ones.

use std::collections::BTreeMap;

/// The launcher's own variables, and those that it adds for the processes it starts.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    given: BTreeMap<String, String>,
    added: BTreeMap<String, String>,
}

/// A variable with an invalid value. The message names a valid one.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{name} is '{value}': set it to {wanted}.")]
pub struct Unusable {
    /// The variable.
    pub name: String,
    /// Its value.
    pub value: String,
    /// The expected value.
    pub wanted: String,
}

impl Environment {
    /// The launcher's own environment.
    pub fn own() -> Self {
        Self { given: std::env::vars().collect(), added: BTreeMap::new() }
    }

    /// An environment with only these variables.
    pub fn of(variables: &[(&str, &str)]) -> Self {
        let given = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Self { given, added: BTreeMap::new() }
    }

    /// The value of a variable that is set and not empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        let set = self.given.get(name).filter(|value| !value.is_empty()).or_else(|| self.added.get(name));
        set.map(String::as_str)
    }

    /// Sets a variable that has no value, and returns its value.
    pub fn default(&mut self, name: &str, value: &str) -> String {
        if let Some(set) = self.get(name) {
            return set.to_owned();
        }
        self.added.insert(name.to_owned(), value.to_owned());
        value.to_owned()
    }

    /// The value of a variable as a whole number in this range; `default` if it is not set.
    ///
    /// # Errors
    /// [`Unusable`].
    pub fn number(&mut self, name: &str, default: u32, range: std::ops::RangeInclusive<u32>) -> Result<u32, Unusable> {
        let value = self.default(name, &default.to_string());
        value.parse().ok().filter(|number| range.contains(number)).ok_or_else(|| Unusable {
            name: name.to_owned(),
            value,
            wanted: format!("a whole number from {} to {}", range.start(), range.end()),
        })
    }

    /// The variables that are added to the inherited ones.
    pub fn added(&self) -> Vec<(String, String)> {
        self.added.iter().map(|(name, value)| (name.clone(), value.clone())).collect()
    }
}

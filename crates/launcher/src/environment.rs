//! The environment that started processes see: what the user set is kept, what is missing gets a default.

use std::collections::BTreeMap;

/// Variables of the launcher's own environment, and those that it adds for the processes it starts.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    given: BTreeMap<String, String>,
    added: BTreeMap<String, String>,
}

/// A variable with a value that cannot be used. Its text says what to set.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{name} is '{value}': give it {wanted}.")]
pub struct Unusable {
    /// The variable.
    pub name: String,
    /// Its value.
    pub value: String,
    /// What it should be.
    pub wanted: String,
}

impl Environment {
    /// The launcher's own.
    pub fn own() -> Self {
        Self { given: std::env::vars().collect(), added: BTreeMap::new() }
    }

    /// One with only these variables.
    pub fn of(variables: &[(&str, &str)]) -> Self {
        let given = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Self { given, added: BTreeMap::new() }
    }

    /// A variable that is set, and not to nothing.
    pub fn get(&self, name: &str) -> Option<&str> {
        let set = self.given.get(name).filter(|value| !value.is_empty()).or_else(|| self.added.get(name));
        set.map(String::as_str)
    }

    /// Sets a variable that has no value, and returns the value that it has then.
    pub fn default(&mut self, name: &str, value: &str) -> String {
        if let Some(set) = self.get(name) {
            return set.to_owned();
        }
        self.added.insert(name.to_owned(), value.to_owned());
        value.to_owned()
    }

    /// A variable that holds a whole number in this range; `default` where it is not set.
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

    /// What started processes get beside what they inherit.
    pub fn added(&self) -> Vec<(String, String)> {
        self.added.iter().map(|(name, value)| (name.clone(), value.clone())).collect()
    }
}

//! Settings that have another name than before: a start under the older name is refused with the present one.

/// Asserts for each older and present name in `renamed` (as in `kafka.health_interval_ms`) that the older one is no setting, the
/// present one is, and an environment variable with the older one is a problem that names the present one.
///
/// `prefix` begins the environment variables. `described` lists all settings, `name = value` a line. `problems` loads the settings
/// with one environment variable, by its name, and returns what is wrong with them.
///
/// # Panics
/// If any of this does not hold.
pub fn assert_renamed(
    prefix: &str,
    renamed: &[(&str, &str)],
    described: &str,
    problems: impl Fn(String) -> Vec<String>,
) {
    let exists = |name: &str| described.lines().any(|line| line.starts_with(&format!("{name} = ")));
    for (older, present) in renamed {
        assert!(exists(present) && !exists(older), "{older} is called {present} now");
        let [variable, new_variable] =
            [older, present].map(|path| format!("{prefix}__{}", path.to_uppercase().replace('.', "__")));
        let found = problems(variable.clone());
        let problem = format!("{variable}: this setting is called {new_variable} now");
        assert!(found.contains(&problem), "{problem}: {found:?}");
    }
}

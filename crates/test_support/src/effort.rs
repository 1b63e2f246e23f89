//! The number of cases of an open-ended test: few in a local run, many in CI.

/// Makes local runs as thorough as those in CI.
const VARIABLE: &str = "TEST_THOROUGH";

/// `many` if `CI` or `TEST_THOROUGH` is set in the environment, otherwise `few`.
pub fn effort<T>(few: T, many: T) -> T {
    let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    if is_set("CI") || is_set(VARIABLE) { many } else { few }
}

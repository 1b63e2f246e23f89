//! How much of something without end is tried: few cases in a run that a person waits for, many in CI.

/// Makes runs on a person's machine as thorough as those in CI.
const VARIABLE: &str = "TEST_THOROUGH";

/// `many` where `CI` or `TEST_THOROUGH` is set in the environment, elsewhere `few`.
pub fn effort<T>(few: T, many: T) -> T {
    let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    if is_set("CI") || is_set(VARIABLE) { many } else { few }
}

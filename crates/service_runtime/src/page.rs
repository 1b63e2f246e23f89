//! Pages of a list: how many entries may be asked for, and whether there are more.

use crate::problem::Problem;

/// How many entries a page has: what was asked for, or `default`.
///
/// # Errors
/// 400 when it is not 1 to `most`.
pub fn limit(asked: Option<i64>, default: i64, most: i64) -> Result<i64, Problem> {
    let limit = asked.unwrap_or(default);
    if (1..=most).contains(&limit) { Ok(limit) } else { Err(Problem::malformed(format!("limit must be 1 to {most}"))) }
}

/// Cuts entries, of which one more than `limit` was looked for, to a page, and tells behind which one the next page begins,
/// where there is one.
pub fn cut<T, K>(found: &mut Vec<T>, limit: i64, key: impl FnOnce(&T) -> K) -> Option<K> {
    let wanted = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = found.len() > wanted;
    found.truncate(wanted);
    found.last().filter(|_| more).map(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_within_its_bounds() {
        assert!(matches!(
            (limit(None, 50, 500), limit(Some(1), 50, 500), limit(Some(500), 50, 500)),
            (Ok(50), Ok(1), Ok(500))
        ));
        assert!(limit(Some(0), 50, 500).is_err() && limit(Some(501), 50, 500).is_err());
    }

    #[test]
    fn one_more_than_wanted_tells_of_a_next_page() {
        let mut found = vec![1, 2, 3];
        assert!(cut(&mut found, 2, |last| *last) == Some(2) && found == [1, 2]);
        assert!(cut(&mut found, 2, |last| *last).is_none() && found == [1, 2]);
    }
}

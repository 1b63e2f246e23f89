//! Pages of a list: how many entries may be requested, whether there are more, and the cursor that leads to them.

use crate::problem::Problem;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::fmt::Display;
use std::str::FromStr;

/// The cursors of one list. A cursor is opaque text that needs no escaping in a URL; it holds the name of the list and the key
/// of the last entry of a page, so that the cursor of another list is not taken for one of this.
#[derive(Debug, Clone, Copy)]
pub struct Cursors {
    list: &'static str,
}

impl Cursors {
    /// Those of the list with this name, which is that of no other list.
    pub const fn of(list: &'static str) -> Self {
        Self { list }
    }

    /// The cursor of the page behind the entry with this key.
    pub fn write(self, key: &impl Display) -> String {
        URL_SAFE_NO_PAD.encode(format!("{}:{key}", self.list))
    }

    /// The key behind which the page with this cursor begins; none without a cursor.
    ///
    /// # Errors
    /// 400, which names the parameter `cursor`, when it is not a cursor of this list.
    pub fn read<K: FromStr + Display>(self, cursor: Option<&str>) -> Result<Option<K>, Problem> {
        cursor.map(|cursor| self.key(cursor).ok_or_else(not_of_this_list)).transpose()
    }

    fn key<K: FromStr + Display>(self, cursor: &str) -> Option<K> {
        let text = String::from_utf8(URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()?;
        let key = text.strip_prefix(self.list)?.strip_prefix(':')?;
        // No key has a NUL, and PostgreSQL takes none.
        let key: K = key.parse().ok().filter(|_| !key.contains('\0'))?;
        (self.write(&key) == cursor).then_some(key)
    }
}

fn not_of_this_list() -> Problem {
    Problem::malformed("cursor must be the next_cursor of the page before, of the same list")
}

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
    fn a_limit_is_within_its_bounds() {
        assert!(matches!(
            (limit(None, 50, 500), limit(Some(1), 50, 500), limit(Some(500), 50, 500)),
            (Ok(50), Ok(1), Ok(500))
        ));
        assert!(limit(Some(0), 50, 500).is_err() && limit(Some(501), 50, 500).is_err());
    }

    #[test]
    fn a_cursor_is_accepted_only_by_its_own_list() {
        let (claims, accounts) = (Cursors::of("claims"), Cursors::of("accounts"));
        for key in [0, 1, i64::MAX] {
            let cursor = claims.write(&key);
            assert_eq!(claims.read(Some(&cursor)).unwrap(), Some(key));
            assert!(
                cursor.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'),
                "{cursor}"
            );
            assert!(accounts.read::<i64>(Some(&cursor)).is_err() && accounts.read::<String>(Some(&cursor)).is_err());
        }
        let name = "plan_budget:GRP 2 & S\u{f6}hne?".to_owned();
        assert_eq!(accounts.read(Some(&accounts.write(&name))).unwrap(), Some(name));
        assert_eq!(claims.read::<i64>(None).unwrap(), None);
        let spelt_otherwise = URL_SAFE_NO_PAD.encode("claims:007");
        let not_a_number = URL_SAFE_NO_PAD.encode("claims:x");
        for made_up in ["", "7", "c1f", "claims:7", "Y2xhaW1zOjc=", &spelt_otherwise, &not_a_number] {
            let problem = claims.read::<i64>(Some(made_up)).unwrap_err().to_json(None);
            assert_eq!(problem["status"], 400, "{made_up}");
            assert!(problem["detail"].as_str().unwrap().starts_with("cursor must be"), "{problem}");
        }
        assert!(accounts.read::<String>(Some(&accounts.write(&"a\0b"))).is_err());
    }

    #[test]
    fn one_row_more_than_the_limit_means_a_next_page() {
        let mut found = vec![1, 2, 3];
        assert!(cut(&mut found, 2, |last| *last) == Some(2) && found == [1, 2]);
        assert!(cut(&mut found, 2, |last| *last).is_none() && found == [1, 2]);
    }
}

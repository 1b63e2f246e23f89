//! A URL without the secrets in it.

use crate::MASK;

/// `scheme://user:password@host?name=value` with [`MASK`] in the place of the password and of every value behind the `?`,
/// because libpq reads a password there, too. A text that is not a URL is returned as it is.
pub fn masked_url(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let (place, query) = rest.split_once('?').map_or((rest, None), |(place, query)| (place, Some(query)));
    let place = match place.rsplit_once('@') {
        Some((credentials, host)) => format!("{}:{MASK}@{host}", credentials.split(':').next().unwrap_or("")),
        // The `?` may be one of a password that is not encoded.
        None if rest.contains('@') => return format!("{scheme}://{MASK}"),
        None => place.to_owned(),
    };
    let masked = |parameter: &str| match parameter.split_once('=') {
        Some((name, _)) => format!("{name}={MASK}"),
        None => MASK.to_owned(),
    };
    let query = query.map(|query| query.split('&').map(masked).collect::<Vec<_>>().join("&"));
    format!("{scheme}://{place}{}", query.map(|query| format!("?{query}")).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_masked_wherever_they_are_and_a_masked_url_stays_as_it_is() {
        for (url, shown) in [
            (
                "postgres://db/claims?user=claims&password=hunter2",
                "postgres://db/claims?user=********&password=********",
            ),
            (
                "postgres://claims:hunter2@db/claims?password=hunter2",
                "postgres://claims:********@db/claims?password=********",
            ),
            ("postgres://claims:hunter?2@db/claims", "postgres://********"),
            ("postgres://db/claims?password=hunter@2", "postgres://********"),
            ("sqlite://.local/claims.db", "sqlite://.local/claims.db"),
            ("postgres://claims:hunter2@db:5432/claims", "postgres://claims:********@db:5432/claims"),
            ("hunter2", "hunter2"),
        ] {
            assert_eq!(masked_url(url), shown);
            assert_eq!(masked_url(shown), shown);
        }
    }
}

//! The parameters of libpq that each connection needs, added to the URL of a PostgreSQL database.

use crate::DatabaseSettings;

/// An idle connection whose peer is gone is noticed within half a minute: after 10 s, by 3 probes 5 s apart.
const KEEPALIVES: [(&str, u64); 4] =
    [("keepalives", 1), ("keepalives_idle", 10), ("keepalives_interval", 5), ("keepalives_count", 3)];

/// Adds a time-out for connecting, which libpq does not limit by itself, TCP keepalives, and the `tcp_user_timeout` by which
/// the socket is found. What the URL sets itself stays, except the last one.
pub(crate) fn with_parameters(url: &str, settings: &DatabaseSettings, user_timeout_ms: u32) -> String {
    // libpq counts whole seconds and uses 2 for anything less.
    let connect_timeout_s = settings.checkout_timeout_ms.div_ceil(1000).max(2);
    let query = url.split_once('?').map_or("", |(_, query)| query);
    let (base, own) =
        (url.split_once('?').map_or(url, |(base, _)| base), query.split('&').filter(|text| !text.is_empty()));
    let mut parameters: Vec<String> =
        own.filter(|parameter| name(parameter) != "tcp_user_timeout").map(str::to_owned).collect();
    for (added, value) in [("connect_timeout", connect_timeout_s)].into_iter().chain(KEEPALIVES) {
        if !parameters.iter().any(|parameter| name(parameter) == added) {
            parameters.push(format!("{added}={value}"));
        }
    }
    parameters.push(format!("tcp_user_timeout={user_timeout_ms}"));
    format!("{base}?{}", parameters.join("&"))
}

fn name(parameter: &str) -> &str {
    parameter.split_once('=').map_or(parameter, |(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_wins_except_for_the_value_that_identifies_the_socket() {
        let settings = DatabaseSettings { checkout_timeout_ms: 4_001, ..DatabaseSettings::at("") };
        assert_eq!(
            with_parameters("postgres://user@host/name", &settings, 5_003),
            "postgres://user@host/name?connect_timeout=5&keepalives=1&keepalives_idle=10&keepalives_interval=5\
             &keepalives_count=3&tcp_user_timeout=5003"
        );
        let own = "postgres://host/name?sslmode=require&tcp_user_timeout=9&connect_timeout=30&keepalives_idle=60";
        assert_eq!(
            with_parameters(own, &settings, 5_000),
            "postgres://host/name?sslmode=require&connect_timeout=30&keepalives_idle=60&keepalives=1&keepalives_interval=5\
             &keepalives_count=3&tcp_user_timeout=5000"
        );
    }
}

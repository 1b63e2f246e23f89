//! Determines the client of a request: the connecting address or, behind trusted proxies, the address that they name.
//!
//! Any client can send a forwarding header. So it counts only from a trusted proxy, and only the one header that the settings
//! name. It is read from its end, which the nearest proxy wrote, back to the first address that is not a trusted proxy's; the
//! rest is unverified.

use crate::problem::Problem;
use actix_web::HttpRequest;
use actix_web::dev::ServiceRequest;
use actix_web::http::header::HeaderMap;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use validator::{Validate, ValidationError};

/// The proxies in front of a service.
#[derive(Debug, Clone, Serialize, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub struct ProxySettings {
    /// Addresses and networks (as in 10.0.0.0/8) of trusted proxies. If empty, the client is always the connecting address.
    #[validate(custom(function = "addresses_or_networks"))]
    pub trusted: Vec<String>,
    /// The header that they write: `x-forwarded-for`, or `forwarded` as in RFC 7239. The other one is ignored, because a proxy that
    /// writes one may forward the other as its client sent it.
    #[validate(custom(function = "header_name"))]
    pub header: String,
}

impl Default for ProxySettings {
    fn default() -> Self {
        Self { trusted: Vec::new(), header: X_FORWARDED_FOR.to_owned() }
    }
}

const X_FORWARDED_FOR: &str = "x-forwarded-for";
const FORWARDED: &str = "forwarded";

fn header_name(name: &str) -> Result<(), ValidationError> {
    if [X_FORWARDED_FOR, FORWARDED].contains(&name) {
        return Ok(());
    }
    Err(ValidationError::new("header").with_message("must be x-forwarded-for or forwarded".into()))
}

fn addresses_or_networks(texts: &[String]) -> Result<(), ValidationError> {
    if texts.iter().all(|text| network(text).is_some()) {
        return Ok(());
    }
    let message = "must be a list of addresses and networks, as in [\"10.0.0.0/8\", \"192.0.2.7\", \"2001:db8::/32\"]";
    Err(ValidationError::new("trusted").with_message(message.into()))
}

fn network(text: &str) -> Option<IpNet> {
    text.parse().ok().or_else(|| IpAddr::from_str(text).ok().map(IpNet::from))
}

/// Determines the clients of requests.
#[derive(Debug, Clone)]
pub struct Clients {
    trusted: Vec<IpNet>,
    header: String,
}

impl Clients {
    /// Clients behind these proxies.
    pub fn behind(proxies: &ProxySettings) -> Self {
        // The settings were validated, so every entry is an address or a network.
        let trusted = proxies.trusted.iter().filter_map(|text| network(text)).collect();
        Self { trusted, header: proxies.header.clone() }
    }

    /// The key of a request's client: its IPv4 address, or the /64 of its IPv6 address, because one client owns all of that.
    ///
    /// # Errors
    /// 500 if the peer address is unknown.
    pub fn client_of(&self, request: &ServiceRequest) -> Result<IpAddr, Problem> {
        Ok(match self.address_of(request.request())? {
            IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
            v4 @ IpAddr::V4(_) => v4,
        })
    }

    /// The full address of a request's client.
    ///
    /// # Errors
    /// 500 if the peer address is unknown.
    pub fn address_of(&self, request: &HttpRequest) -> Result<IpAddr, Problem> {
        let peer = request.peer_addr().ok_or_else(Problem::internal)?.ip();
        Ok(self.address(peer, request.headers()))
    }

    fn address(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = peer.to_canonical();
        if !self.trusts(client) {
            return client;
        }
        let lines: Vec<_> =
            headers.get_all(self.header.as_str()).map(|line| String::from_utf8_lossy(line.as_bytes())).collect();
        for hop in from_the_end(&lines.join(","), ',') {
            let named = if self.header == FORWARDED { forwarded_for(hop) } else { Some(hop.trim()) };
            // If a trusted proxy names no valid address, the proxy itself is the client.
            let Some(address) = named.and_then(read_address) else { break };
            client = address;
            if !self.trusts(client) {
                break;
            }
        }
        client
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.trusted.iter().any(|network| network.contains(&address))
    }
}

/// The value of `for` in an element of `Forwarded`, without quotation marks.
fn forwarded_for(element: &str) -> Option<&str> {
    from_the_end(element, ';').find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        name.trim().eq_ignore_ascii_case("for").then(|| value.trim().trim_matches('"'))
    })
}

/// The parts between separators that are not within quotation marks, last part first. Reading from the end prevents a quotation mark
/// left open by a client from hiding the parts that a proxy appended.
fn from_the_end(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    text.rsplit(move |letter| {
        quoted ^= letter == '"';
        letter == separator && !quoted
    })
}

/// An address with or without a port; an IPv6 address may be in brackets.
fn read_address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse().ok().or_else(|| SocketAddr::from_str(text).ok().map(|address| address.ip()))?;
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    fn clients(trusted: &[&str], header: &str) -> Clients {
        let trusted = trusted.iter().map(|text| (*text).to_owned()).collect();
        let settings = ProxySettings { trusted, header: header.to_owned() };
        settings.validate().unwrap();
        Clients::behind(&settings)
    }

    fn client(clients: &Clients, peer: &str, headers: &[(&'static str, &str)]) -> String {
        let mut request = TestRequest::default().peer_addr(SocketAddr::new(peer.parse().unwrap(), 4711));
        for header in headers {
            request = request.append_header(*header);
        }
        clients.client_of(&request.to_srv_request()).unwrap().to_string()
    }

    #[test]
    fn an_address_is_recorded_in_full() {
        let clients = clients(&["10.0.0.0/8"], "x-forwarded-for");
        let from = |peer: &str| TestRequest::default().peer_addr(SocketAddr::new(peer.parse().unwrap(), 4711));
        let address = |request: TestRequest| clients.address_of(&request.to_http_request()).unwrap().to_string();
        assert_eq!(address(from("2001:470:1:2:3:4:5:6")), "2001:470:1:2:3:4:5:6");
        assert_eq!(address(from("10.0.0.1").append_header(("x-forwarded-for", "198.51.100.1"))), "198.51.100.1");
    }

    #[test]
    fn a_header_is_trusted_only_from_trusted_proxies_and_read_from_its_end() {
        let clients = clients(&["10.0.0.0/8", "192.0.2.7", "2001:db8::/32"], "x-forwarded-for");
        for (peer, sent, wanted) in [
            ("203.0.113.9", vec!["198.51.100.1"], "203.0.113.9"),
            ("10.0.0.1", vec![], "10.0.0.1"),
            ("10.0.0.1", vec!["198.51.100.1"], "198.51.100.1"),
            ("10.0.0.1", vec!["6.6.6.6, 198.51.100.1"], "198.51.100.1"),
            ("10.0.0.1", vec!["6.6.6.6, 198.51.100.1 , 10.3.2.1,192.0.2.7"], "198.51.100.1"),
            ("10.0.0.1", vec!["6.6.6.6", "198.51.100.1", "10.3.2.1"], "198.51.100.1"),
            ("10.0.0.1", vec!["10.9.9.9, 10.3.2.1"], "10.9.9.9"),
            ("10.0.0.1", vec!["198.51.100.1, nonsense, 10.3.2.1"], "10.3.2.1"),
            ("10.0.0.1", vec!["198.51.100.1, "], "10.0.0.1"),
            ("10.0.0.1", vec!["\"6.6.6.6, 198.51.100.1"], "198.51.100.1"),
            ("10.0.0.1", vec!["6.6.6.6", "\u{fc}, 198.51.100.1"], "198.51.100.1"),
            ("10.0.0.1", vec!["198.51.100.1:8080"], "198.51.100.1"),
            ("10.0.0.1", vec!["::ffff:198.51.100.1"], "198.51.100.1"),
            ("::ffff:10.0.0.1", vec!["198.51.100.1"], "198.51.100.1"),
            ("2001:db8::1", vec!["2001:470:1:2:3:4:5:6"], "2001:470:1:2::"),
            ("2001:db8::1", vec!["[2001:470:1:2:3:4:5:6]:443"], "2001:470:1:2::"),
            ("2001:470:1:2:3:4:5:6", vec!["198.51.100.1"], "2001:470:1:2::"),
        ] {
            let headers: Vec<_> = sent.iter().map(|sent| ("x-forwarded-for", *sent)).collect();
            assert_eq!(client(&clients, peer, &headers), wanted, "{peer} {sent:?}");
        }
    }

    #[test]
    fn only_the_header_that_the_settings_name_is_read() {
        let clients = clients(&["10.0.0.0/8"], "forwarded");
        for (sent, wanted) in [
            ("for=198.51.100.1", "198.51.100.1"),
            ("for=6.6.6.6, For=\"198.51.100.1:4711\";proto=https;by=10.0.0.1", "198.51.100.1"),
            ("proto=https; for=\"[2001:db8:cafe::17]:4711\"", "2001:db8:cafe::"),
            ("for=198.51.100.1;host=\"a,b;for=6.6.6.6\"", "198.51.100.1"),
            ("for=_hidden", "10.0.0.1"),
            ("for=\"6.6.6.6, for=198.51.100.1", "198.51.100.1"),
            ("for=unknown, for=10.4.4.4", "10.4.4.4"),
            ("proto=https", "10.0.0.1"),
        ] {
            let headers = [("forwarded", sent), ("x-forwarded-for", "6.6.6.6")];
            assert_eq!(client(&clients, "10.0.0.1", &headers), wanted, "{sent}");
        }
    }

    #[test]
    fn settings_with_an_invalid_network_or_header_are_rejected() {
        for trusted in ["10.0.0.0/33", "proxy.example", "", "10.0.0"] {
            let settings = ProxySettings { trusted: vec![trusted.to_owned()], ..ProxySettings::default() };
            assert!(settings.validate().is_err(), "{trusted}");
        }
        assert!(ProxySettings { header: "x-real-ip".to_owned(), ..ProxySettings::default() }.validate().is_err());
        ProxySettings::default().validate().unwrap();
    }
}

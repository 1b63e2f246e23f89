//! Limits how often one client may ask for something expensive (actix-governor). A client is its address; counted per
//! instance.

use actix_governor::governor::NotUntil;
use actix_governor::governor::clock::{Clock, DefaultClock, QuantaInstant};
use actix_governor::governor::middleware::NoOpMiddleware;
use actix_governor::{Governor, GovernorConfig, GovernorConfigBuilder, KeyExtractor};
use actix_web::dev::ServiceRequest;
use actix_web::http::StatusCode;
use actix_web::{HttpResponse, HttpResponseBuilder, ResponseError};
use service_runtime::problem::Problem;
use std::net::{IpAddr, Ipv6Addr};

/// A limit of so many requests a minute for each client, shared by all workers of a process.
#[derive(Debug, Clone)]
pub struct ClientLimit {
    config: GovernorConfig<ClientAddress, NoOpMiddleware<QuantaInstant>>,
}

impl ClientLimit {
    /// `per_minute` requests, which may come all at once; then one for each sixtieth of a minute over that number.
    ///
    /// # Panics
    /// When `per_minute` is 0, which the settings refuse.
    pub fn per_minute(per_minute: u32) -> Self {
        let config = GovernorConfigBuilder::default()
            .milliseconds_per_request(60_000 / u64::from(per_minute.max(1)))
            .burst_size(per_minute)
            .key_extractor(ClientAddress)
            .finish()
            .expect("a limit of at least one request a minute is valid");
        Self { config }
    }

    /// The middleware that applies it.
    pub(super) fn middleware(&self) -> Governor<ClientAddress, NoOpMiddleware<QuantaInstant>> {
        Governor::new(&self.config)
    }

    /// Forgets clients that have not been seen for a while, so that their number does not grow for ever.
    pub fn forget_idle_clients(&self) {
        self.config.limiter().retain_recent();
    }
}

/// Tells clients apart by the address they connect from. IPv6 clients own a whole /64, so they count as one.
#[derive(Debug, Clone, Copy)]
pub struct ClientAddress;

impl KeyExtractor for ClientAddress {
    type Key = IpAddr;
    type KeyExtractionError = Problem;

    fn extract(&self, request: &ServiceRequest) -> Result<IpAddr, Problem> {
        let address = request.peer_addr().ok_or_else(Problem::internal)?.ip();
        Ok(match address {
            IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
            v4 @ IpAddr::V4(_) => v4,
        })
    }

    fn exceed_rate_limit_response(&self, refusal: &NotUntil<QuantaInstant>, _: HttpResponseBuilder) -> HttpResponse {
        let wait = refusal.wait_time_from(DefaultClock::default().now());
        // Rounded up: a client that comes back after the seconds it was told must not be refused again.
        let seconds = wait.as_secs() + 1;
        Problem::new(
            StatusCode::TOO_MANY_REQUESTS,
            "rate-limited",
            "Too many requests",
            format!("this route is limited for each client: try again in {seconds} s"),
        )
        .retry_after(seconds)
        .error_response()
    }
}

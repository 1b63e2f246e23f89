//! Limits how often one client may send requests (actix-governor), and reports in each response what is left. Counted per
//! instance.

use actix_governor::governor::NotUntil;
use actix_governor::governor::clock::{Clock, DefaultClock, QuantaInstant};
use actix_governor::governor::middleware::StateInformationMiddleware;
use actix_governor::{Governor, GovernorConfig, GovernorConfigBuilder, KeyExtractor};
use actix_web::dev::ServiceRequest;
use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use actix_web::middleware::{Next, from_fn};
use actix_web::{HttpResponse, HttpResponseBuilder, ResponseError, Route};
use service_runtime::client_address::Clients;
use service_runtime::problem::Problem;
use std::net::IpAddr;
use std::time::Duration;

const LIMIT: HeaderName = HeaderName::from_static("ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("ratelimit-reset");
/// What actix-governor tells, under names of its own.
const REMAINING_HERE: &str = "x-ratelimit-remaining";
const LIMIT_HERE: &str = "x-ratelimit-limit";
const EXEMPT_HERE: &str = "x-ratelimit-whitelisted";

/// A limit of so many requests a minute for each client, shared by all workers of a process and all routes it is put
/// around.
#[derive(Debug, Clone)]
pub struct ClientLimit {
    per_minute: u32,
    config: GovernorConfig<ByClient, StateInformationMiddleware>,
}

impl ClientLimit {
    /// `per_minute` requests, which may come all at once; then one for each such part of a minute. `limits_loopback`: also
    /// for clients with a loopback address.
    ///
    /// # Panics
    /// When `per_minute` is 0, which the settings refuse.
    pub fn per_minute(per_minute: u32, limits_loopback: bool, clients: &Clients) -> Self {
        let config = GovernorConfigBuilder::default()
            .period(pause(per_minute))
            .burst_size(per_minute)
            .use_headers()
            .key_extractor(ByClient { clients: clients.clone(), limits_loopback })
            .finish()
            .expect("a limit of at least one request a minute is valid");
        Self { per_minute, config }
    }

    /// Puts the limit around a route. Its answers say `RateLimit-Limit`, `RateLimit-Remaining` and `RateLimit-Reset`.
    pub(super) fn around(&self, route: Route) -> Route {
        let per_minute = self.per_minute;
        let say_what_is_left = move |request: ServiceRequest, next: Next<_>| async move {
            let mut answer = next.call(request).await?;
            let headers = answer.headers_mut();
            let is_exempt = headers.remove(EXEMPT_HERE).next().is_some();
            let remaining = headers.remove(REMAINING_HERE).next().and_then(|value| value.to_str().ok()?.parse().ok());
            headers.remove(LIMIT_HERE);
            say(headers, per_minute, if is_exempt { per_minute } else { remaining.unwrap_or(0) });
            Ok(answer)
        };
        route.wrap(Governor::new(&self.config)).wrap(from_fn(say_what_is_left))
    }

    /// Forgets clients that have not been seen for a while, so that their number does not grow for ever.
    pub fn forget_idle_clients(&self) {
        self.config.limiter().retain_recent();
    }
}

/// How long it takes until one more request is allowed.
fn pause(per_minute: u32) -> Duration {
    Duration::from_secs(60) / per_minute
}

/// Says the limit, what is left of it, and after how many seconds all of it is there again; never 0, which would be now.
fn say(headers: &mut HeaderMap, per_minute: u32, remaining: u32) {
    let until_full = pause(per_minute) * per_minute.saturating_sub(remaining);
    headers.insert(LIMIT, HeaderValue::from(per_minute));
    headers.insert(REMAINING, HeaderValue::from(remaining));
    headers.insert(RESET, HeaderValue::from(until_full.as_millis().div_ceil(1_000).max(1) as u64));
}

/// Tells clients apart by their addresses.
#[derive(Debug, Clone)]
struct ByClient {
    clients: Clients,
    limits_loopback: bool,
}

/// A client, as far as limits tell it from others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Client {
    /// It runs on this machine, and is not limited.
    Exempt,
    /// It connects from there.
    At(IpAddr),
}

impl KeyExtractor for ByClient {
    type Key = Client;
    type KeyExtractionError = Problem;

    fn extract(&self, request: &ServiceRequest) -> Result<Client, Problem> {
        let is_exempt = !self.limits_loopback && self.clients.address_of(request.request())?.is_loopback();
        Ok(if is_exempt { Client::Exempt } else { Client::At(self.clients.client_of(request)?) })
    }

    fn whitelisted_keys(&self) -> Vec<Client> {
        vec![Client::Exempt]
    }

    fn exceed_rate_limit_response(&self, refusal: &NotUntil<QuantaInstant>, _: HttpResponseBuilder) -> HttpResponse {
        let wait = refusal.wait_time_from(DefaultClock::default().now());
        // Rounded up: a client that comes back after `Retry-After` must not be refused again.
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

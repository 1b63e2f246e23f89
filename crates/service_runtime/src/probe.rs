//! Asks a running service how it is, as its own command `health` does: for containers, which have no other program that
//! could. Plain sockets and a bounded wait; no client, no runtime.

use crate::http_server::HttpSettings;
use anyhow::{Context, bail};
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

/// How long connecting, asking and the answer may take together.
const PATIENCE: Duration = Duration::from_secs(3);
/// The most that is read of an answer, in bytes.
const LONGEST_ANSWER: usize = 64 * 1024;

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// Whether the process answers. Only this is worth ending a service for: a restart brings no database back.
    Alive,
    /// Whether everything it depends on is there too, or only what these names, separated by commas, stand for.
    Ready(Option<String>),
}

/// Asks the service that listens where `settings` say. Blocks for a bounded time.
///
/// # Errors
/// When there is no answer, or it is no.
pub fn ask(settings: &HttpSettings, question: Question) -> anyhow::Result<String> {
    let path = &match &question {
        Question::Alive => "/healthz".to_owned(),
        Question::Ready(None) => "/readyz".to_owned(),
        Question::Ready(Some(of)) if of.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-,".contains(&byte)) => {
            format!("/readyz?of={of}")
        }
        Question::Ready(Some(_)) => {
            bail!("names of dependencies have only letters, digits and _, with commas between them")
        }
    };
    let address = reached_at(settings)?;
    let url = format!("http://{address}{path}");
    let answer = exchange(address, path).with_context(|| format!("there is no answer from {url}"))?;
    let (status, body) = parse(&answer).with_context(|| format!("what answers at {url} does not speak HTTP"))?;
    match (status, question) {
        (200, Question::Alive) => Ok(format!("alive at {url}")),
        (200, Question::Ready(_)) => Ok(format!("ready at {url}")),
        _ => bail!("{url} answers {status}{}", missing(body)),
    }
}

/// Where a client on this machine reaches what is bound as the settings say.
fn reached_at(settings: &HttpSettings) -> anyhow::Result<SocketAddr> {
    let mut address = (settings.host.as_str(), settings.port)
        .to_socket_addrs()
        .with_context(|| format!("'{}' is not an address (check the setting http.host)", settings.host))?
        .next()
        .with_context(|| format!("'{}' has no address: check the setting http.host", settings.host))?;
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
            SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
        });
    }
    Ok(address)
}

fn exchange(address: SocketAddr, path: &str) -> std::io::Result<Vec<u8>> {
    let until = Instant::now() + PATIENCE;
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").as_bytes())?;
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(std::io::ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut buffer) {
            Ok(0) => return Ok(answer),
            Ok(read) => answer.extend_from_slice(&buffer[..read]),
            // What a read that took too long is called here.
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                return Err(std::io::ErrorKind::TimedOut.into());
            }
            Err(error) => return Err(error),
        }
        if answer.len() > LONGEST_ANSWER {
            return Ok(answer);
        }
    }
}

/// The status and the body.
fn parse(answer: &[u8]) -> Option<(u16, &[u8])> {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&answer[..end]).ok()?;
    let status = head.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()?;
    Some((status, &answer[end + 4..]))
}

/// What is missing, by name, if the answer says so.
fn missing(body: &[u8]) -> String {
    let Ok(body) = serde_json::from_slice::<serde_json::Value>(body) else { return String::new() };
    if let Some(detail) = body["detail"].as_str() {
        return format!(": {detail}");
    }
    let Some(dependencies) = body["dependencies"].as_object() else { return String::new() };
    let missing: Vec<String> = dependencies
        .iter()
        .filter_map(|(name, state)| state.as_str().map(|state| (name, state)))
        .filter(|(_, state)| *state != "ready")
        .map(|(name, state)| format!("{name}: {state}"))
        .collect();
    if missing.is_empty() { String::new() } else { format!(": {}", missing.join("; ")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::{self, Health};
    use crate::http_server::{bind, run_until};
    use std::net::TcpListener;

    fn on(host: &str, port: u16) -> HttpSettings {
        HttpSettings { host: host.to_owned(), ..HttpSettings::on_port(port) }
    }

    /// Asks from another thread, as another process does.
    async fn asked(host: &'static str, port: u16, question: Question) -> Result<String, String> {
        let answer = tokio::task::spawn_blocking(move || ask(&on(host, port), question)).await.unwrap();
        answer.map_err(|error| format!("{error:#}"))
    }

    #[actix_web::test]
    async fn a_service_is_alive_before_it_is_ready_and_says_what_is_missing() {
        let health = Health::default();
        health.set("database", Ok(()));
        health.set("kafka", Err("the brokers do not answer".to_owned()));
        let bound = bind(&on("0.0.0.0", 0)).unwrap();
        let port = bound.port();
        let server = bound.serve(&health, health::routes).unwrap();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let running = actix_web::rt::spawn({
            let health = health.clone();
            async move { run_until(server, &health, async { drop(stopped.await) }, || Ok(())).await }
        });

        let alive = asked("0.0.0.0", port, Question::Alive).await.unwrap();
        assert_eq!(alive, format!("alive at http://127.0.0.1:{port}/healthz"));
        let not_ready = asked("127.0.0.1", port, Question::Ready(None)).await.unwrap_err();
        assert_eq!(not_ready, format!("http://127.0.0.1:{port}/readyz answers 503: kafka: the brokers do not answer"));
        let of = |name: &str| Question::Ready(Some(name.to_owned()));
        let ready = asked("127.0.0.1", port, of("database")).await.unwrap();
        assert_eq!(ready, format!("ready at http://127.0.0.1:{port}/readyz?of=database"));
        let unknown = asked("127.0.0.1", port, of("database,disk")).await.unwrap_err();
        assert!(
            unknown.ends_with("answers 400: a name in 'of' is not known here: there are database, kafka"),
            "{unknown}"
        );
        assert!(asked("127.0.0.1", port, of("a b")).await.unwrap_err().contains("only letters"));
        health.set("kafka", Ok(()));
        asked("127.0.0.1", port, Question::Ready(None)).await.unwrap();

        drop(stop);
        running.await.unwrap().unwrap();
        let gone = asked("127.0.0.1", port, Question::Alive).await.unwrap_err();
        assert!(gone.starts_with("there is no answer from"), "{gone}");
    }

    #[test]
    fn a_silent_or_nonsensical_service_is_not_healthy_and_not_waited_for() {
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let started = Instant::now();
        let answer = ask(&on("127.0.0.1", silent.local_addr().unwrap().port()), Question::Alive).unwrap_err();
        assert!(format!("{answer:#}").contains("timed out"), "{answer:#}");
        assert!(started.elapsed() < PATIENCE * 2);

        let nonsense = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = nonsense.local_addr().unwrap().port();
        let speaking = std::thread::spawn(move || {
            let (mut stream, _) = nonsense.accept().unwrap();
            let _ = stream.read(&mut [0; 4096]);
            stream.write_all(b"220 welcome\r\n\r\n").unwrap();
        });
        let answer = ask(&on("127.0.0.1", port), Question::Alive).unwrap_err();
        assert!(answer.to_string().contains("does not speak HTTP"), "{answer}");
        speaking.join().unwrap();
    }
}

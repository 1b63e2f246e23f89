//! The load generator: requests over kept connections, as raw bytes. Each connection is a task on one thread, so its cost is two
//! system calls and the copy of a prepared request.

use super::statistics::Latencies;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::{JoinSet, LocalSet};

/// How long a request may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// The largest head of an answer.
const MAX_HEAD_BYTES: usize = 16 * 1_024;

/// Writes the request with a number into an empty buffer.
pub type WriteRequest = Rc<dyn Fn(u64, &mut Vec<u8>)>;

/// How fast requests are sent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pace {
    /// Each connection sends its next request when it has the answer.
    Closed,
    /// So many requests a second over all connections, whatever the answers. A latency counts from the time when the request was due.
    Open(f64),
}

/// A load.
#[derive(Clone)]
pub struct Load {
    /// The server.
    pub address: SocketAddr,
    /// The connections, each with at most one request in progress.
    pub connections: usize,
    /// How fast requests are sent.
    pub pace: Pace,
    /// How long requests are sent.
    pub lasts: Duration,
    /// The most requests that are sent.
    pub requests: u64,
    /// The number of the first request; further ones count up.
    pub first: u64,
    /// The requests.
    pub write: WriteRequest,
}

/// How the requests of a load were answered.
#[derive(Debug, Default)]
pub struct Answers {
    /// The latencies of the requests that were answered with 2xx.
    pub latencies: Latencies,
    /// The latencies of the others.
    pub refusals: Latencies,
    /// The number of answers for each status; 0 stands for a connection that was refused, closed or silent.
    pub by_status: BTreeMap<u16, u64>,
    /// How long it took from the first request to the last answer.
    pub took: Duration,
}

impl Answers {
    /// The number of answers with 2xx.
    pub fn accepted(&self) -> u64 {
        self.by_status.iter().filter(|(status, _)| is_success(**status)).map(|(_, count)| count).sum()
    }

    /// The number of all answers.
    pub fn all(&self) -> u64 {
        self.by_status.values().sum()
    }

    fn add(&mut self, status: u16, us: u128) {
        *self.by_status.entry(status).or_default() += 1;
        if is_success(status) { self.latencies.add(us) } else { self.refusals.add(us) }
    }

    fn merge(&mut self, other: Self) {
        self.latencies.merge(other.latencies);
        self.refusals.merge(other.refusals);
        for (status, count) in other.by_status {
            *self.by_status.entry(status).or_default() += count;
        }
    }
}

fn is_success(status: u16) -> bool {
    (200..300).contains(&status)
}

impl Load {
    /// Sends the load and waits for all answers.
    ///
    /// # Panics
    /// If an answer is not HTTP.
    pub async fn send(&self) -> Answers {
        let next = Rc::new(Cell::new(0));
        let began = Instant::now();
        let local = LocalSet::new();
        let mut connections = JoinSet::new();
        for _ in 0..self.connections {
            let connection = Sender { load: self.clone(), next: Rc::clone(&next), began };
            connections.spawn_local_on(connection.run(), &local);
        }
        local
            .run_until(async {
                let mut all = Answers::default();
                while let Some(answers) = connections.join_next().await {
                    all.merge(answers.expect("the connection ends"));
                }
                all.took = began.elapsed();
                all
            })
            .await
    }
}

/// One connection.
struct Sender {
    load: Load,
    /// The number of requests of all connections so far.
    next: Rc<Cell<u64>>,
    began: Instant,
}

impl Sender {
    async fn run(self) -> Answers {
        let mut answers = Answers::default();
        let mut stream = None;
        let (mut request, mut answer) = (Vec::new(), Vec::new());
        while let Some((number, since)) = self.turn().await {
            request.clear();
            (self.load.write)(self.load.first + number, &mut request);
            let status =
                tokio::time::timeout(ANSWER_TIMEOUT, exchange(self.load.address, &mut stream, &request, &mut answer));
            let status = match status.await {
                Ok(Ok(status)) => status,
                Ok(Err(_)) | Err(_) => {
                    stream = None;
                    0
                }
            };
            answers.add(status, since.elapsed().as_micros());
        }
        answers
    }

    /// The number of the next request of this connection and the time from which its latency counts.
    async fn turn(&self) -> Option<(u64, Instant)> {
        let number = self.next.get();
        if number >= self.load.requests || self.began.elapsed() >= self.load.lasts {
            return None;
        }
        self.next.set(number + 1);
        match self.load.pace {
            Pace::Closed => Some((number, Instant::now())),
            Pace::Open(rate) => {
                let due = self.began + Duration::from_secs_f64(number as f64 / rate);
                tokio::time::sleep_until(due.into()).await;
                Some((number, due))
            }
        }
    }
}

/// Sends a request and reads its answer. Returns the status.
async fn exchange(
    address: SocketAddr,
    stream: &mut Option<TcpStream>,
    request: &[u8],
    answer: &mut Vec<u8>,
) -> io::Result<u16> {
    let stream = match stream {
        Some(stream) => stream,
        None => {
            let opened = TcpStream::connect(address).await?;
            opened.set_nodelay(true)?;
            stream.insert(opened)
        }
    };
    stream.write_all(request).await?;
    answer.clear();
    loop {
        if stream.read_buf(answer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if let Some(head) = head(answer) {
            while answer.len() < head.bytes {
                if stream.read_buf(answer).await? == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            }
            return Ok(head.status);
        }
        assert!(answer.len() < MAX_HEAD_BYTES, "the answer is not HTTP: {}", String::from_utf8_lossy(answer));
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Head {
    status: u16,
    /// The length of the whole answer.
    bytes: usize,
}

/// The status and length of an answer; `None` while its head is incomplete.
fn head(answer: &[u8]) -> Option<Head> {
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(&answer[..end]).expect("the head of an answer is text");
    let status = text.get(9..12).and_then(|status| status.parse().ok()).expect("an answer begins with its status");
    let length = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    Some(Head { status, bytes: end + length.expect("an answer has a length") })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpListener;

    /// A server that answers each request on `statuses.len()` connections in turn with these statuses.
    fn server(statuses: &'static [u16]) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                stream.set_nodelay(true).unwrap();
                std::thread::spawn(move || {
                    let mut statuses = statuses.iter().cycle();
                    let mut request = [0; 4];
                    while stream.read_exact(&mut request).is_ok() {
                        assert_eq!(&request[..3], b"GET");
                        let status = statuses.next().unwrap();
                        // The answer comes in two pieces.
                        let answer = format!("HTTP/1.1 {status} X\r\nContent-Length: 5\r\n\r\nhello");
                        let (first, rest) = answer.split_at(20);
                        stream.write_all(first.as_bytes()).unwrap();
                        stream.write_all(rest.as_bytes()).unwrap();
                    }
                });
            }
        });
        address
    }

    fn load(address: SocketAddr) -> Load {
        Load {
            address,
            connections: 3,
            pace: Pace::Closed,
            lasts: Duration::from_secs(60),
            requests: 300,
            first: 0,
            write: Rc::new(|number, request| {
                request.extend_from_slice(b"GET");
                request.push(u8::try_from(number % 256).unwrap());
            }),
        }
    }

    #[tokio::test]
    async fn each_request_is_answered_once_and_counted_by_its_status() {
        let answers = load(server(&[201, 503])).send().await;
        assert_eq!(answers.all(), 300);
        assert_eq!(answers.accepted(), answers.latencies.len() as u64);
        assert_eq!(answers.refusals.len() as u64, answers.by_status[&503]);
        assert!(answers.by_status[&201] >= 150, "{answers:?}");
    }

    #[tokio::test]
    async fn an_open_load_keeps_its_rate_and_counts_from_when_a_request_was_due() {
        let open = Load { pace: Pace::Open(1_000.0), requests: 200, ..load(server(&[200])) };
        let answers = open.send().await;
        assert_eq!(answers.accepted(), 200);
        // The last one is due after 199 ms.
        assert!(answers.took >= Duration::from_millis(199), "{:?}", answers.took);
        let late = Load { connections: 1, ..open };
        let rate = Load { pace: Pace::Open(1e9), ..late }.send().await;
        let p50 = rate.latencies.figures()["p50_ms"];
        assert!(
            p50 >= rate.took.as_secs_f64() * 1_000.0 * 0.2,
            "all were due at once, so half of them waited: {p50} ms"
        );
    }

    #[tokio::test]
    async fn a_server_that_is_down_counts_as_status_0() {
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let answers = Load { requests: 5, ..load(closed) }.send().await;
        assert_eq!(answers.by_status, BTreeMap::from([(0, 5)]));
        assert_eq!(answers.accepted(), 0);
    }

    #[test]
    fn the_head_gives_status_and_length() {
        assert_eq!(head(b"HTTP/1.1 201 Created\r\ncontent-length: 2\r\n"), None);
        let whole = b"HTTP/1.1 201 Created\r\ncontent-length: 2\r\n\r\n{}";
        assert_eq!(head(whole), Some(Head { status: 201, bytes: whole.len() }));
    }
}

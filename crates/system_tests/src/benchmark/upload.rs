//! Sends one large body and reads the results while it is sent, as a sender of a batch does.

use serde::Deserialize;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// The bytes of the answer's end that are kept: the summary line is shorter.
const TAIL_BYTES: usize = 4_096;

/// The counts of the summary line of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Summary {
    /// The claims in the batch.
    pub claims: u64,
    /// The stored ones.
    pub accepted: u64,
    /// The refused ones.
    pub rejected: u64,
    /// Those that were stored before.
    pub duplicates: u64,
}

#[derive(Deserialize)]
struct LastLine {
    summary: Summary,
}

/// What came back.
#[derive(Debug, Clone, Copy)]
pub struct Uploaded {
    /// The time to the first bytes of the results.
    pub first_result: Duration,
    /// The time to the end of the results.
    pub took: Duration,
    /// The counts.
    pub summary: Summary,
}

/// Posts a batch.
///
/// # Panics
/// If the connection breaks, or the answer has no summary line.
pub async fn upload(address: SocketAddr, content_type: &str, body: &[u8]) -> Uploaded {
    let head = format!(
        "POST /v1/claims/batch HTTP/1.1\r\nHost: {address}\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    let began = Instant::now();
    let mut stream = TcpStream::connect(address).await.expect("claim_process accepts connections");
    let (mut reader, mut writer) = stream.split();
    let write = async {
        writer.write_all(head.as_bytes()).await.expect("the head is sent");
        writer.write_all(body).await.expect("the batch is sent");
    };
    let read = async {
        let (mut first_result, mut tail) = (None, Vec::new());
        while reader.read_buf(&mut tail).await.expect("the results arrive") > 0 {
            first_result.get_or_insert_with(|| began.elapsed());
            if tail.len() > 16 * TAIL_BYTES {
                tail.drain(..tail.len() - TAIL_BYTES);
            }
        }
        (first_result, tail)
    };
    let ((), (first_result, tail)) = tokio::join!(write, read);
    let took = began.elapsed();
    let tail = String::from_utf8_lossy(&tail);
    let summary = summary(&tail).unwrap_or_else(|| panic!("the batch has a summary line, found {tail}"));
    Uploaded { first_result: first_result.unwrap_or(took), took, summary }
}

/// The summary at the end of an answer.
fn summary(tail: &str) -> Option<Summary> {
    let lines = tail.lines().rev().filter_map(|line| serde_json::from_str::<LastLine>(line).ok());
    lines.map(|line| line.summary).next()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpListener;

    const LAST: &str = r#"{"summary":{"claims":3,"accepted":2,"rejected":1,"duplicates":0}}"#;

    #[tokio::test]
    async fn results_are_read_while_the_body_is_sent() {
        let body = vec![b'x'; 8 << 20];
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let length = body.len();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut piece = vec![0; 1 << 16];
            let mut read = 0;
            // One result for each piece: more than fits into the buffers of a sender that does not read them.
            while read < length {
                read += stream.read(&mut piece).unwrap();
                stream.write_all(&vec![b'\n'; 1 << 16]).unwrap();
            }
            write!(stream, "{LAST}\n\r\n0\r\n\r\n").unwrap();
        });
        let uploaded = upload(address, "application/x-ndjson", &body).await;
        server.join().unwrap();
        assert_eq!(uploaded.summary, Summary { claims: 3, accepted: 2, rejected: 1, duplicates: 0 });
        assert!(uploaded.first_result <= uploaded.took);
    }

    #[test]
    fn the_summary_is_the_last_line_of_its_form() {
        assert_eq!(summary(&format!("{{\"index\":0}}\n{LAST}\n\r\n0\r\n\r\n")).unwrap().accepted, 2);
        assert_eq!(summary("{\"index\":0}\n"), None);
    }
}

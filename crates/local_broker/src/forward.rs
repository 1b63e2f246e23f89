//! A TCP forwarder: copies requests and responses between a client at the fixed address and the cluster's port, which differs at each
//! start, and holds the fetches that find no message.
//!
//! Each connection has two threads, and the number of connections is bounded.

use crate::frames::{self, Request};
use crate::held_fetches::{Fetch, Requests, Stored};
use anyhow::Context;
use std::collections::HashMap;
use std::io::Write;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

/// The most open connections. A Kafka client opens about four. Each needs three file descriptors of this process, whose usual
/// limit is 1024.
const MAX_CONNECTIONS: usize = 256;

/// The stack of a copying thread, in bytes.
const STACK_BYTES: usize = 128 * 1024;

/// The pause after a failed `accept`, for example because there is no free file descriptor.
const PAUSE_AFTER_FAILED_ACCEPT: Duration = Duration::from_millis(50);

/// A running forwarder; dropping it closes its connections and its port.
#[derive(Debug)]
pub(crate) struct Forwarder {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    target: SocketAddr,
    stopping: AtomicBool,
    connections: Mutex<HashMap<u64, Arc<Connection>>>,
    stored: Arc<Stored>,
}

impl Forwarder {
    /// Forwards the connections of `listener`, which is bound to `address`, to `target`.
    pub(crate) fn start(listener: TcpListener, address: SocketAddr, target: SocketAddr) -> anyhow::Result<Self> {
        let shared = Arc::new(Shared {
            target,
            stopping: AtomicBool::new(false),
            connections: Mutex::default(),
            stored: Arc::default(),
        });
        let accepting = Builder::new()
            .name("accept".to_owned())
            .spawn({
                let shared = Arc::clone(&shared);
                move || accept(&listener, &shared)
            })
            .context("the forwarder got no thread")?;
        Ok(Self { address, shared, accepting: Some(accepting) })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        // Wakes the accepting thread. If connecting fails, that thread has already ended.
        let _ = TcpStream::connect_timeout(&self.address, Duration::from_secs(1));
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
        for connection in self.shared.connections().values() {
            connection.close();
        }
    }
}

impl Shared {
    fn connections(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Arc<Connection>>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    let mut next_id = 0;
    let mut was_full = false;
    loop {
        let accepted = listener.accept();
        if shared.stopping.load(Ordering::SeqCst) {
            return;
        }
        let Ok((client, _)) = accepted else {
            std::thread::sleep(PAUSE_AFTER_FAILED_ACCEPT);
            continue;
        };
        let is_full = shared.connections().len() >= MAX_CONNECTIONS;
        if is_full && !was_full {
            eprintln!("local_broker: {MAX_CONNECTIONS} connections are open; further ones are closed until one ends");
        }
        was_full = is_full;
        if !is_full {
            // A connection that cannot be forwarded is dropped, which closes it. The client reconnects.
            let _ = forward(client, next_id, shared);
            next_id += 1;
        }
    }
}

fn forward(client: TcpStream, id: u64, shared: &Arc<Shared>) -> std::io::Result<()> {
    let cluster = TcpStream::connect(shared.target)?;
    client.set_nodelay(true)?;
    cluster.set_nodelay(true)?;
    let stored = Arc::clone(&shared.stored);
    let connection =
        Arc::new(Connection { client, cluster, requests: AtomicU64::new(0), sending: Mutex::default(), stored });
    shared.connections().insert(id, Arc::clone(&connection));
    let towards_cluster = {
        let (connection, shared) = (Arc::clone(&connection), Arc::clone(shared));
        Builder::new().name(format!("to cluster {id}")).stack_size(STACK_BYTES).spawn(move || {
            // The connection ends with either side, for whatever reason.
            let _ = connection.forward_requests();
            connection.close();
            shared.connections().remove(&id);
        })
    };
    let towards_client = {
        let connection = Arc::clone(&connection);
        Builder::new().name(format!("to client {id}")).stack_size(STACK_BYTES).spawn(move || {
            let _ = connection.forward_responses();
            connection.close();
        })
    };
    if towards_cluster.is_err() || towards_client.is_err() {
        connection.close();
        shared.connections().remove(&id);
    }
    Ok(())
}

/// A client's connection and its connection to the cluster.
#[derive(Debug)]
struct Connection {
    client: TcpStream,
    cluster: TcpStream,
    /// How many requests the client sent; its end counts as one.
    requests: AtomicU64,
    /// What was sent to the cluster. Held while a request is sent.
    sending: Mutex<Requests>,
    stored: Arc<Stored>,
}

impl Connection {
    /// Closes both, so that both copying threads end.
    fn close(&self) {
        let _ = self.client.shutdown(Shutdown::Both);
        let _ = self.cluster.shutdown(Shutdown::Both);
        self.end_hold();
    }

    /// Ends the wait of a held fetch, if there is one. Returns how many requests there are, with the one that ended it.
    fn end_hold(&self) -> u64 {
        let requests = self.requests.fetch_add(1, Ordering::SeqCst) + 1;
        self.stored.wake();
        requests
    }

    fn sending(&self) -> std::sync::MutexGuard<'_, Requests> {
        self.sending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn forward_requests(&self) -> std::io::Result<()> {
        let mut frame = Vec::new();
        while frames::read_frame(&self.client, &mut frame)? {
            let number = self.end_hold();
            let mut requests = self.sending();
            match frames::read_request(&mut frame) {
                Request::Fetch { correlation_id, max_wait, empty_bytes } => {
                    let (deadline, stored) = (Instant::now() + max_wait, self.stored.count());
                    requests.sent_fetch(Fetch { correlation_id, deadline, empty_bytes, stored, number });
                }
                Request::Produce(correlation_id) => requests.sent_produce(correlation_id),
                Request::Other => {}
            }
            (&self.cluster).write_all(&frame)?;
        }
        Ok(())
    }

    fn forward_responses(&self) -> std::io::Result<()> {
        let mut frame = Vec::new();
        while frames::read_frame(&self.cluster, &mut frame)? {
            let Some(correlation_id) = frames::correlation_id(&frame) else { return Ok(()) };
            if self.sending().answers_produce(correlation_id) {
                self.stored.note();
            }
            let answered = self.sending().answers_fetch(correlation_id);
            if let Some(fetch) = answered
                && frame.len() <= fetch.empty_bytes
            {
                fetch.hold(&self.stored, &self.requests);
            }
            (&self.client).write_all(&frame)?;
        }
        Ok(())
    }
}

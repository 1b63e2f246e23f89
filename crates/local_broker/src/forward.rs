//! A TCP forwarder: what arrives at the fixed address goes to the cluster's port of the day, and back.
//!
//! Two plain threads a connection; the number of connections is bounded. It reads nothing of what it copies.

use anyhow::Context;
use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

/// Connections at the same time: a Kafka client has about four, and each costs three file descriptors of this process,
/// of which there are usually 1024.
const MAX_CONNECTIONS: usize = 256;

/// What is copied at once, in bytes; fetches and batches are large.
const BUFFER_BYTES: usize = 64 * 1024;

/// The threads only copy.
const STACK_BYTES: usize = 128 * 1024;

/// The pause after a connection could not be accepted, for example because there are no file descriptors left.
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
}

impl Forwarder {
    /// Forwards what `listener`, bound to `address`, accepts to `target`.
    pub(crate) fn start(listener: TcpListener, address: SocketAddr, target: SocketAddr) -> anyhow::Result<Self> {
        let shared = Arc::new(Shared { target, stopping: AtomicBool::new(false), connections: Mutex::default() });
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
        // Wakes the thread that accepts; where nobody can connect any more it has ended already.
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
            eprintln!("local_broker: {MAX_CONNECTIONS} connections are open; more are closed at once until one ends");
        }
        was_full = is_full;
        if !is_full {
            // A connection that cannot be forwarded is closed by being dropped; its client comes again.
            let _ = forward(client, next_id, shared);
            next_id += 1;
        }
    }
}

fn forward(client: TcpStream, id: u64, shared: &Arc<Shared>) -> std::io::Result<()> {
    let cluster = TcpStream::connect(shared.target)?;
    client.set_nodelay(true)?;
    cluster.set_nodelay(true)?;
    let connection = Arc::new(Connection { client, cluster });
    shared.connections().insert(id, Arc::clone(&connection));
    let towards_cluster = {
        let (connection, shared) = (Arc::clone(&connection), Arc::clone(shared));
        Builder::new().name(format!("to cluster {id}")).stack_size(STACK_BYTES).spawn(move || {
            copy(&connection.client, &connection.cluster);
            connection.close();
            shared.connections().remove(&id);
        })
    };
    let towards_client = {
        let connection = Arc::clone(&connection);
        Builder::new().name(format!("to client {id}")).stack_size(STACK_BYTES).spawn(move || {
            copy(&connection.cluster, &connection.client);
            connection.close();
        })
    };
    if towards_cluster.is_err() || towards_client.is_err() {
        connection.close();
        shared.connections().remove(&id);
    }
    Ok(())
}

/// A client's connection and the one to the cluster that belongs to it.
#[derive(Debug)]
struct Connection {
    client: TcpStream,
    cluster: TcpStream,
}

impl Connection {
    /// Closes both, so that both copying threads end. A side that is closed already stays so.
    fn close(&self) {
        let _ = self.client.shutdown(Shutdown::Both);
        let _ = self.cluster.shutdown(Shutdown::Both);
    }
}

/// Copies until either side ends.
fn copy(mut from: &TcpStream, mut to: &TcpStream) {
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return,
            Ok(read) => {
                if to.write_all(&buffer[..read]).is_err() {
                    return;
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}

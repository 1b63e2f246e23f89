//! A TCP proxy that can be cut, so that its clients lose the server, or fall silent, so that they wait for it.

use dual_db::DatabaseSettings;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// A proxy on a loopback port that forwards connections to a server unless it is cut.
#[derive(Debug)]
pub struct ChaosProxy {
    address: SocketAddr,
    /// Both ends of every forwarded connection; `None` while the proxy is cut.
    connections: Arc<Mutex<Option<Vec<TcpStream>>>>,
    /// Whether the connections opened from now on are silent: they stay open, and what is sent over them is lost.
    silent: Arc<Mutex<Arc<AtomicBool>>>,
}

impl ChaosProxy {
    /// Starts a proxy for the server at `host:port`.
    ///
    /// # Panics
    /// If it cannot listen.
    pub fn open(server: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        let proxy = Self { address, connections: Arc::new(Mutex::new(Some(Vec::new()))), silent: Arc::default() };
        let (connections, silent, server) =
            (Arc::clone(&proxy.connections), Arc::clone(&proxy.silent), server.to_owned());
        // It also listens while it is cut, or another process could take the port.
        std::thread::spawn(move || {
            for client in listener.incoming() {
                if let Some(ends) = connections.lock().expect("no panic").as_mut() {
                    let client = client.expect("connects");
                    let server = TcpStream::connect(&server).expect("the server answers");
                    for (from, to) in [(&client, &server), (&server, &client)] {
                        let (from, to) = (from.try_clone().expect("a clone"), to.try_clone().expect("a clone"));
                        ends.push(from.try_clone().expect("a clone"));
                        let silent = Arc::clone(&silent.lock().expect("no panic"));
                        std::thread::spawn(move || copy(from, to, &silent));
                    }
                }
            }
        });
        proxy
    }

    /// Starts a proxy for the server of a PostgreSQL database. Returns it with the settings to reach the database through it.
    ///
    /// # Panics
    /// If it cannot listen, or the URL is not that of a [`TestDatabase`](crate::TestDatabase).
    pub fn for_database(settings: &DatabaseSettings) -> (Self, DatabaseSettings) {
        let (user, host) = settings.url.expose().rsplit_once('@').expect("a user");
        let (server, name) = host.split_once('/').expect("a name");
        let proxy = Self::open(server);
        let url = format!("{user}@{}/{name}", proxy.address()).into();
        (proxy, DatabaseSettings { url, ..settings.clone() })
    }

    /// The address that it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Closes every connection, and closes new ones at once.
    ///
    /// # Panics
    /// If it is already cut.
    pub fn cut(&self) {
        for connection in self.connections.lock().expect("no panic").take().expect("open") {
            // It may already be closed.
            let _ = connection.shutdown(Shutdown::Both);
        }
    }

    /// Makes every open connection silent for ever. New ones work.
    ///
    /// # Panics
    /// If one of its threads panicked.
    pub fn silence_open_connections(&self) {
        std::mem::take(&mut *self.silent.lock().expect("no panic")).store(true, Ordering::SeqCst);
    }

    /// Makes every open connection silent for ever, and new ones too until the proxy is restored.
    ///
    /// # Panics
    /// If one of its threads panicked.
    pub fn silence(&self) {
        self.silent.lock().expect("no panic").store(true, Ordering::SeqCst);
    }

    /// Forwards new connections again.
    ///
    /// # Panics
    /// If one of its threads panicked.
    pub fn restore(&self) {
        *self.silent.lock().expect("no panic") = Arc::default();
        self.connections.lock().expect("no panic").get_or_insert_default();
    }
}

fn copy(mut from: TcpStream, mut to: TcpStream, silent: &AtomicBool) {
    let mut buffer = [0; 16 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        if silent.load(Ordering::SeqCst) {
            continue;
        }
        if to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}

//! A way to a server that can be cut, so that the server is gone as far as its clients can tell.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// A proxy on a loopback port that forwards connections to a server while it is not cut.
#[derive(Debug)]
pub struct ChaosProxy {
    address: SocketAddr,
    /// Both ends of every connection that it forwards; none while it is cut.
    connections: Arc<Mutex<Option<Vec<TcpStream>>>>,
}

impl ChaosProxy {
    /// A proxy that forwards to the server at `host:port`.
    ///
    /// # Panics
    /// When it cannot listen.
    pub fn open(server: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        let proxy = Self { address, connections: Arc::new(Mutex::new(Some(Vec::new()))) };
        let (connections, server) = (Arc::clone(&proxy.connections), server.to_owned());
        // It listens while it is cut too, or another process could take the port.
        std::thread::spawn(move || {
            for client in listener.incoming() {
                if let Some(ends) = connections.lock().expect("no panic").as_mut() {
                    let client = client.expect("connects");
                    let server = TcpStream::connect(&server).expect("the server answers");
                    for (from, to) in [(&client, &server), (&server, &client)] {
                        let (from, to) = (from.try_clone().expect("a clone"), to.try_clone().expect("a clone"));
                        ends.push(from.try_clone().expect("a clone"));
                        std::thread::spawn(move || copy(from, to));
                    }
                }
            }
        });
        proxy
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Cuts every connection, and new ones at once.
    ///
    /// # Panics
    /// When it is cut already.
    pub fn cut(&self) {
        for connection in self.connections.lock().expect("no panic").take().expect("open") {
            // It may be closed already.
            let _ = connection.shutdown(Shutdown::Both);
        }
    }

    /// Forwards new connections again.
    ///
    /// # Panics
    /// When one of its threads did.
    pub fn restore(&self) {
        *self.connections.lock().expect("no panic") = Some(Vec::new());
    }
}

fn copy(mut from: TcpStream, mut to: TcpStream) {
    let mut buffer = [0; 16 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        if to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}

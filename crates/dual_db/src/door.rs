//! For tests: a way to a server that can be shut, so that the server is gone as far as its clients can tell.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// Forwards connections on a loopback port to a server while it is open.
pub(crate) struct Door {
    address: SocketAddr,
    /// Both ends of every connection that was let through; none while the door is closed.
    connections: Arc<Mutex<Option<Vec<TcpStream>>>>,
}

impl Door {
    /// An open door to the server at `host:port`.
    pub(crate) fn open(server: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        let door = Self { address, connections: Arc::new(Mutex::new(Some(Vec::new()))) };
        let (connections, server) = (Arc::clone(&door.connections), server.to_owned());
        // It listens while it is closed too, or somebody else could take the port.
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
        door
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Cuts every connection, and new ones at once.
    pub(crate) fn close(&self) {
        for connection in self.connections.lock().expect("no panic").take().expect("open") {
            // It may be closed already.
            let _ = connection.shutdown(Shutdown::Both);
        }
    }

    pub(crate) fn reopen(&self) {
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

//! For tests: a way to a server that can be shut, so that the server is gone as far as its clients can tell.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// Forwards connections on a loopback port to a server while it is open.
pub(crate) struct Door {
    address: SocketAddr,
    server: String,
    open: Arc<AtomicBool>,
    connections: Arc<Mutex<Vec<TcpStream>>>,
    accepting: Option<JoinHandle<()>>,
}

impl Door {
    /// An open door to the server at `host:port`.
    pub(crate) fn open(server: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        let (open, connections) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
        let mut door = Self { address, server: server.to_owned(), open, connections, accepting: None };
        door.accept(listener);
        door
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Cuts every connection and refuses new ones.
    pub(crate) fn close(&mut self) {
        self.open.store(false, Ordering::SeqCst);
        self.accepting.take().expect("open").join().expect("no panic");
        for connection in self.connections.lock().expect("no panic").drain(..) {
            // It may be closed already.
            let _ = connection.shutdown(Shutdown::Both);
        }
    }

    pub(crate) fn reopen(&mut self) {
        self.accept(TcpListener::bind(self.address).expect("the port is still free"));
    }

    fn accept(&mut self, listener: TcpListener) {
        self.open.store(true, Ordering::SeqCst);
        let (open, connections, server) = (Arc::clone(&self.open), Arc::clone(&self.connections), self.server.clone());
        listener.set_nonblocking(true).expect("a socket option");
        self.accepting = Some(std::thread::spawn(move || {
            while open.load(Ordering::SeqCst) {
                let Ok((client, _)) = listener.accept() else {
                    std::thread::sleep(Duration::from_millis(5));
                    continue;
                };
                client.set_nonblocking(false).expect("a socket option");
                let server = TcpStream::connect(&server).expect("the server answers");
                let mut ends = connections.lock().expect("no panic");
                for (from, to) in [(&client, &server), (&server, &client)] {
                    let (from, to) = (from.try_clone().expect("a clone"), to.try_clone().expect("a clone"));
                    ends.push(from.try_clone().expect("a clone"));
                    std::thread::spawn(move || copy(from, to));
                }
            }
        }));
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

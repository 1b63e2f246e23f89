//! A TCP proxy with the faults of a network, for connections to any server: silence, slowness, one lost direction, resets.

mod link;
mod mode;
mod schedule;

pub use mode::{Direction, Mode};
pub use schedule::{Connections, Disturbance, Schedule};

use dual_db::DatabaseSettings;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;

/// A proxy on a loopback port. It forwards connections to a server as its [`Mode`] says, which can be changed at any time, apart
/// for the connections that exist and for new ones. Dropping it closes every connection.
#[derive(Debug)]
pub struct ChaosProxy {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    /// `None` only while it is dropped.
    runtime: Option<Runtime>,
}

#[derive(Debug)]
struct State {
    /// The mode of new connections.
    new: Mode,
    /// The mode of each connection that exists; no one receives it once the connection is closed.
    existing: Vec<watch::Sender<Mode>>,
}

impl ChaosProxy {
    /// Starts a proxy on a free port for the server at `host:port`, which need not run yet.
    ///
    /// # Panics
    /// If it cannot listen.
    pub fn open(server: &str) -> Self {
        Self::open_at("127.0.0.1:0", server)
    }

    /// Starts a proxy at an address, for servers that tell their clients where to connect.
    ///
    /// # Panics
    /// If it cannot listen there.
    pub fn open_at(address: &str, server: &str) -> Self {
        let listener = TcpListener::bind(address).unwrap_or_else(|error| panic!("{address} can be bound: {error}"));
        let address = listener.local_addr().expect("bound");
        listener.set_nonblocking(true).expect("a listener can be non-blocking");
        let state = Arc::new(Mutex::new(State { new: Mode::Pass, existing: Vec::new() }));
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        // It listens in every mode, or another process could take the port.
        runtime.spawn(listen(listener, server.to_owned(), Arc::clone(&state)));
        Self { address, state, runtime: Some(runtime) }
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

    /// Sets the mode of all connections.
    pub fn set(&self, mode: Mode) {
        self.set_new(mode);
        self.set_existing(mode);
    }

    /// Sets the mode of the connections that exist now. New ones keep theirs.
    pub fn set_existing(&self, mode: Mode) {
        lock(&self.state).existing.retain(|connection| connection.send(mode).is_ok() && mode != Mode::Cut);
    }

    /// Sets the mode of new connections. Those that exist keep theirs.
    pub fn set_new(&self, mode: Mode) {
        lock(&self.state).new = mode;
    }

    /// Sets a mode for the connections that a disturbance concerns.
    pub fn disturb(&self, disturbance: &Disturbance) {
        match disturbance.connections {
            Connections::All => self.set(disturbance.mode),
            Connections::Existing => self.set_existing(disturbance.mode),
            Connections::New => self.set_new(disturbance.mode),
        }
    }

    /// Makes every connection silent, and new ones too.
    pub fn silence(&self) {
        self.set(Mode::Silent);
    }

    /// Makes the connections that exist silent. New ones pass.
    pub fn silence_open_connections(&self) {
        self.set_existing(Mode::Silent);
    }

    /// Resets every connection, and resets new ones at once.
    pub fn cut(&self) {
        self.set(Mode::Cut);
    }

    /// Forwards again, also what was held back. Connections that were reset stay so.
    pub fn restore(&self) {
        self.set(Mode::Pass);
    }
}

impl Drop for ChaosProxy {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn listen(listener: TcpListener, server: String, state: Arc<Mutex<State>>) {
    let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
    loop {
        // A client may have gone already.
        let Ok((client, _)) = listener.accept().await else { continue };
        let mut state = lock(&state);
        let (mode, receiver) = watch::channel(state.new);
        state.existing.retain(|connection| !connection.is_closed());
        state.existing.push(mode);
        tokio::spawn(link::forward(client, server.clone(), receiver));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{ErrorKind, Read, Write};
    use std::net::TcpStream;
    use std::time::{Duration, Instant};

    /// How long nothing may arrive before a connection counts as silent.
    const SILENCE: Duration = Duration::from_millis(300);
    const PATIENCE: Duration = crate::PATIENCE;

    /// A server that returns what it receives. Returns its address.
    fn echo() -> String {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound").to_string();
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let (mut from, mut to) = client.and_then(|c| Ok((c.try_clone()?, c))).expect("connects");
                std::thread::spawn(move || std::io::copy(&mut from, &mut to));
            }
        });
        address
    }

    /// A server that counts the bytes that it receives and returns none.
    fn sink() -> (String, std::sync::mpsc::Receiver<usize>) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound").to_string();
        let (sender, received) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let (mut client, _) = listener.accept().expect("connects");
            let mut buffer = [0; 1024];
            while let Ok(read @ 1..) = client.read(&mut buffer) {
                let _ = sender.send(read);
            }
        });
        (address, received)
    }

    struct Client(TcpStream);

    impl Client {
        fn of(proxy: &ChaosProxy) -> Self {
            Self(TcpStream::connect(proxy.address()).expect("the proxy listens"))
        }

        fn send(&mut self, text: &str) {
            self.0.write_all(text.as_bytes()).expect("the connection is open");
        }

        fn receive(&mut self, text: &str) {
            self.0.set_read_timeout(Some(PATIENCE)).expect("a time-out");
            let mut buffer = vec![0; text.len()];
            self.0.read_exact(&mut buffer).expect("it arrives");
            assert_eq!(String::from_utf8_lossy(&buffer), text);
        }

        fn round_trip(&mut self) {
            self.send("ping");
            self.receive("ping");
        }

        fn receives_nothing(&mut self) {
            self.0.set_read_timeout(Some(SILENCE)).expect("a time-out");
            let kind = self.0.read(&mut [0]).expect_err("nothing arrives, and the connection is open").kind();
            assert!(matches!(kind, ErrorKind::WouldBlock | ErrorKind::TimedOut), "{kind:?}");
        }

        fn is_reset(&mut self) {
            self.0.set_read_timeout(Some(PATIENCE)).expect("a time-out");
            assert_eq!(self.0.read(&mut [0]).expect_err("it is reset").kind(), ErrorKind::ConnectionReset);
        }
    }

    #[test]
    fn what_a_silent_connection_holds_back_arrives_when_it_passes_again() {
        let proxy = ChaosProxy::open(&echo());
        let mut old = Client::of(&proxy);
        old.round_trip();
        proxy.silence();
        let mut new = Client::of(&proxy);
        for client in [&mut old, &mut new] {
            client.send("held back");
            client.receives_nothing();
        }
        proxy.restore();
        for client in [&mut old, &mut new] {
            client.receive("held back");
            client.round_trip();
        }
    }

    #[test]
    fn existing_connections_can_be_silent_while_new_ones_pass_and_the_other_way_round() {
        let proxy = ChaosProxy::open(&echo());
        let mut old = Client::of(&proxy);
        old.round_trip();
        proxy.silence_open_connections();
        Client::of(&proxy).round_trip();
        old.send("held back");
        old.receives_nothing();
        proxy.restore();
        old.receive("held back");
        proxy.set_new(Mode::Silent);
        old.round_trip();
        let mut new = Client::of(&proxy);
        new.send("held back");
        new.receives_nothing();
    }

    #[test]
    fn a_half_open_connection_passes_one_direction() {
        let (server, received) = sink();
        let proxy = ChaosProxy::open(&server);
        let mut client = Client::of(&proxy);
        proxy.set(Mode::OneWay(Direction::ToServer));
        client.send("arrives");
        assert_eq!(received.recv_timeout(PATIENCE), Ok("arrives".len()));
        proxy.set(Mode::OneWay(Direction::ToClient));
        client.send("does not");
        assert!(received.recv_timeout(SILENCE).is_err());

        let proxy = ChaosProxy::open(&echo());
        let mut client = Client::of(&proxy);
        client.round_trip();
        proxy.set(Mode::OneWay(Direction::ToServer));
        client.send("its echo does not arrive");
        client.receives_nothing();
    }

    #[test]
    fn a_slow_connection_delays_and_limits() {
        let proxy = ChaosProxy::open(&echo());
        let mut client = Client::of(&proxy);
        client.round_trip();
        let delay = Duration::from_millis(50);
        proxy.set(Mode::Slow { delay, bytes_per_s: 10_000 });
        let began = Instant::now();
        client.round_trip();
        assert!(began.elapsed() >= 2 * delay, "{:?}", began.elapsed());
        let (began, text) = (Instant::now(), "x".repeat(2_000));
        client.send(&text);
        client.receive(&text);
        // 200 ms there, the last of which may overlap with those back.
        assert!(began.elapsed() >= 2 * delay + Duration::from_millis(200), "{:?}", began.elapsed());
    }

    #[test]
    fn a_cut_resets_connections_and_a_restored_proxy_takes_new_ones() {
        let proxy = ChaosProxy::open(&echo());
        let mut old = Client::of(&proxy);
        old.round_trip();
        proxy.cut();
        old.is_reset();
        Client::of(&proxy).is_reset();
        proxy.restore();
        Client::of(&proxy).round_trip();
        proxy.set_new(Mode::Cut);
        Client::of(&proxy).is_reset();
    }

    #[test]
    fn a_silent_connection_can_be_cut() {
        let proxy = ChaosProxy::open(&echo());
        let mut client = Client::of(&proxy);
        client.round_trip();
        proxy.silence();
        client.send("held back");
        client.receives_nothing();
        proxy.cut();
        client.is_reset();
    }

    #[test]
    fn a_server_that_is_not_there_resets_its_clients_until_it_is() {
        let address = crate::free_address();
        let proxy = ChaosProxy::open(&address.to_string());
        Client::of(&proxy).is_reset();
        let listener = TcpListener::bind(address).expect("it is free");
        let mut client = Client::of(&proxy);
        let (mut server, _) = listener.accept().expect("connects");
        server.write_all(b"here").expect("the connection is open");
        client.receive("here");
        drop(server);
        client.0.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        assert_eq!(client.0.read(&mut [0]).expect("its end passes"), 0);
    }
}

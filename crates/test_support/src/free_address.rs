//! Free loopback addresses, for servers whose address must be known before they start or stay the same over restarts.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::Mutex;

/// The ports to choose from: below the ephemeral ports of operating systems, and none that this project's scripts use.
const PORTS: std::ops::Range<u16> = 20_000..25_000;

/// Reserves the returned addresses until the process ends.
static TOKENS: Mutex<Vec<UdpSocket>> = Mutex::new(Vec::new());

/// A loopback address where no program listens. No other call, in this or another process, returns it while this process is
/// running, even if nothing listens there.
///
/// # Panics
/// If none of five thousand ports is free.
pub fn free_address() -> SocketAddr {
    for port in PORTS {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        // UDP and TCP ports are independent: binding the UDP port reserves the TCP port among these tests and leaves it free.
        let Ok(token) = UdpSocket::bind(address) else { continue };
        if TcpListener::bind(address).is_ok() {
            TOKENS.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(token);
            return address;
        }
    }
    panic!("none of the ports {PORTS:?} is free");
}

#[cfg(test)]
mod tests {
    use super::free_address;
    use std::collections::HashSet;
    use std::net::TcpListener;

    #[test]
    fn no_address_is_returned_twice_and_each_can_be_bound() {
        let asking: Vec<_> = (0..8).map(|_| std::thread::spawn(|| [(); 8].map(|()| free_address()))).collect();
        let given: Vec<_> = asking.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
        assert_eq!(given.iter().collect::<HashSet<_>>().len(), 64);
        for address in given {
            TcpListener::bind(address).unwrap();
            TcpListener::bind(address).unwrap();
        }
    }
}

//! Where something will listen that has to be known before it does, or that listens there again and again.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::Mutex;

/// Below the ports that operating systems give to a program that asks for any, and clear of the ports that this project's scripts use.
const PORTS: std::ops::Range<u16> = 20_000..25_000;

/// The tokens of the addresses that were given away, until the process ends.
static TOKENS: Mutex<Vec<UdpSocket>> = Mutex::new(Vec::new());

/// A loopback address where no program listens. No other call returns it while this process lives, be it in another
/// process: not while no program listens there yet, nor while the one that listened there is stopped.
///
/// # Panics
/// When none of five thousand ports is free.
pub fn free_address() -> SocketAddr {
    for port in PORTS {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        // UDP numbers its ports apart from TCP's: holding the one keeps others here off the other, and leaves it free.
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
    fn no_address_is_given_twice_and_each_can_be_listened_on() {
        let asking: Vec<_> = (0..8).map(|_| std::thread::spawn(|| [(); 8].map(|()| free_address()))).collect();
        let given: Vec<_> = asking.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
        assert_eq!(given.iter().collect::<HashSet<_>>().len(), 64);
        for address in given {
            TcpListener::bind(address).unwrap();
            TcpListener::bind(address).unwrap();
        }
    }
}

//! Finds the socket of a PostgreSQL connection, and shuts it down, so that a call that waits for the server returns an error.
//!
//! Diesel keeps libpq's socket to itself, and libpq waits without a limit. So each connection is opened with a value of
//! `TCP_USER_TIMEOUT` that no other socket of this process has (libpq's parameter `tcp_user_timeout`), and is found by it.
//!
//! The only module with `unsafe` code: a file descriptor that is known by its number has to be borrowed.

use rustix::fd::{BorrowedFd, OwnedFd, RawFd};
use rustix::net::{Shutdown, SocketAddrUnix, getpeername, shutdown, sockopt};

/// Shuts down the socket with this value of `TCP_USER_TIMEOUT`, in milliseconds. Returns whether there was one.
///
/// A Unix-domain socket has no such option. If no TCP socket has the value, all connections of this process to the Unix-domain
/// socket of a PostgreSQL server are shut down: they lead to the same silent server, and the pool replaces them.
pub(crate) fn shut_down(user_timeout_ms: u32) -> bool {
    let sockets = open_sockets();
    let marked = sockets.iter().filter(|socket| sockopt::tcp_user_timeout(socket) == Ok(user_timeout_ms));
    if marked.filter(|socket| shutdown(socket, Shutdown::Both).is_ok()).count() > 0 {
        return true;
    }
    let local = sockets.iter().filter(|socket| leads_to_postgres(socket));
    local.filter(|socket| shutdown(socket, Shutdown::Both).is_ok()).count() > 0
}

fn leads_to_postgres(socket: &OwnedFd) -> bool {
    let Ok(Some(peer)) = getpeername(socket) else { return false };
    let Ok(peer) = SocketAddrUnix::try_from(peer) else { return false };
    peer.path().is_some_and(|path| path.to_bytes().windows(9).any(|part| part == b".s.PGSQL."))
}

/// Duplicates of the descriptors of this process that are sockets. A duplicate stays the same socket, also if its number is
/// closed and used again meanwhile.
fn open_sockets() -> Vec<OwnedFd> {
    let Ok(descriptors) = std::fs::read_dir("/proc/self/fd") else { return Vec::new() };
    let numbers = descriptors.filter_map(|entry| {
        let entry = entry.ok()?;
        let target = std::fs::read_link(entry.path()).ok()?;
        target.to_str().filter(|target| target.starts_with("socket:"))?;
        entry.file_name().to_str()?.parse().ok()
    });
    numbers.filter_map(duplicate).collect()
}

#[allow(unsafe_code, reason = "a descriptor that is known by its number")]
fn duplicate(number: RawFd) -> Option<OwnedFd> {
    // SAFETY: the number was read from the list of open descriptors, is not -1, and is only duplicated. If it was closed since,
    // the system call returns an error.
    rustix::io::fcntl_dupfd_cloexec(unsafe { BorrowedFd::borrow_raw(number) }, 0).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::net::{TcpListener, TcpStream};
    use std::os::unix::net::{UnixListener, UnixStream};

    #[test]
    fn only_the_socket_with_the_value_is_shut_down() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let [mut marked, other] = [77_001, 77_002].map(|user_timeout_ms| {
            let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            sockopt::set_tcp_user_timeout(&stream, user_timeout_ms).unwrap();
            stream
        });
        assert!(shut_down(77_001));
        assert_eq!(marked.read(&mut [0]).unwrap(), 0, "the end of the stream");
        other.set_nonblocking(true).unwrap();
        assert_eq!((&other).read(&mut [0]).unwrap_err().kind(), std::io::ErrorKind::WouldBlock, "it is still open");
    }

    #[test]
    fn a_unix_domain_socket_of_postgresql_is_shut_down_by_its_path() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(".s.PGSQL.5432");
        let _listener = UnixListener::bind(&path).unwrap();
        let mut stream = UnixStream::connect(&path).unwrap();
        // Another test may have shut it down already.
        let _ = shut_down(77_004);
        assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    }
}

//! One forwarded connection.

use super::mode::{Direction, Mode};
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch::Receiver;

/// Forwards a connection until both its directions have ended or it is cut.
pub(super) async fn forward(mut client: TcpStream, server: String, mode: Receiver<Mode>) {
    let cut = tokio::select! {
        () = cut(mode.clone()) => true,
        connected = connect(&server, mode.clone()) => match connected {
            Err(_) => true,
            Ok(mut server) => {
                let cut = tokio::select! {
                    () = cut(mode.clone()) => true,
                    () = both_ways(&mut client, &mut server, &mode) => false,
                };
                if cut {
                    reset(&server);
                }
                cut
            }
        },
    };
    if cut {
        reset(&client);
    }
}

/// A silent network opens no connection.
async fn connect(server: &str, mode: Receiver<Mode>) -> io::Result<TcpStream> {
    passage(mode, Direction::ToServer).await;
    TcpStream::connect(server).await
}

async fn both_ways(client: &mut TcpStream, server: &mut TcpStream, mode: &Receiver<Mode>) {
    let (from_client, to_client) = client.split();
    let (from_server, to_server) = server.split();
    let _ = tokio::join!(
        one_way(from_client, to_server, Direction::ToServer, mode.clone()),
        one_way(from_server, to_client, Direction::ToClient, mode.clone()),
    );
}

async fn one_way(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    direction: Direction,
    mode: Receiver<Mode>,
) -> io::Result<()> {
    let mut buffer = [0; 16 * 1024];
    loop {
        // An end without a FIN is passed on as one with it.
        let read = from.read(&mut buffer).await.unwrap_or(0);
        let mode = passage(mode.clone(), direction).await;
        tokio::time::sleep(mode.pause(read)).await;
        if read == 0 {
            return to.shutdown().await;
        }
        to.write_all(&buffer[..read]).await?;
    }
}

/// Waits until a direction passes, and returns the mode.
async fn passage(mode: Receiver<Mode>, direction: Direction) -> Mode {
    wait_for(mode, |mode| !mode.holds(direction)).await
}

/// Waits until the connection is cut.
async fn cut(mode: Receiver<Mode>) {
    wait_for(mode, |mode| mode == Mode::Cut).await;
}

async fn wait_for(mut mode: Receiver<Mode>, is_so: impl Fn(Mode) -> bool) -> Mode {
    let found = mode.wait_for(|mode| is_so(*mode)).await.map(|mode| *mode);
    match found {
        Ok(mode) => mode,
        // The proxy was dropped, and this task ends with its runtime.
        Err(_) => std::future::pending().await,
    }
}

/// Lets the end of a connection, when it is dropped, be a RST.
fn reset(connection: &TcpStream) {
    // It may be closed already.
    let _ = connection.set_zero_linger();
}

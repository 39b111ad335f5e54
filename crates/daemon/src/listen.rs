//! The one place where connections are accepted.

mod connection;
mod preface;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use bireme_core::limits;
use futures_util::Stream;
use rustix::net::sockopt::set_tcp_congestion;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

pub use connection::{Connection, Room};
pub use preface::{Door, Magic, Strangers};

/// The congestion control that every Linux has and lets everyone choose.
const UNPACED: &str = "reno";

/// An open port.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    address: SocketAddr,
    /// A permit for each connection that may still be accepted; the kernel keeps further ones waiting.
    room: Arc<Semaphore>,
    door: Option<Door>,
    strangers: Strangers,
}

/// The port cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot listen on {address}: {problem}; give another address, or port 0 to let the system choose"
)]
pub struct ListenError {
    /// What was asked for.
    pub address: String,
    /// What the system says.
    pub problem: io::Error,
}

impl Listener {
    /// Opens a port, `HOST:PORT`, for at most `connections` at a time. Port 0 lets the kernel choose.
    pub async fn bind(address: &str, connections: usize) -> Result<Self, ListenError> {
        let failed = |problem| ListenError { address: address.to_owned(), problem };
        let socket = TcpListener::bind(address).await.map_err(failed)?;
        Self::new(socket, connections).map_err(failed)
    }

    /// Takes over a port that another process opened. Must be called inside the runtime that is to accept from it.
    pub fn inherit(socket: std::net::TcpListener, connections: usize) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        Self::new(TcpListener::from_std(socket)?, connections)
    }

    fn new(socket: TcpListener, connections: usize) -> io::Result<Self> {
        let address = socket.local_addr()?;
        if address.ip().is_loopback() {
            // BBR paces what it sends, looking for a bottleneck that is not there, and takes twice as long. A connection
            // keeps its pace from when it was made, so that only the port can do without. Where it may not, all is as before.
            let _ = set_tcp_congestion(&socket, UNPACED);
        }
        let room = Arc::new(Semaphore::new(connections));
        Ok(Self { socket, address, room, door: None, strangers: Strangers::default() })
    }

    /// Where it listens, with the port that was chosen.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The next connection, once there is room for it. What goes wrong with a single connection, or for the time being,
    /// is logged and left behind.
    ///
    /// Cancel-safe: a connection that was not returned is still waiting.
    pub async fn accept(&self) -> Connection {
        let room = Arc::clone(&self.room).acquire_owned().await.expect("never closed");
        loop {
            match self.socket.accept().await {
                Ok((stream, _)) => {
                    // Fails only if the peer is gone, as the first read will tell.
                    let _ = stream.set_nodelay(true);
                    return Connection { stream, room };
                }
                Err(error) if is_about_one_connection(&error) => {
                    tracing::debug!(%error, "connection lost before it was accepted");
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept connections, will try again");
                    // Descriptors or memory have run out, and nothing tells when there are some.
                    tokio::time::sleep(limits::ACCEPT_PAUSE.to_std()).await;
                }
            }
        }
    }

    /// Opens another way in than HTTP/2.
    #[must_use]
    pub fn with_door(self, door: Door) -> Self {
        Self { door: Some(door), ..self }
    }

    /// Counts those whom [`Listener::incoming`] cuts off.
    pub fn strangers(&self) -> Strangers {
        self.strangers.clone()
    }

    /// The connections that speak HTTP/2, as `tonic`'s `serve_with_incoming_shutdown` takes them; others go through the
    /// door if they begin with its magic. Whoever begins otherwise, or says nothing for [`limits::HELLO_WAIT`], is cut
    /// off, and keeps nobody else waiting. Never ends.
    pub fn incoming(self) -> impl Stream<Item = io::Result<Connection>> + Send {
        preface::sort(self)
    }
}

fn is_about_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures_util::{FutureExt, StreamExt};
    use rustix::net::sockopt::tcp_congestion;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;
    use tonic::transport::server::Connected;

    use super::*;
    use crate::guarded;

    #[tokio::test]
    async fn the_kernel_chooses_port_0_and_bytes_pass() {
        let listener = Listener::bind("127.0.0.1:0", 1).await.unwrap();
        assert_ne!(listener.address().port(), 0);
        let mut near = TcpStream::connect(listener.address()).await.unwrap();
        near.write_all(b"PRI * HTTP/2.0").await.unwrap();
        let mut incoming = pin!(listener.incoming());
        let mut far = guarded(incoming.next()).await.unwrap().unwrap();
        assert!(far.stream.nodelay().unwrap());
        assert_eq!(tcp_congestion(&far.stream).unwrap(), UNPACED);
        assert_eq!(far.connect_info().remote_addr(), Some(near.local_addr().unwrap()));
        far.write_all(b"ahoy").await.unwrap();
        far.shutdown().await.unwrap();
        let mut text = String::new();
        guarded(near.read_to_string(&mut text)).await.unwrap();
        assert_eq!(text, "ahoy");
    }

    #[tokio::test]
    async fn a_connection_beyond_the_limit_waits_until_one_ends() {
        let listener = Listener::bind("127.0.0.1:0", 1).await.unwrap();
        let _first = TcpStream::connect(listener.address()).await.unwrap();
        let _second = TcpStream::connect(listener.address()).await.unwrap();
        let accepted = guarded(listener.accept()).await;
        let mut next = pin!(listener.accept());
        assert!(next.as_mut().now_or_never().is_none());
        drop(accepted);
        guarded(next).await;
    }

    #[tokio::test]
    async fn an_inherited_port_accepts() {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let listener = Listener::inherit(socket, 1).unwrap();
        let near = TcpStream::connect(listener.address()).await.unwrap();
        let far = guarded(listener.accept()).await;
        assert_eq!(far.connect_info().remote_addr(), Some(near.local_addr().unwrap()));
    }

    #[tokio::test]
    async fn a_taken_port_is_named() {
        let listener = Listener::bind("127.0.0.1:0", 1).await.unwrap();
        let address = listener.address().to_string();
        let error = Listener::bind(&address, 1).await.unwrap_err();
        assert!(error.to_string().starts_with(&format!("cannot listen on {address}: ")), "{error}");
    }
}

//! The one place where connections are accepted.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bireme_core::limits;
use futures_util::Stream;
use futures_util::stream::unfold;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::transport::server::{Connected, TcpConnectInfo};

/// An open port.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    address: SocketAddr,
    /// A permit for each connection that may still be accepted; the kernel keeps further ones waiting.
    room: Arc<Semaphore>,
}

/// An accepted connection. It counts against its listener's limit for as long as it lives.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    _room: OwnedSemaphorePermit,
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
        let address = socket.local_addr().map_err(failed)?;
        Ok(Self { socket, address, room: Arc::new(Semaphore::new(connections)) })
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
                    return Connection { stream, _room: room };
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

    /// Every connection, as `tonic`'s `serve_with_incoming_shutdown` takes them. Never ends.
    pub fn incoming(self) -> impl Stream<Item = io::Result<Connection>> + Send {
        unfold(self, async |listener| {
            let connection = listener.accept().await;
            Some((Ok(connection), listener))
        })
    }
}

fn is_about_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

impl Connected for Connection {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        self.stream.connect_info()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures_util::{FutureExt, StreamExt};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::guarded;

    #[tokio::test]
    async fn the_kernel_chooses_port_0_and_bytes_pass() {
        let listener = Listener::bind("127.0.0.1:0", 1).await.unwrap();
        assert_ne!(listener.address().port(), 0);
        let mut near = TcpStream::connect(listener.address()).await.unwrap();
        let mut incoming = pin!(listener.incoming());
        let mut far = guarded(incoming.next()).await.unwrap().unwrap();
        assert!(far.stream.nodelay().unwrap());
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
    async fn a_taken_port_is_named() {
        let listener = Listener::bind("127.0.0.1:0", 1).await.unwrap();
        let address = listener.address().to_string();
        let error = Listener::bind(&address, 1).await.unwrap_err();
        assert!(error.to_string().starts_with(&format!("cannot listen on {address}: ")), "{error}");
    }
}

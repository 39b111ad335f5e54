//! Telling connections apart by what they begin with.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bireme_core::limits;
use futures_util::stream::{FuturesUnordered, Stream, StreamExt, unfold};
use tokio::io::AsyncReadExt;
use tokio::time::timeout;

use super::{Connection, Listener};

/// What a connection that is no HTTP/2 begins with.
pub type Magic = [u8; 8];

/// How HTTP/2 begins.
const HTTP2: Magic = *b"PRI * HT";

/// Another way in than HTTP/2: who begins with the magic goes through. Its first byte must not be that of HTTP/2.
#[derive(Clone)]
pub struct Door {
    magic: Magic,
    enter: Arc<dyn Fn(Connection) + Send + Sync>,
}

impl Door {
    /// Hands connections that begin with `magic` to `enter`, which must not wait. The magic has been read.
    pub fn new(magic: Magic, enter: impl Fn(Connection) + Send + Sync + 'static) -> Self {
        debug_assert_ne!(magic[0], HTTP2[0], "one byte must tell them apart");
        Self { magic, enter: Arc::new(enter) }
    }
}

impl fmt::Debug for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Door").field("magic", &self.magic.escape_ascii()).finish_non_exhaustive()
    }
}

/// Counts connections that were cut off because they began with nothing that is known here, or with nothing at all.
#[derive(Clone, Debug, Default)]
pub struct Strangers(Arc<AtomicU64>);

impl Strangers {
    /// How many there were.
    pub fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The connections that turn out to speak HTTP/2. Those of which that is not known yet count against the listener's limit
/// like any other, and nobody waits for them.
pub(super) fn sort(listener: Listener) -> impl Stream<Item = io::Result<Connection>> + Send {
    let unknown = FuturesUnordered::new();
    unfold((listener, unknown), async |(listener, mut unknown)| {
        loop {
            tokio::select! {
                connection = listener.accept() => {
                    let (door, strangers) = (listener.door.clone(), listener.strangers.clone());
                    unknown.push(usher(connection, door, strangers));
                }
                Some(known) = unknown.next() => {
                    if let Some(connection) = known {
                        return Some((Ok(connection), (listener, unknown)));
                    }
                }
            }
        }
    })
}

/// Gives back a connection that speaks HTTP/2, sends one with the door's magic through the door, and cuts off any other.
async fn usher(
    mut connection: Connection,
    door: Option<Door>,
    strangers: Strangers,
) -> Option<Connection> {
    let magic = door.as_ref().map(|door| door.magic);
    let seen = timeout(limits::HELLO_WAIT.to_std(), recognise(&mut connection, magic)).await;
    match (seen, door) {
        (Ok(Ok(Preface::Http2)), _) => return Some(connection),
        (Ok(Ok(Preface::Magic)), Some(door)) => (door.enter)(connection),
        (Ok(Ok(Preface::Gone)), _) => {}
        _ => {
            strangers.0.fetch_add(1, Ordering::Relaxed);
            tracing::debug!("connection cut off: it begins with nothing known here");
        }
    }
    None
}

/// What a connection began with.
enum Preface {
    Http2,
    Magic,
    Unknown,
    Gone,
}

/// Looks at the first bytes, and takes them only where they begin as the magic does.
async fn recognise(connection: &mut Connection, magic: Option<Magic>) -> io::Result<Preface> {
    let mut first = Magic::default();
    let seen = connection.stream.peek(&mut first).await?;
    let seen = first.get(..seen).unwrap_or_default();
    if seen.is_empty() {
        return Ok(Preface::Gone);
    }
    if HTTP2.starts_with(seen) {
        return Ok(Preface::Http2);
    }
    let Some(magic) = magic.filter(|magic| magic.starts_with(seen)) else {
        return Ok(Preface::Unknown);
    };
    // To wait for more than was seen, what was seen must be taken.
    connection.stream.read_exact(&mut first).await?;
    Ok(if first == magic { Preface::Magic } else { Preface::Unknown })
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpStream;
    use tokio::sync::mpsc;

    use super::*;
    use crate::guarded;

    const MAGIC: Magic = *b"\x01doorway";

    async fn listener(connections: usize) -> (Listener, mpsc::Receiver<Connection>) {
        let (entered, through) = mpsc::channel(8);
        let enter = move |connection| entered.try_send(connection).unwrap();
        let listener = Listener::bind("127.0.0.1:0", connections).await.unwrap();
        (listener.with_door(Door::new(MAGIC, enter)), through)
    }

    async fn call(listener: &Listener, says: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(listener.address()).await.unwrap();
        stream.write_all(says).await.unwrap();
        stream
    }

    #[tokio::test]
    async fn the_first_bytes_tell_where_a_connection_goes() {
        let (listener, mut through) = listener(8).await;
        let strangers = listener.strangers();
        let mut bulk = call(&listener, b"\x01door").await;
        let mut wrong = call(&listener, b"\x01dungeon").await;
        let mut random = call(&listener, b"\x7fELF").await;
        let http = call(&listener, b"PRI").await;
        let mut incoming = pin!(listener.incoming());
        let mut first = guarded(incoming.next()).await.unwrap().unwrap();
        assert_eq!(first.stream.peer_addr().unwrap(), http.local_addr().unwrap());
        let mut taken = [0; 3];
        first.stream.read_exact(&mut taken).await.unwrap();
        assert_eq!(&taken, b"PRI", "what tonic is to read was only looked at");

        bulk.write_all(b"wayREST").await.unwrap();
        let entered = async {
            tokio::select! {
                entered = through.recv() => entered.unwrap(),
                other = incoming.next() => panic!("{other:?}"),
            }
        };
        let mut entered = guarded(entered).await;
        let mut rest = [0; 4];
        entered.stream.read_exact(&mut rest).await.unwrap();
        assert_eq!(&rest, b"REST");
        for stranger in [&mut wrong, &mut random] {
            // Reset or closed, whatever was left unread.
            let ended = guarded(stranger.read(&mut [0])).await;
            assert!(matches!(ended, Ok(0) | Err(_)));
        }
        assert_eq!(strangers.count(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn who_says_nothing_is_cut_off_and_holds_up_nobody() {
        let (listener, _through) = listener(2).await;
        let strangers = listener.strangers();
        let mut silent = call(&listener, b"").await;
        let mut slow = call(&listener, b"\x01d").await;
        let mut next = None;
        let mut incoming = pin!(listener.incoming());
        for mute in [&mut silent, &mut slow] {
            let mut byte = [0];
            let ended = async {
                tokio::select! {
                    ended = mute.read(&mut byte) => ended,
                    known = incoming.next() => panic!("{known:?}"),
                }
            };
            assert!(matches!(ended.await, Ok(0) | Err(_)));
            next.get_or_insert_with(|| strangers.count());
        }
        assert_eq!(strangers.count(), 2);
    }
}

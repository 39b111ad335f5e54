//! The streams that are up, by connection and by peer, and those among them that have something to tell.

use tokio::sync::oneshot;

use bireme_core::hash::{IdMap, Seeded};
use bireme_core::reason::Refusal;

use crate::machine::{ConnId, Machine, Peer};
use crate::rpc::pipe::Pipe;

/// One stream.
#[derive(Debug)]
pub(crate) struct Stream {
    /// Its outgoing half.
    pub(crate) pipe: Pipe,
    /// Where it comes from, for people.
    pub(crate) origin: String,
    /// Name and version of the peer's software.
    pub(crate) product: String,
    /// Whose it is, once the machine has said so.
    peer: Option<Peer>,
    /// It is among those to be flushed.
    woken: bool,
    /// Dropped with the stream: whoever reads from the peer stops.
    _open: oneshot::Sender<()>,
}

impl Stream {
    /// A stream whose peer has said hello. The receiver hears when the driver has done with it.
    pub(crate) fn new(
        pipe: Pipe,
        origin: String,
        product: String,
    ) -> (Box<Self>, oneshot::Receiver<()>) {
        let (open, closed) = oneshot::channel();
        let stream = Self { pipe, origin, product, peer: None, woken: false, _open: open };
        (Box::new(stream), closed)
    }
}

/// Whose streams are flushed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Whom {
    /// Everybody's.
    All,
    /// Those of workers; sessions wait.
    Workers,
}

/// Who was told something.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flushed {
    /// Anybody was, or waits for it.
    pub(crate) any: bool,
    /// Sessions were.
    pub(crate) sessions: bool,
}

/// All streams.
#[derive(Debug)]
pub(crate) struct Streams {
    by_conn: IdMap<ConnId, Box<Stream>>,
    by_peer: IdMap<Peer, ConnId>,
    woken: Vec<ConnId>,
}

impl Streams {
    /// No streams; the seed is for hashing.
    pub(crate) fn new(seed: u64) -> Self {
        let seeded = Seeded::new(seed);
        Self {
            by_conn: IdMap::with_hasher(seeded.clone()),
            by_peer: IdMap::with_hasher(seeded),
            woken: Vec::new(),
        }
    }

    /// A stream has come up.
    pub(crate) fn insert(&mut self, conn: ConnId, stream: Box<Stream>) {
        self.by_conn.insert(conn, stream);
    }

    /// The machine has accepted a stream as that of `peer`.
    pub(crate) fn bind(&mut self, conn: ConnId, peer: Peer) -> Option<&mut Pipe> {
        let stream = self.by_conn.get_mut(&conn)?;
        stream.peer = Some(peer);
        self.by_peer.insert(peer, conn);
        Some(&mut stream.pipe)
    }

    /// Whose stream it is.
    pub(crate) fn peer(&self, conn: ConnId) -> Option<Peer> {
        self.by_conn.get(&conn)?.peer
    }

    /// The stream of a peer.
    pub(crate) fn of(&self, peer: Peer) -> Option<&Stream> {
        self.by_conn.get(self.by_peer.get(&peer)?).map(|stream| &**stream)
    }

    /// The outgoing half of a connection's stream.
    pub(crate) fn pipe_mut(&mut self, conn: ConnId) -> Option<&mut Pipe> {
        self.by_conn.get_mut(&conn).map(|stream| &mut stream.pipe)
    }

    /// Ends a stream, with success or with a refusal. Returns whose it was.
    pub(crate) fn end(&mut self, conn: ConnId, because: Option<&Refusal>) -> Option<Peer> {
        let stream = self.by_conn.remove(&conn)?;
        if let Some(peer) = stream.peer
            && self.by_peer.get(&peer) == Some(&conn)
        {
            self.by_peer.remove(&peer);
        }
        if let Some(refusal) = because {
            stream.pipe.end(refusal);
        }
        stream.peer
    }

    /// Has a peer's stream flushed at the end of the turn.
    pub(crate) fn wake(&mut self, peer: Peer) {
        if let Some(conn) = self.by_peer.get(&peer).copied() {
            self.wake_conn(conn);
        }
    }

    /// The same, by connection.
    pub(crate) fn wake_conn(&mut self, conn: ConnId) {
        if let Some(stream) = self.by_conn.get_mut(&conn)
            && !std::mem::replace(&mut stream.woken, true)
        {
            self.woken.push(conn);
        }
    }

    /// Moves what the machine has to tell into woken streams, as far as there is room.
    pub(crate) fn flush(&mut self, machine: &mut Machine, whom: Whom) -> Flushed {
        let any = !self.woken.is_empty();
        let mut woken = std::mem::take(&mut self.woken);
        // Workers first: what they are told is work, and a session loses nothing by hearing of it a little later.
        woken.retain(|&conn| {
            let waits = self.is_session(conn);
            if !waits {
                self.flush_conn(conn, machine);
            }
            waits
        });
        let sessions = whom == Whom::All && !woken.is_empty();
        if sessions {
            for conn in woken.drain(..) {
                self.flush_conn(conn, machine);
            }
        }
        self.woken = woken;
        Flushed { any, sessions }
    }

    fn is_session(&self, conn: ConnId) -> bool {
        self.peer(conn).is_some_and(|peer| matches!(peer, Peer::Session(_)))
    }

    /// Moves what the machine has to tell a peer into its stream, now.
    pub(crate) fn flush_peer(&mut self, peer: Peer, machine: &mut Machine) -> Option<ConnId> {
        let conn = self.by_peer.get(&peer).copied()?;
        self.flush_conn(conn, machine);
        Some(conn)
    }

    /// Ends every stream; with `workers`, the workers too.
    pub(crate) fn end_all(&mut self, why: &Refusal, workers: bool) {
        for (_, mut stream) in self.by_conn.drain() {
            stream.pipe.close(why, workers);
            stream.pipe.end(why);
        }
        self.by_peer.clear();
        self.woken.clear();
    }

    fn flush_conn(&mut self, conn: ConnId, machine: &mut Machine) {
        if let Some(stream) = self.by_conn.get_mut(&conn) {
            stream.woken = false;
            if let Some(peer) = stream.peer {
                stream.pipe.flush(peer, machine);
            }
        }
    }
}

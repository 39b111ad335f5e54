//! The serving end of bulk connections.

use std::io::{self, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use bireme_core::limits;
use bireme_core::reason::{Reason, Refusal};
use bireme_daemon::listen::{Connection, Door};
use bireme_proto::bulk::{self, BulkError, DONE};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::pour::{self, Funnel};
use super::puts::Puts;
use super::ticket::{Grant, Tickets};
use crate::clock::Clock;
use crate::rpc::store::read::{Reading, Source};
use crate::store::{Draft, Store};

/// Lets bulk connections in and moves their bytes, each on a thread of its own.
#[derive(Debug)]
pub(crate) struct Quay {
    store: Arc<Store>,
    pub(crate) tickets: Tickets,
    pub(crate) puts: Puts,
    pub(crate) clock: Clock,
    runtime: Handle,
    room: Arc<Semaphore>,
}

impl Quay {
    /// `key` is to be random, and new for each life of a worker; `runtime` has the threads.
    pub(crate) fn new(
        key: [u8; 32],
        store: Arc<Store>,
        runtime: Handle,
        clock: Clock,
    ) -> Arc<Self> {
        let tickets = Tickets::new(key, clock);
        let room = Arc::new(Semaphore::new(limits::BULK_CONNECTIONS));
        Arc::new(Self { store, tickets, puts: Puts::default(), clock, runtime, room })
    }

    /// The door by which bulk connections come in.
    pub(crate) fn door(self: &Arc<Self>) -> Door {
        let quay = Arc::clone(self);
        Door::new(bulk::MAGIC, move |connection| Self::enter(&quay, connection))
    }

    fn enter(quay: &Arc<Self>, connection: Connection) {
        let quay = Arc::clone(quay);
        let runtime = quay.runtime.clone();
        runtime.spawn(async move {
            let free = Arc::clone(&quay.room).acquire_owned();
            let Ok(Ok(slot)) = timeout(limits::FETCH_WAIT.to_std(), free).await else {
                tracing::warn!("bulk connection turned away, as many as can be are served");
                return;
            };
            let runtime = quay.runtime.clone();
            runtime.spawn_blocking(move || {
                if let Err(error) = Self::serve(&quay, connection) {
                    tracing::debug!(%error, "bulk connection came to nothing");
                }
                drop(slot);
            });
        });
    }

    fn serve(quay: &Arc<Self>, connection: Connection) -> Result<(), BulkError> {
        let (mut stream, _room) = connection.into_blocking()?;
        let peer = patient(&stream)?;
        let ticket = bulk::read_ticket(&mut stream)?;
        match quay.tickets.open(&ticket, peer.ip()) {
            Ok(Grant::Read { request, length }) => {
                let fetches = request.fetches.into_iter();
                let plan = fetches.map(|fetch| Reading::new(&quay.store, fetch));
                let plan =
                    plan.collect::<Result<Vec<_>, _>>().and_then(|plan| expect(plan, length));
                let plan = verdict(&mut stream, plan)?;
                send(&mut stream, &plan)
            }
            Ok(Grant::Write { put, .. }) => {
                let lengths = verdict(&mut stream, quay.puts.begin(put))?;
                let came = quay.receive(&mut stream, &lengths);
                let (draft, outcome) = match came {
                    Ok(draft) => (Some(draft), Ok(())),
                    Err(error) => (None, Err(error)),
                };
                quay.puts.end(quay.clock.now(), put, draft);
                Self::drop_in_time(quay);
                outcome?;
                Ok(stream.write_all(&[DONE])?)
            }
            Err(refusal) => verdict(&mut stream, Err(refusal)),
        }
    }

    /// Drops the bytes of a put that nobody follows up in time.
    fn drop_in_time(quay: &Arc<Self>) {
        let quay = Arc::clone(quay);
        let runtime = quay.runtime.clone();
        runtime.spawn(async move {
            tokio::time::sleep(limits::TICKET_WAIT.to_std()).await;
            quay.puts.drop_expired(quay.clock.now());
        });
    }

    fn receive(&self, stream: &mut TcpStream, lengths: &[u64]) -> Result<Draft, BulkError> {
        let draft = self.store.allocate(lengths).map_err(Refusal::from)?;
        receive(stream, &draft)?;
        Ok(draft)
    }
}

/// Has the socket give up on a peer that moves nothing for too long; says who it is.
pub(crate) fn patient(stream: &TcpStream) -> io::Result<SocketAddr> {
    let wait = Some(limits::FETCH_WAIT.to_std());
    stream.set_read_timeout(wait)?;
    stream.set_write_timeout(wait)?;
    stream.peer_addr()
}

/// Fills a draft from a socket.
pub(crate) fn receive(stream: &TcpStream, draft: &Draft) -> io::Result<()> {
    let funnel = Funnel::new()?;
    for (n, run) in draft.runs().iter().enumerate() {
        funnel.receive(stream, &*draft.open(n)?, run.offset, run.length)?;
    }
    Ok(())
}

/// Fails if there is another number of bytes to be read than the ticket tells.
fn expect(plan: Vec<Reading>, told: u64) -> Result<Vec<Reading>, Refusal> {
    let length: u64 = plan.iter().map(|reading| reading.head.length).sum();
    if length == told {
        return Ok(plan);
    }
    let message = format!("{length} bytes are here, the ticket is for {told}; ask for another");
    Err(Refusal::at(Reason::ReplicaChanged, "ticket", message))
}

/// Tells the peer whether its bytes may flow.
fn verdict<T>(stream: &mut TcpStream, outcome: Result<T, Refusal>) -> Result<T, BulkError> {
    let told = outcome.as_ref().map(|_| ()).map_err(Clone::clone);
    stream.write_all(&bulk::verdict(told))?;
    Ok(outcome?)
}

/// Sends what was planned. The socket only borrows the pages of files, so they are pinned until the peer has the bytes; a
/// peer that does not say so in time is not told that they are good.
fn send(stream: &mut TcpStream, plan: &[Reading]) -> Result<(), BulkError> {
    for run in plan.iter().flat_map(|reading| &reading.runs) {
        match &run.source {
            Source::Inline(bytes) => stream.write_all(bytes)?,
            Source::File(file, from) => pour::send(stream, &*file.open()?, *from, run.length)?,
        }
    }
    bulk::read_done(stream)?;
    Ok(stream.write_all(&[DONE])?)
}

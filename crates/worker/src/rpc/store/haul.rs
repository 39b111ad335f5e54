//! Fetching values by a bulk connection.

use std::io::{self, Read as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::sync::Arc;

use bireme_core::protocol::Address;
use bireme_core::reason::Refusal;
use bireme_core::value::PoolFile;
use bireme_core::{ObjectId, limits};
use bireme_proto::bulk::{self, BulkError};
use bireme_proto::pb;
use bireme_proto::pb::store_client::StoreClient;
use tokio::task::spawn_blocking;
use tonic::transport::Channel;

use super::assembly::{check_lengths, long_lengths, value_of};
use super::fetch::{FetchError, patient};
use super::malformed;
use crate::bulk::pour::Funnel;
use crate::bulk::serve;
use crate::store::{Draft, Store};
use bireme_daemon::auth::Bearer;

/// What became of each object of a fetch, in order: its size in bytes, or `None` where the peer does not have it.
pub(crate) type Hauled = Vec<Option<u64>>;

/// Fetches objects into the store: a ticket over the channel, the bytes over a connection to the same address.
pub(crate) async fn haul(
    channel: Channel,
    address: Address,
    bearer: Bearer,
    store: Arc<Store>,
    objects: Vec<ObjectId>,
) -> Result<Hauled, FetchError> {
    let fetch = |object: &ObjectId| pb::FetchRequest {
        source: Some(pb::fetch_request::Source::Object((*object).into())),
        ..pb::FetchRequest::default()
    };
    let request = pb::TicketRequest { fetches: objects.iter().map(fetch).collect() };
    let mut client = StoreClient::with_interceptor(channel, bearer);
    let given = patient(client.ticket(request)).await?.into_inner();
    let pb::TicketResponse { ticket, addresses: _, length, expires_us: _, heads } = given;
    if heads.len() != objects.len() {
        let message = format!("{} heads for {} fetches", heads.len(), objects.len());
        return Err(malformed("heads", message).into());
    }
    let cargo = objects.into_iter().zip(heads).map(|(object, head)| Lot::new(object, head));
    let cargo = cargo.collect::<Result<Vec<_>, Refusal>>()?;
    let announced: u64 = cargo.iter().flatten().map(Lot::length).sum();
    if announced != length {
        let message = format!("{length} bytes will come, the heads tell of {announced}");
        return Err(malformed("length", message).into());
    }
    let hauled = spawn_blocking(move || {
        let mut stream = dial(&address)?;
        bulk::present(&mut stream, &ticket)?;
        unload(&mut stream, &store, cargo)
    });
    Ok(hauled.await.map_err(io::Error::other).map_err(BulkError::Broken)??)
}

/// A value whose bytes are to come.
struct Lot {
    object: ObjectId,
    made_by: Option<bireme_core::AttemptId>,
    head: pb::ValueHead,
}

impl Lot {
    /// What a head tells of; `None` where the peer does not have it.
    fn new(object: ObjectId, head: pb::FetchHead) -> Result<Option<Self>, Refusal> {
        let pb::FetchHead { value, made_by, length: _ } = head;
        let Some(head) = value else { return Ok(None) };
        check_lengths(&head.buffer_lengths)?;
        let made_by = made_by.map(TryInto::try_into).transpose()?;
        Ok(Some(Self { object, made_by, head }))
    }

    fn length(&self) -> u64 {
        self.head.buffer_lengths.iter().sum()
    }

    /// Takes the bytes off the stream: those of long buffers into files.
    fn unload(
        self,
        stream: &mut TcpStream,
        funnel: &Funnel,
        store: &Store,
    ) -> Result<Landed, BulkError> {
        let draft = store.allocate(&long_lengths(&self.head.buffer_lengths));
        let draft = draft.map_err(Refusal::from)?;
        let (mut buffers, mut written) = (Vec::new(), 0);
        for &length in &self.head.buffer_lengths {
            let place = if length < limits::POOL_FILE_BYTES {
                let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or_default());
                if stream.by_ref().take(length).read_to_end(&mut bytes)? as u64 != length {
                    return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
                }
                pb::buffer::Place::Inline(bytes.into())
            } else {
                let run: PoolFile = draft.runs().get(written).cloned().expect("one for each");
                funnel.receive(stream, &*draft.open(written)?, run.offset, run.length)?;
                written += 1;
                pb::buffer::Place::PoolFile(run.into())
            };
            buffers.push(pb::Buffer { place: Some(place) });
        }
        Ok(Landed { object: self.object, made_by: self.made_by, head: self.head, buffers, draft })
    }
}

/// A value whose bytes are here, and good once the peer says so.
struct Landed {
    object: ObjectId,
    made_by: Option<bireme_core::AttemptId>,
    head: pb::ValueHead,
    buffers: Vec<pb::Buffer>,
    draft: Draft,
}

fn unload(
    stream: &mut TcpStream,
    store: &Store,
    cargo: Vec<Option<Lot>>,
) -> Result<Hauled, BulkError> {
    let funnel = Funnel::new()?;
    let mut landed = Vec::with_capacity(cargo.len());
    for lot in cargo {
        landed.push(lot.map(|lot| lot.unload(stream, &funnel, store)).transpose()?);
    }
    bulk::confirm(stream)?;
    let put = |Landed { object, made_by, head, buffers, draft }| {
        let value = value_of(head, buffers)?;
        Ok(store.put_written(object, value, std::iter::once(&draft), made_by)?)
    };
    let sizes = landed.into_iter().map(|landed| landed.map(put).transpose());
    Ok(sizes.collect::<Result<_, Refusal>>()?)
}

/// A connection on which nobody waits for ever.
fn dial(address: &Address) -> io::Result<TcpStream> {
    let mut failed = None;
    for place in (address.host.as_str(), address.port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&place, limits::FETCH_WAIT.to_std()) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                serve::patient(&stream)?;
                return Ok(stream);
            }
            Err(error) => failed = Some(error),
        }
    }
    Err(failed.unwrap_or_else(|| io::Error::other(format!("{address} is no address"))))
}

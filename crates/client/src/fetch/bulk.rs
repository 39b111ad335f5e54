//! Fetching values by a bulk connection.

use std::io;
use std::net::{TcpStream, ToSocketAddrs as _};

use bireme_core::object::ObjectId;
use bireme_core::protocol::Address;
use bireme_core::{Value, limits};
use bireme_proto::bulk::{self, BulkError};
use bireme_proto::pb;
use bireme_proto::pb::store_client::StoreClient;
use tokio::task::spawn_blocking;
use tonic::transport::Channel;

use super::{read_bytes, refused, request, value_of};
use crate::peers::Peers;

/// Fetches objects of a worker, all their bytes into memory; `None` for those that it does not have.
pub(super) async fn fetch(
    peers: &Peers,
    mut store: StoreClient<Channel>,
    address: &Address,
    objects: &[ObjectId],
) -> Result<Vec<Option<Value>>, String> {
    let fetches = objects.iter().copied().map(request).collect();
    let given = store.ticket(peers.call(pb::TicketRequest { fetches })).await.map_err(refused)?;
    let pb::TicketResponse { ticket, heads, .. } = given.into_inner();
    if heads.len() != objects.len() {
        return Err(format!("{} heads for {} objects", heads.len(), objects.len()));
    }
    let address = address.clone();
    let received =
        spawn_blocking(move || receive(&address, &ticket, &heads).map(|buffers| (heads, buffers)));
    let received = received.await.map_err(|error| error.to_string())?;
    let (heads, buffers) = received.map_err(|error| error.to_string())?;
    let values = heads.into_iter().zip(buffers);
    values
        .map(|(head, buffers)| head.value.map(|head| value_of(head, buffers)).transpose())
        .collect()
}

/// The buffers of each value.
fn receive(
    address: &Address,
    ticket: &[u8],
    heads: &[pb::FetchHead],
) -> Result<Vec<Vec<bytes::Bytes>>, BulkError> {
    let mut stream = dial(address)?;
    bulk::present(&mut stream, ticket)?;
    let mut values = Vec::with_capacity(heads.len());
    for head in heads {
        let lengths = head.value.iter().flat_map(|value| &value.buffer_lengths);
        let buffers = lengths.map(|length| read_bytes(&mut stream, *length));
        values.push(buffers.collect::<io::Result<_>>()?);
    }
    bulk::confirm(&mut stream)?;
    Ok(values)
}

/// A connection on which nobody waits for ever.
pub(crate) fn dial(address: &Address) -> io::Result<TcpStream> {
    let wait = limits::FETCH_WAIT.to_std();
    let mut failed = None;
    for place in (address.host.as_str(), address.port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&place, wait) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(wait))?;
                stream.set_write_timeout(Some(wait))?;
                return Ok(stream);
            }
            Err(error) => failed = Some(error),
        }
    }
    Err(failed.unwrap_or_else(|| io::Error::other(format!("{address} is no address"))))
}

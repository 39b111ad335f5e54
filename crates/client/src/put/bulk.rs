//! Sending a value by a bulk connection.

use std::io::Write as _;

use bireme_core::protocol::Address;
use bireme_proto::bulk::{self, BulkError};
use bireme_proto::pb;
use bireme_proto::pb::store_client::StoreClient;
use bytes::Bytes;
use tokio::task::spawn_blocking;
use tonic::transport::Channel;

use super::{Parcel, conclude};
use crate::fetch::bulk::dial;
use crate::fetch::refused;
use crate::peers::Peers;

/// Has a worker store a value whose bytes go by a connection of their own.
pub(super) async fn put(
    peers: &Peers,
    mut store: StoreClient<Channel>,
    address: &Address,
    parcel: &Parcel,
) -> Result<(), String> {
    let head = parcel.head.clone();
    let request = pb::PutTicketRequest { head: Some(head.clone()) };
    let given = store.put_ticket(peers.call(request)).await.map_err(refused)?.into_inner();
    let (address, ticket) = (address.clone(), given.ticket.clone());
    let buffers = parcel.buffers.clone();
    let sent = spawn_blocking(move || send(&address, &ticket, &buffers)).await;
    sent.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
    conclude(peers, &mut store, pb::PutHead { ticket: given.ticket, ..head }).await
}

fn send(address: &Address, ticket: &[u8], buffers: &[Bytes]) -> Result<(), BulkError> {
    let mut stream = dial(address)?;
    bulk::present(&mut stream, ticket)?;
    for bytes in buffers {
        stream.write_all(bytes)?;
    }
    Ok(bulk::read_done(&mut stream)?)
}

//! Tickets for bulk connections: the calls that give them, and the put that ends one to write with.

use std::net::IpAddr;

use bireme_core::reason::{Reason, Refusal};
use bireme_core::{ObjectId, limits};
use bireme_proto::pb;
use tonic::Request;

use super::assembly::check_lengths;
use super::put;
use super::read::Reading;
use super::{malformed, unsupported};
use crate::bulk::Quay;
use crate::bulk::ticket::Grant;
use crate::store::{Draft, Store};

/// Where a call comes from; its ticket is good only there.
pub(super) fn peer<T>(request: &Request<T>) -> Result<IpAddr, Refusal> {
    let address = request.remote_addr().ok_or_else(|| {
        unsupported("ticket", "the caller has no address that a ticket could be bound to")
    })?;
    Ok(address.ip())
}

/// Gives a ticket to read with.
pub(super) fn read(
    quay: &Quay,
    store: &Store,
    addresses: &[pb::Address],
    peer: IpAddr,
    request: pb::TicketRequest,
) -> Result<pb::TicketResponse, Refusal> {
    let asked = request.fetches.len();
    if asked == 0 || asked > limits::FETCH_BATCH {
        let message = format!("{asked} fetches; a ticket is for 1 to {}", limits::FETCH_BATCH);
        return Err(malformed("fetches", message));
    }
    let (mut heads, mut fetches) = (Vec::with_capacity(asked), Vec::with_capacity(asked));
    for mut fetch in request.fetches {
        let head = match Reading::new(store, fetch.clone()) {
            Err(refusal) if refusal.reason == Reason::ObjectUnknown => pb::FetchHead::default(),
            reading => {
                let head = reading?.head.clone();
                // What is read is to be what was told, though the value be made again meanwhile.
                fetch.made_by = head.made_by;
                fetches.push(fetch);
                head
            }
        };
        heads.push(head);
    }
    let length = heads.iter().map(|head| head.length).sum();
    let grant = Grant::Read { request: pb::TicketRequest { fetches }, length };
    let ticket = quay.tickets.give(&grant, peer)?;
    let (addresses, expires_us) = (addresses.to_vec(), limits::TICKET_WAIT.0);
    Ok(pb::TicketResponse { ticket, addresses, length, expires_us, heads })
}

/// Gives a ticket to write with.
pub(super) fn write(
    quay: &Quay,
    addresses: &[pb::Address],
    peer: IpAddr,
    head: &pb::PutHead,
) -> Result<pb::PutTicketResponse, Refusal> {
    let (object, pb::ValueHead { buffer_lengths, .. }) = put::begin(head.clone())?;
    check_lengths(&buffer_lengths)?;
    let length = buffer_lengths.iter().sum();
    let put = quay.puts.await_bytes(quay.clock.now(), object, buffer_lengths)?;
    let ticket = quay.tickets.give(&Grant::Write { put, length }, peer)?;
    let (addresses, expires_us) = (addresses.to_vec(), limits::TICKET_WAIT.0);
    Ok(pb::PutTicketResponse { ticket, addresses, length, expires_us })
}

/// The value of a put and its bytes, which came by the put's ticket.
pub(super) fn written(
    quay: &Quay,
    peer: IpAddr,
    head: &pb::PutHead,
) -> Result<(ObjectId, Draft), Refusal> {
    let (object, value) = put::begin(head.clone())?;
    match quay.tickets.open(&head.ticket, peer)? {
        Grant::Write { put, .. } => {
            Ok((object, quay.puts.take(put, object, &value.buffer_lengths)?))
        }
        Grant::Read { .. } => {
            Err(malformed("head.ticket", "the ticket is one to read with; ask PutTicket for one"))
        }
    }
}

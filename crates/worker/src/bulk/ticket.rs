//! Tickets: what a bulk connection is let in by.
//!
//! A ticket is told over gRPC, where the caller's token was judged, and says itself what it is good for, so that nothing is
//! kept of it here: what is to be read or written, how many bytes, who asked, and until when. A MAC over all that, with a
//! key that no other life of this worker has, comes first.

use std::net::IpAddr;

use bireme_core::reason::{Reason, Refusal};
use bireme_core::{Time, limits};
use bireme_proto::pb;
use bytes::Bytes;
use prost::Message as _;

use crate::clock::Clock;

/// Gives tickets, and knows its own.
pub(crate) struct Tickets {
    key: [u8; blake3::KEY_LEN],
    clock: Clock,
}

/// What a ticket is good for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Grant {
    /// To read what these ask for, `length` bytes in all.
    Read { request: pb::TicketRequest, length: u64 },
    /// To write the bytes of the put of this number, `length` bytes in all.
    Write { put: u64, length: u64 },
}

const MAC_BYTES: usize = blake3::OUT_LEN;
/// Kind, time of expiry, address of the peer, number of bytes.
const FIXED_BYTES: usize = 1 + 8 + 16 + 8;
const READ: u8 = 1;
const WRITE: u8 = 2;

impl Tickets {
    /// `key` is to be random, and new for each life of a worker.
    pub(crate) fn new(key: [u8; blake3::KEY_LEN], clock: Clock) -> Self {
        Self { key, clock }
    }

    /// A ticket for the peer at this address.
    pub(crate) fn give(&self, grant: &Grant, peer: IpAddr) -> Result<Bytes, Refusal> {
        self.give_until(grant, peer, self.clock.now() + limits::TICKET_WAIT)
    }

    fn give_until(&self, grant: &Grant, peer: IpAddr, expiry: Time) -> Result<Bytes, Refusal> {
        let (kind, length, rest) = match grant {
            Grant::Read { request, length } => (READ, *length, request.encode_to_vec()),
            Grant::Write { put, length } => (WRITE, *length, put.to_be_bytes().to_vec()),
        };
        let (expiry, length) = (expiry.0.to_be_bytes(), length.to_be_bytes());
        let said = [&[kind][..], &expiry, &octets(peer), &length, &rest].concat();
        if MAC_BYTES + said.len() > limits::TICKET_BYTES {
            let message = format!(
                "a ticket for all of it takes more than {} bytes; ask for less at a time",
                limits::TICKET_BYTES
            );
            return Err(Refusal::at(Reason::MessageTooLarge, "fetches", message));
        }
        let mac = blake3::keyed_hash(&self.key, &said);
        Ok([mac.as_bytes(), &said[..]].concat().into())
    }

    /// What a ticket is good for, in the hands of the peer at this address.
    pub(crate) fn open(&self, ticket: &[u8], peer: IpAddr) -> Result<Grant, Refusal> {
        let refused = |message| Refusal::at(Reason::Unauthenticated, "ticket", message);
        let forged = || refused("the ticket is not one that this worker gave in this life");
        let (mac, said) = ticket.split_first_chunk::<MAC_BYTES>().ok_or_else(forged)?;
        // The comparison of two hashes takes the same time wherever they differ.
        if blake3::keyed_hash(&self.key, said) != blake3::Hash::from_bytes(*mac) {
            return Err(forged());
        }
        let (fixed, rest) = said.split_at_checked(FIXED_BYTES).ok_or_else(forged)?;
        let mut fixed = Fields(fixed);
        let (kind, expiry) = (fixed.take::<1>(), Time(u64::from_be_bytes(fixed.take())));
        let (asker, length) = (fixed.take::<16>(), u64::from_be_bytes(fixed.take()));
        if asker != octets(peer) {
            return Err(refused("the ticket was given to a peer with another address"));
        }
        if self.clock.now() >= expiry {
            return Err(refused("the ticket has expired; ask for another"));
        }
        match kind {
            [READ] => {
                let request = pb::TicketRequest::decode(rest).map_err(|_| forged())?;
                Ok(Grant::Read { request, length })
            }
            [WRITE] => {
                let put = u64::from_be_bytes(rest.try_into().map_err(|_| forged())?);
                Ok(Grant::Write { put, length })
            }
            _ => Err(forged()),
        }
    }
}

impl std::fmt::Debug for Tickets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tickets").finish_non_exhaustive()
    }
}

/// What has a MAC, from the front.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let (first, rest) = self.0.split_first_chunk().expect("as long as it was made");
        self.0 = rest;
        *first
    }
}

/// An address in the one form that it has whichever socket tells it.
fn octets(address: IpAddr) -> [u8; 16] {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn tickets(key: u8) -> Tickets {
        Tickets::new([key; 32], Clock::start())
    }

    fn read() -> Grant {
        let fetch = pb::FetchRequest { length: 7, ..pb::FetchRequest::default() };
        Grant::Read { request: pb::TicketRequest { fetches: vec![fetch] }, length: 7 }
    }

    fn reason(opened: Result<Grant, Refusal>) -> (Reason, String) {
        let Refusal { reason, message, .. } = opened.unwrap_err();
        (reason, message)
    }

    #[test]
    fn a_ticket_is_good_for_what_it_was_given_for() {
        let tickets = tickets(1);
        for grant in [read(), Grant::Write { put: 3, length: 9 }] {
            let ticket = tickets.give(&grant, HERE).unwrap();
            assert_eq!(tickets.open(&ticket, HERE), Ok(grant.clone()));
            let mapped = IpAddr::V6(Ipv4Addr::LOCALHOST.to_ipv6_mapped());
            assert_eq!(tickets.open(&ticket, mapped), Ok(grant));
        }
    }

    #[test]
    fn a_forged_ticket_is_refused_whichever_byte_is_wrong() {
        let ticket = tickets(1).give(&read(), HERE).unwrap();
        for n in 0..ticket.len() {
            let mut forged = ticket.to_vec();
            forged[n] ^= 1;
            assert_eq!(reason(tickets(1).open(&forged, HERE)).0, Reason::Unauthenticated, "{n}");
            assert!(tickets(1).open(&ticket[..n], HERE).is_err(), "{n}");
        }
        assert!(reason(tickets(2).open(&ticket, HERE)).1.contains("in this life"));
    }

    #[test]
    fn a_ticket_is_good_for_one_peer_and_one_time() {
        let tickets = tickets(1);
        let ticket = tickets.give(&read(), HERE).unwrap();
        let elsewhere = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
        assert!(reason(tickets.open(&ticket, elsewhere)).1.contains("another address"));
        let old = tickets.give_until(&read(), HERE, Time(0)).unwrap();
        assert!(reason(tickets.open(&old, HERE)).1.contains("expired"));
    }

    #[test]
    fn a_ticket_that_nobody_would_read_is_not_given() {
        let fetches = vec![pb::FetchRequest { length: u64::MAX, ..Default::default() }; 1 << 14];
        let grant = Grant::Read { request: pb::TicketRequest { fetches }, length: 0 };
        assert_eq!(tickets(1).give(&grant, HERE).unwrap_err().reason, Reason::MessageTooLarge);
    }
}

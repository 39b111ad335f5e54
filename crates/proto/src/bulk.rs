//! What is said on a bulk connection besides the bytes.
//!
//! The one who connects sends [`MAGIC`], the length of a ticket as four bytes, high ones first, and the ticket, which a
//! daemon gave over gRPC. The daemon answers with a verdict: the length of a refusal as four bytes, then a refusal
//! (`bireme.v1.Refused`) of that length; 0 lets the bytes flow, in the direction and number that the ticket stands for.
//! Whoever has received them says [`DONE`]. Where that was the reader of a value, the daemon says [`DONE`] too, and only
//! then are the bytes good: a daemon that has waited too long lets files go that may still be on their way.

use std::io::{self, Read, Write};

use bireme_core::limits;
use bireme_core::reason::{Reason, Refusal};
use prost::Message as _;

use crate::convert::common::refusal;
use crate::pb;

/// What a bulk connection begins with. No text and no HTTP begins with the first byte; the last one is a version.
pub const MAGIC: [u8; 8] = *b"\xb1reme\r\n\x01";
/// All bytes have come.
pub const DONE: u8 = 6;

/// A bulk connection that came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum BulkError {
    /// The connection broke, or the other side is silent.
    #[error("the bulk connection broke: {0}")]
    Broken(#[from] io::Error),
    /// The daemon will not have the ticket, or the bytes.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

/// What the one who connects sends first.
pub fn preface(ticket: &[u8]) -> Vec<u8> {
    [&MAGIC, &length(ticket.len())[..], ticket].concat()
}

/// What a daemon answers.
pub fn verdict(outcome: Result<(), Refusal>) -> Vec<u8> {
    let Err(Refusal { reason, field, message }) = outcome else { return length(0).to_vec() };
    let reason = reason.name().to_owned();
    let refused = pb::Refused { reason, field, message, ..pb::Refused::default() }.encode_to_vec();
    [&length(refused.len())[..], &refused].concat()
}

/// Reads the ticket that follows [`MAGIC`].
pub fn read_ticket(stream: &mut impl Read) -> Result<Vec<u8>, BulkError> {
    let ticket = read_block(stream, limits::TICKET_BYTES)?;
    if ticket.is_empty() {
        let message = "the ticket is empty; send the one that `Store.Ticket` gave";
        return Err(Refusal::at(Reason::Malformed, "ticket", message).into());
    }
    Ok(ticket)
}

/// Shows a ticket, and hears whether it is good.
pub fn present(stream: &mut (impl Read + Write), ticket: &[u8]) -> Result<(), BulkError> {
    stream.write_all(&preface(ticket))?;
    read_verdict(stream)
}

/// Reads a verdict.
pub fn read_verdict(stream: &mut impl Read) -> Result<(), BulkError> {
    let refused = read_block(stream, limits::MESSAGE_BYTES)?;
    if refused.is_empty() {
        return Ok(());
    }
    let refused = pb::Refused::decode(&refused[..]).map_err(io::Error::other)?;
    let pb::Refused { submission_id: _, reason, field, message } = refused;
    Err(refusal(&reason, field, message).into())
}

/// Says that all bytes have come, and hears that they were good to the last.
pub fn confirm(stream: &mut (impl Read + Write)) -> io::Result<()> {
    stream.write_all(&[DONE])?;
    read_done(stream)
}

/// Waits until the other side says that all bytes have come.
pub fn read_done(stream: &mut impl Read) -> io::Result<()> {
    let mut byte = [0];
    stream.read_exact(&mut byte)?;
    if byte == [DONE] {
        return Ok(());
    }
    Err(io::Error::other(format!("byte {} came where {DONE} was awaited", byte[0])))
}

fn length(bytes: usize) -> [u8; 4] {
    u32::try_from(bytes).expect("tickets and refusals are short").to_be_bytes()
}

fn read_block(stream: &mut impl Read, most: usize) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = u32::from_be_bytes(length) as usize;
    if length > most {
        return Err(io::Error::other(format!(
            "{length} bytes were announced, the limit is {most}"
        )));
    }
    let mut block = vec![0; length];
    stream.read_exact(&mut block)?;
    Ok(block)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_is_read_as_it_was_shown() {
        let sent = preface(b"ticket");
        let (magic, rest) = sent.split_at(MAGIC.len());
        assert_eq!(magic, MAGIC);
        assert_eq!(read_ticket(&mut &*rest).unwrap(), b"ticket");
        for bad in [&length(0)[..], &length(limits::TICKET_BYTES + 1), &length(7), b"\0"] {
            assert!(read_ticket(&mut &*bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_verdict_is_heard_as_it_was_given() {
        let refusal = Refusal::at(Reason::Busy, "ticket", "come again");
        let heard = read_verdict(&mut &*verdict(Err(refusal.clone()))).unwrap_err();
        assert!(matches!(heard, BulkError::Refused(heard) if heard == refusal));
        assert!(read_verdict(&mut &*verdict(Ok(()))).is_ok());
        assert!(read_verdict(&mut &b"\0\0\0\x01\xff"[..]).is_err());
    }
}

//! Values whose bytes come by bulk connections before their put does.

use std::collections::BTreeMap;
use std::sync::Mutex;

use bireme_core::reason::{Reason, Refusal};
use bireme_core::{ObjectId, Time, limits};

use crate::store::Draft;
use crate::sync::lock;

/// What was told of each value, and its bytes once they have come.
#[derive(Debug, Default)]
pub(crate) struct Puts {
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    puts: BTreeMap<u64, Awaited>,
    last: u64,
}

#[derive(Debug)]
struct Awaited {
    object: ObjectId,
    lengths: Vec<u64>,
    state: State,
    /// When it is dropped, unless its bytes are coming.
    expiry: Time,
}

#[derive(Debug)]
enum State {
    Told,
    Coming,
    Come(Draft),
}

impl Puts {
    /// Awaits the bytes of a value with buffers of these lengths; returns the number of the put.
    pub(crate) fn await_bytes(
        &self,
        now: Time,
        object: ObjectId,
        lengths: Vec<u64>,
    ) -> Result<u64, Refusal> {
        let mut table = lock(&self.table);
        let dropped = table.drop_expired(now);
        if table.puts.len() >= limits::PUT_TICKETS {
            let message = format!("{} values are awaited already; come again", limits::PUT_TICKETS);
            return Err(Refusal::new(Reason::Busy, message));
        }
        table.last += 1;
        let put = table.last;
        let expiry = now + limits::TICKET_WAIT;
        table.puts.insert(put, Awaited { object, lengths, state: State::Told, expiry });
        drop(table); // Before what was dropped, which may be large.
        drop(dropped);
        Ok(put)
    }

    /// Lets the bytes come, once at a time; says how long the buffers are.
    pub(crate) fn begin(&self, put: u64) -> Result<Vec<u64>, Refusal> {
        let mut table = lock(&self.table);
        let awaited = table.puts.get_mut(&put).ok_or_else(gone)?;
        if !matches!(awaited.state, State::Told) {
            let message = "the bytes of this put have come, or are coming by another connection";
            return Err(Refusal::at(Reason::Superseded, "ticket", message));
        }
        awaited.state = State::Coming;
        Ok(awaited.lengths.clone())
    }

    /// The bytes have come; or, with `None`, they have not, and may be sent again.
    pub(crate) fn end(&self, now: Time, put: u64, draft: Option<Draft>) {
        let mut table = lock(&self.table);
        let Some(awaited) = table.puts.get_mut(&put) else { return };
        awaited.state = draft.map_or(State::Told, State::Come);
        awaited.expiry = now + limits::TICKET_WAIT;
    }

    /// The bytes of a put, for good.
    pub(crate) fn take(
        &self,
        put: u64,
        object: ObjectId,
        lengths: &[u64],
    ) -> Result<Draft, Refusal> {
        let mut table = lock(&self.table);
        let awaited = table.puts.get(&put).ok_or_else(gone)?;
        if awaited.object != object || awaited.lengths != lengths {
            let message = "the put is of another value than the ticket";
            return Err(Refusal::at(Reason::Malformed, "head.ticket", message));
        }
        if !matches!(awaited.state, State::Come(_)) {
            let message = "the bytes have not all come by the ticket's connection";
            return Err(Refusal::at(Reason::Malformed, "head.ticket", message));
        }
        match table.puts.remove(&put).map(|awaited| awaited.state) {
            Some(State::Come(draft)) => Ok(draft),
            _ => Err(gone()),
        }
    }

    /// Drops what nobody has put in time.
    pub(crate) fn drop_expired(&self, now: Time) {
        let dropped = lock(&self.table).drop_expired(now);
        drop(dropped);
    }
}

impl Table {
    fn drop_expired(&mut self, now: Time) -> Vec<Awaited> {
        let is_over =
            |_: &u64, one: &mut Awaited| !matches!(one.state, State::Coming) && one.expiry <= now;
        self.puts.extract_if(.., is_over).map(|(_, one)| one).collect()
    }
}

fn gone() -> Refusal {
    let message = "the ticket's time is over, or its value has been put; ask for another";
    Refusal::at(Reason::Unauthenticated, "head.ticket", message)
}

#[cfg(test)]
mod tests {
    use bireme_core::id::HolderId;

    use super::*;

    const VALUE: ObjectId = ObjectId::Held { holder: HolderId(1), n: 1 };

    #[test]
    fn bytes_are_taken_once_and_only_by_their_own_put() {
        let puts = Puts::default();
        let put = puts.await_bytes(Time(0), VALUE, vec![4]).unwrap();
        assert!(puts.take(put, VALUE, &[4]).is_err(), "nothing has come");
        assert_eq!(puts.begin(put), Ok(vec![4]));
        assert_eq!(puts.begin(put).unwrap_err().reason, Reason::Superseded);
        puts.end(Time(0), put, Some(Draft::default()));
        let other = ObjectId::Held { holder: HolderId(1), n: 2 };
        assert!(puts.take(put, other, &[4]).is_err() && puts.take(put, VALUE, &[5]).is_err());
        assert!(puts.take(put, VALUE, &[4]).is_ok());
        assert!(puts.take(put, VALUE, &[4]).is_err(), "taken");
    }

    #[test]
    fn what_nobody_puts_is_dropped_and_makes_room() {
        let puts = Puts::default();
        let coming = puts.await_bytes(Time(0), VALUE, vec![]).unwrap();
        puts.begin(coming).unwrap();
        for _ in 1..limits::PUT_TICKETS {
            puts.await_bytes(Time(0), VALUE, vec![]).unwrap();
        }
        let full = puts.await_bytes(Time(1), VALUE, vec![]).unwrap_err();
        assert_eq!(full.reason, Reason::Busy);
        let later = Time(0) + limits::TICKET_WAIT;
        puts.await_bytes(later, VALUE, vec![]).unwrap();
        puts.end(later, coming, Some(Draft::default()));
        assert!(puts.take(coming, VALUE, &[]).is_ok(), "what was coming was kept");
    }
}

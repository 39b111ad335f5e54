//! The invariants of a host, counted anew.

use super::callers::{Rests, Slot};
use super::{Host, Phase};

impl Host {
    /// Counts everything anew that is kept as a count, and says what is wrong.
    pub fn check(&self) -> Result<(), String> {
        self.mailbox.check()?;
        self.callers.check()?;
        self.check_given()?;
        self.check_slots()?;
        self.check_rest()
    }

    /// Each call that was given is known by its run, and the other way around.
    fn check_given(&self) -> Result<(), String> {
        for (run, ticket) in self.given.iter() {
            let given = self.mailbox.get(*ticket).and_then(|live| live.given);
            if given.is_none_or(|given| given.run.0 != run) {
                return Err(format!("run {run} is given as {given:?}"));
            }
        }
        let given = self.mailbox.iter().filter(|(_, live)| live.given.is_some()).count();
        if given != self.given.len() {
            return Err(format!("{given} calls are given, {} by number", self.given.len()));
        }
        Ok(())
    }

    /// A number whose call has not ended has a call, and what is withheld is known to be.
    fn check_slots(&self) -> Result<(), String> {
        for (id, caller) in self.callers.iter() {
            if caller.slots.first().is_some_and(|seq| seq <= caller.processed_up_to) {
                return Err(format!("{id:?} has acknowledged what is kept"));
            }
            for (seq, slot) in caller.slots.iter() {
                let is_right = match slot {
                    Slot::Live(ticket) => self
                        .mailbox
                        .get(*ticket)
                        .is_some_and(|live| live.id.caller == id && live.id.seq == seq),
                    Slot::Ended(reply) => match reply.rests {
                        Rests::Record(lsn) => lsn > self.log.durable() || self.log.failed,
                        Rests::Checkpoint | Rests::Nothing => true,
                    },
                    Slot::Void => true,
                };
                if !is_right {
                    return Err(format!("call {seq} of {id:?} is kept as {slot:?}"));
                }
            }
        }
        Ok(())
    }

    /// No call is given while the actor is to rest, and what waits is waited for.
    fn check_rest(&self) -> Result<(), String> {
        if matches!(self.phase, Phase::Starting) && !self.given.is_empty() {
            return Err("calls run before there is an actor".to_owned());
        }
        if self.keeper.is_asked() && !self.given.is_empty() {
            return Err("calls run while a checkpoint is made".to_owned());
        }
        if self.may_give() && !self.fenced && self.ending.is_none() && self.given.is_empty() {
            let stuck = (0..self.mailbox.lanes()).find_map(|lane| self.mailbox.next(lane));
            if let Some(ticket) = stuck {
                return Err(format!("call {ticket} could begin and does not"));
            }
        }
        Ok(())
    }
}

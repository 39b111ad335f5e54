//! Callers that have been away for a while: nobody takes the items of their streaming calls, and others wait in the lanes
//! behind those.

use super::{Effect, Host};
use crate::actor::call::{CallCode, CallFailure};
use crate::limits;
use crate::time::Time;

impl Host {
    /// When somebody will have been away for long enough that its streaming calls end.
    pub(super) fn next_away(&self) -> Option<Time> {
        self.callers.next_away().map(|(since, _)| since + limits::ITEMS_CALLER_WAIT)
    }

    /// Ends the streaming calls of callers that have been away for long enough.
    pub(super) fn end_streams_of_absent(&mut self, now: Time, effects: &mut Vec<Effect>) {
        while self.next_away().is_some_and(|due| due <= now) {
            let Some(caller) = self.callers.look_at_away() else { return };
            let known = self.callers.get(caller);
            let tickets = known.map(|known| known.live_tickets().collect::<Vec<u64>>());
            for ticket in tickets.unwrap_or_default() {
                self.end_stream(now, ticket, effects);
            }
        }
    }

    /// As if its caller had cancelled it. A call that is in the log, or is to be, has its effect whether or not it is awaited.
    fn end_stream(&mut self, now: Time, ticket: u64, effects: &mut Vec<Effect>) {
        let Some(live) = self.mailbox.get(ticket) else { return };
        let is_kept = live.lsn() > 0 || live.logged || live.replay.is_some();
        if live.items.is_none() || is_kept {
            return;
        }
        let Some(given) = live.given else {
            let why = format!("its caller was away for {}", limits::ITEMS_CALLER_WAIT);
            let failure = CallFailure::new(CallCode::Cancelled, why);
            return self.end_unrun(now, ticket, failure, effects);
        };
        self.let_flow(&[ticket], effects);
        let items = self.mailbox.get_mut(ticket).and_then(|live| live.items.as_deref_mut());
        if let Some(items) = items {
            items.given_up = true;
        }
        effects.push(Effect::Stop { run: given.run, grace: None });
    }
}

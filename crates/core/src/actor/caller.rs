//! The caller's half of a conversation: one caller, one actor.
//!
//! [`Caller`] numbers calls at the moment they are made, keeps each until it has its end, and decides what is sent, and sent
//! again, to which incarnation. It is pure: streams, time and the scheduler are its driver's.
//!
//! `queue` keeps the calls, `link` finds the actor and begins conversations with its hosts, `flow` says what may be said now,
//! and `ends` holds every way in which a call ends without a reply.

mod ends;
mod flow;
mod link;
mod owed;
mod queue;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use super::call::{Call, CallFailure, CallerId, Ending};
use super::place::ActorPlace;
use super::probe::Probe;
use super::wire::{OnUnknown, ToCaller, ToHost};
use crate::id::{ActorId, Incarnation, WorkerId};
use crate::limits;
use crate::time::{Span, Time};
use crate::value::Value;

use self::flow::Terms;
use self::link::Link;
use self::owed::Owed;
use self::queue::Queue;

/// Everything that can happen to a caller.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The user wants a call no more.
    Cancelled {
        /// Which.
        seq: u64,
        /// How long it may go on if it runs; `None` is to its end.
        grace: Option<Span>,
    },
    /// Nobody will call any more, nor wait: what has not ended ends now.
    Closed,
    /// What was made of the replies to all calls before this one is kept: see [`Config::keeps`].
    Kept {
        /// The first call of which it may not be.
        next_seq: u64,
    },
    /// The user has taken items of a streaming call and has room for as many more.
    ItemsTaken {
        /// Which call.
        seq: u64,
        /// The last item.
        up_to: u64,
    },
    /// The arguments of a call that was made unready are where the host can have them; or why they never will be.
    Prepared {
        /// Which call.
        seq: u64,
        /// The call as it is to be sent.
        call: Result<Arc<Call>, Box<CallFailure>>,
    },
    /// Somebody waits for one who waits for a call: the host of that is told, if it has it.
    Probed {
        /// Which call.
        seq: u64,
        /// What looks for a circle.
        probe: Box<Probe>,
    },
    /// The answer to [`Effect::Resolve`]: where the actor is, as far as is known after the wait; or that there is none.
    Resolved(Result<Box<ActorPlace>, Box<CallFailure>>),
    /// The host said so, over the stream that [`Effect::Reach`] asked for last.
    Said(ToCaller),
    /// There is a stream to this worker.
    StreamUp(WorkerId),
    /// The stream to this worker is lost, or cannot be had.
    StreamDown(WorkerId),
    /// The time that [`Caller::next_timer`] told has come.
    TimerDue,
    /// The other answer to [`Effect::Resolve`]: the scheduler cannot be asked now.
    Unresolved,
}

/// Everything a caller can ask of its driver.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// A call has ended.
    Ended {
        /// Which.
        seq: u64,
        /// How.
        ending: Box<Ending>,
    },
    /// A streaming call gave an item.
    Item {
        /// Which call.
        seq: u64,
        /// Counts its items, from 1.
        n: u64,
        /// The item.
        value: Box<Value>,
    },
    /// Have a stream to the worker of a place; answered by [`Event::StreamUp`] or [`Event::StreamDown`].
    Reach(Box<ActorPlace>),
    /// Ask the scheduler where the actor is; answered by [`Event::Resolved`] or [`Event::Unresolved`].
    Resolve {
        /// The answer is to come as soon as a greater incarnation takes calls: this one cannot be reached.
        after: Incarnation,
        /// And else after so long.
        wait: Span,
    },
    /// There is room for further calls again, where [`Caller::has_room`] said that there is none.
    Room,
    /// Say something over the stream.
    Say(ToHost),
}

/// What a caller is made with.
#[derive(Clone, Debug)]
pub struct Config {
    /// Who calls.
    pub caller: CallerId,
    /// The actor that is called.
    pub actor: ActorId,
    /// What happens to later calls after one ended as unknown.
    pub on_unknown: OnUnknown,
    /// Where the actor is believed to be.
    pub place: Option<Box<ActorPlace>>,
    /// Number of the first call: 1, unless calls were made before in the same life.
    pub first: u64,
    /// The same calls may be made again, with the same numbers, after this process: replies stay with the host until
    /// [`Event::Kept`] says that they are needed no more, and the host is never told to forget the caller.
    pub keeps: bool,
    /// How many calls it keeps that have not ended, at most.
    pub most: usize,
}

impl Config {
    /// A caller whose first call is still to be made, to an actor of which nothing is known.
    pub fn new(caller: CallerId, actor: ActorId) -> Self {
        Self {
            caller,
            actor,
            on_unknown: OnUnknown::Continue,
            place: None,
            first: 1,
            keeps: false,
            most: limits::CALLS_PENDING,
        }
    }
}

/// A call whose arguments are not ready yet. It has its number, and calls after it wait for it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Unready {
    /// How long the caller waits, from now.
    pub deadline: Option<Span>,
    /// Bytes of its arguments that are kept until they are where the host can have them: they need room as those of a call do.
    pub bytes: usize,
}

/// One caller's half of its conversation with one actor.
#[derive(Debug)]
pub struct Caller {
    config: Config,
    queue: Queue,
    link: Link,
    /// No host was ever spoken to, by this or by an earlier life of the caller's process.
    is_new: bool,
    /// The greatest incarnation that anybody has named: lesser ones are not believed.
    newest: Incarnation,
    /// Where the actor was last, if it may still be there.
    place: Option<Box<ActorPlace>>,
    /// What the host of the last conversation said.
    terms: Terms,
    /// Grows with each attempt to reach the actor that failed; zero after a reply.
    pause: Span,
    /// Replies up to here are known to the host as taken.
    acked: u64,
    /// When it is told of those after.
    ack_at: Option<Time>,
    /// Replies from here on may be needed again; of a caller that keeps.
    unkept: u64,
    /// What the host keeps of replies that have arrived; of a caller that keeps.
    owed: Owed,
    /// The host has forgotten which of the calls that are made again it has run.
    doubted: bool,
    /// Somebody was told that there is no room.
    crowded: bool,
    /// Why no call can be made any more.
    over: Option<Box<CallFailure>>,
}

impl Caller {
    /// A caller that has made no call.
    pub fn new(mut config: Config) -> Self {
        let place = config.place.take();
        let first = config.first.max(1);
        Self {
            queue: Queue::new(first),
            link: Link::Idle,
            is_new: first == 1 && !config.keeps,
            newest: place.as_ref().map_or(Incarnation(0), |place| place.incarnation),
            place,
            terms: Terms::default(),
            pause: Span::ZERO,
            acked: first - 1,
            ack_at: None,
            unkept: first,
            owed: Owed::default(),
            doubted: false,
            crowded: false,
            over: None,
            config,
        }
    }

    /// Makes a call, and gives its number: one more than the last. `None` where there is no room for it: it is not made.
    pub fn call(
        &mut self,
        now: Time,
        call: Result<Arc<Call>, Unready>,
        effects: &mut Vec<Effect>,
    ) -> Option<u64> {
        if !self.has_room() {
            return None;
        }
        let deadline = match &call {
            Ok(call) => call.deadline,
            Err(unready) => unready.deadline,
        };
        let seq = self.queue.push(call, deadline.map(|span| now + span));
        if let Some(failure) = self.over.clone() {
            self.end_failed(seq, *failure, effects);
        }
        self.settle(now, effects);
        Some(seq)
    }

    /// Whether there is room for a further call. Once there was none, [`Effect::Room`] tells when there is.
    pub fn has_room(&self) -> bool {
        self.queue.len() < self.config.most && self.queue.bytes() < limits::CALLS_PENDING_BYTES
    }

    /// Calls that have not ended.
    pub fn pending(&self) -> usize {
        self.queue.pending()
    }

    /// The number of the next call.
    pub fn next_seq(&self) -> u64 {
        self.queue.numbers().end
    }

    /// Calls to whose replies the host is held.
    pub fn unacknowledged(&self) -> u64 {
        self.queue.done_up_to().saturating_sub(self.acked)
    }

    /// Bytes of the replies that the host keeps until [`Event::Kept`]: see [`Config::keeps`].
    pub fn unacknowledged_bytes(&self) -> u64 {
        self.owed.bytes()
    }

    /// Where the actor was last.
    pub fn place(&self) -> Option<&ActorPlace> {
        self.place.as_deref()
    }

    /// When [`Event::TimerDue`] is wanted next.
    pub fn next_timer(&self) -> Option<Time> {
        let pause = match self.link {
            Link::Pausing { until } => Some(until),
            Link::Idle
            | Link::Resolving
            | Link::Reaching { .. }
            | Link::Opening { .. }
            | Link::Open { .. } => None,
        };
        [self.queue.next_deadline(), self.ack_at, pause].into_iter().flatten().min()
    }

    /// Applies one event and appends to `effects` what must be done about it.
    ///
    /// Total: any event is legal in any state. What a host says outside a conversation, or of calls that it was not told or
    /// that have ended, is dropped.
    pub fn handle(&mut self, now: Time, event: Event, effects: &mut Vec<Effect>) {
        match event {
            Event::Cancelled { seq, grace } => self.on_cancelled(seq, grace, effects),
            Event::Closed => self.on_closed(effects),
            Event::ItemsTaken { seq, up_to } => self.on_items_taken(seq, up_to, effects),
            Event::Kept { next_seq } => self.on_kept(next_seq),
            Event::Prepared { seq, call } => self.on_prepared(seq, call, effects),
            Event::Probed { seq, probe } => self.on_probed(seq, probe, effects),
            Event::Resolved(found) => self.on_resolved(now, found, effects),
            Event::Said(word) => self.on_said(now, word, effects),
            Event::StreamUp(worker) => self.on_stream_up(worker, effects),
            Event::StreamDown(worker) => self.on_stream_down(worker, effects),
            Event::TimerDue => self.on_timer(now, effects),
            Event::Unresolved => self.on_unresolved(now),
        }
        self.settle(now, effects);
    }

    fn on_said(&mut self, now: Time, word: ToCaller, effects: &mut Vec<Effect>) {
        match word {
            ToCaller::Accepted { .. } => {} // That it is in the mailbox proves nothing that a reply would not.
            ToCaller::Item { seq, n, value } => self.on_item(seq, n, value, effects),
            ToCaller::Opened(opened) => self.on_opened(*opened, effects),
            ToCaller::OpenRefused(failure) => self.on_open_refused(*failure, effects),
            ToCaller::Redirect { incarnation, place } => {
                self.on_redirect(now, incarnation, place, effects);
            }
            ToCaller::Reply { seq, ending } => self.on_reply(seq, ending, effects),
            ToCaller::Window(window) => self.terms.window = window.max(1),
        }
    }

    fn on_timer(&mut self, now: Time, effects: &mut Vec<Effect>) {
        while let Some(seq) = self.queue.pop_deadline(now) {
            self.on_deadline(seq, effects);
        }
        if let Link::Pausing { until } = self.link
            && until <= now
        {
            self.link = Link::Idle;
        }
    }

    /// What follows from the state of the moment, after whatever changed it.
    fn settle(&mut self, now: Time, effects: &mut Vec<Effect>) {
        if matches!(self.link, Link::Idle) && self.over.is_none() && self.queue.pending() > 0 {
            self.begin(effects);
        }
        self.say_what_may_be_said(now, effects);
        let told = self.link.is_conversation();
        self.queue.forget_ended(told);
        self.acknowledge(now, effects);
        // Whether or not somebody was turned away: whoever looks before making a call waits too.
        self.crowded |= !self.has_room();
        if self.crowded && self.queue.has_ample_room(self.config.most) {
            self.crowded = false;
            effects.push(Effect::Room);
        }
        // With many calls, counting them anew at each event would be all that a debug build does.
        debug_assert!(self.queue.len() > 64 || self.check() == Ok(()), "{:?}", self.check());
    }

    /// Counts everything anew that is kept as a count, and says what is wrong.
    pub fn check(&self) -> Result<(), String> {
        self.queue.check(self.link.is_conversation())?;
        if self.acked > self.queue.done_up_to() {
            return Err(format!("{} acknowledged, {} done", self.acked, self.queue.done_up_to()));
        }
        if self.over.is_some() && self.queue.pending() > 0 {
            return Err(format!("{} calls pending after the end", self.queue.pending()));
        }
        if matches!(self.link, Link::Idle) && self.over.is_none() && self.queue.pending() > 0 {
            return Err("calls wait and nothing is done about it".to_owned());
        }
        Ok(())
    }
}

//! What is counted of calls, and what people see who look in.

use std::collections::BTreeMap;

use super::{Host, Phase};
use crate::actor::call::{CallId, Outcome};
use crate::actor::place::ActorState;
use crate::actor::statistics::{ActorStatistics, MethodStatistics};
use crate::id::Incarnation;
use crate::limits;
use crate::time::{Span, Time};

/// Running calls that are told of.
const RUNNING: usize = 100;
/// Stands for all methods beyond those that are counted one by one.
const OTHERS: &str = "(others)";

/// What the host sees of its actor.
#[derive(Clone, Debug, PartialEq)]
pub struct Status {
    /// How it is.
    pub state: ActorState,
    /// Its incarnation.
    pub incarnation: Incarnation,
    /// How long the incarnation has lived.
    pub age: Span,
    /// Its lanes, in order.
    pub lanes: Vec<LaneStatus>,
    /// Calls that the process has, at most 100, the oldest first.
    pub running: Vec<RunningCall>,
    /// How many callers are remembered.
    pub callers: usize,
    /// Replies that wait to be acknowledged.
    pub replies: usize,
}

/// How a lane is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LaneStatus {
    /// Its name.
    pub name: String,
    /// How many calls wait.
    pub waiting: usize,
    /// How long the oldest of them has waited.
    pub oldest: Span,
    /// How many calls the process has.
    pub running: usize,
}

/// A call that the process has.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RunningCall {
    /// The call.
    pub id: CallId,
    /// Name of the method.
    pub method: String,
    /// Place of its lane.
    pub lane: usize,
    /// For how long the process has had it.
    pub run: Span,
}

/// Counters of an incarnation.
#[derive(Debug, Default)]
pub(super) struct Counted {
    born: Option<Time>,
    methods: Vec<(String, MethodStatistics)>,
    /// Places of methods, by name.
    places: BTreeMap<String, usize>,
    /// Place of the method that was counted last: most often it is the next one, too.
    last: usize,
}

impl Counted {
    /// Something happens: the incarnation began then, if nothing did before.
    pub(super) fn born(&mut self, now: Time) {
        self.born.get_or_insert(now);
    }

    fn method(&mut self, method: &str) -> &mut MethodStatistics {
        if self.methods.get(self.last).is_none_or(|(last, _)| last != method) {
            self.last = self.place(method);
        }
        let (_, counted) = self.methods.get_mut(self.last).expect("it was found just now");
        counted
    }

    fn place(&mut self, method: &str) -> usize {
        if let Some(place) = self.places.get(method) {
            return *place;
        }
        let name = if self.methods.len() >= limits::ACTOR_METHODS { OTHERS } else { method };
        *self.places.entry(name.to_owned()).or_insert_with(|| {
            self.methods.push((name.to_owned(), MethodStatistics::default()));
            self.methods.len() - 1
        })
    }

    pub(super) fn given(&mut self, method: &str) {
        self.method(method).running += 1;
    }

    pub(super) fn given_no_more(&mut self, method: &str) {
        let counted = self.method(method);
        counted.running = counted.running.saturating_sub(1);
    }

    pub(super) fn ended(
        &mut self,
        method: &str,
        outcome: &Outcome,
        queue: Span,
        run: Span,
        ran: bool,
    ) {
        let counted = self.method(method);
        counted.calls += 1;
        counted.queue_us.add(queue.0);
        if ran {
            counted.run_us.add(run.0);
        }
        match outcome {
            Outcome::Done { .. } => {}
            Outcome::Failure(_) => counted.failures += 1,
            Outcome::Stored { size, .. } => counted.reply_bytes.add(*size),
            Outcome::UserError(_) => counted.user_errors += 1,
            Outcome::Value(value) => counted.reply_bytes.add(value.size),
        }
    }
}

impl Host {
    /// Counters since the incarnation began.
    pub fn statistics(&self, now: Time) -> ActorStatistics {
        ActorStatistics {
            methods: self.counted.methods.iter().cloned().collect(),
            mailbox: self.mailbox.waiting_len() as u64,
            oldest: self.mailbox.oldest(now),
            state_bytes: self.keeper.newest.bytes,
            checkpoints: self.keeper.made,
            checkpoint_age: self.keeper.age(now),
            checkpoint_took: self.keeper.newest.took,
            log_bytes: self.log.bytes,
        }
    }

    /// What people see who look in.
    pub fn status(&self, now: Time) -> Status {
        let lanes = self.spec.lanes.iter().enumerate().map(|(n, spec)| {
            let (waiting, since, running) = self.mailbox.lane(n);
            let oldest = since.map_or(Span::ZERO, |since| now.since(since));
            LaneStatus { name: spec.name.clone(), waiting, oldest, running }
        });
        let running = self.given.values().filter_map(|ticket| {
            let live = self.mailbox.get(*ticket)?;
            let method = live.call.method.clone();
            let run = now.since(live.given?.at);
            Some(RunningCall { id: live.id, method, lane: live.lane, run })
        });
        Status {
            state: self.state(),
            incarnation: self.incarnation,
            age: self.counted.born.map_or(Span::ZERO, |born| now.since(born)),
            lanes: lanes.collect(),
            running: running.take(RUNNING).collect(),
            callers: self.callers.len(),
            replies: self.callers.iter().map(|(_, caller)| caller.slots.len() - caller.live).sum(),
        }
    }

    fn state(&self) -> ActorState {
        match &self.phase {
            Phase::Starting | Phase::Replaying => ActorState::Starting,
            Phase::Serving if self.moving.is_some() => ActorState::Moving,
            Phase::Serving => ActorState::Alive,
            Phase::Over(over) => over.state(),
        }
    }
}

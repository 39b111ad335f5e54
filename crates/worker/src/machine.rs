//! The worker's decisions: which attempt runs next, what is fetched, what the scheduler is told.
//!
//! [`Machine`] is pure. Events go in, effects come out; neither the clock, the network, a process nor a byte of a value is
//! within its reach. What is to be told to the scheduler is marked in an outbox and turned into reports when the stream
//! has room.
//!
//! An attempt is accepted (`orders`), waits for its inputs (`inputs`), stands in a queue until its resources are free
//! (`schedule`) and ends (`ends`). Every accepted attempt is told to have finished, failed or been given back exactly
//! once, unless a later attempt of its task was accepted here: then nobody hears of it.

#![warn(clippy::wildcard_enum_match_arm)]

mod actors;
mod announce;
mod attempts;
mod check;
mod cpus;
mod ends;
mod fetching;
mod gathering;
mod inputs;
mod leave;
mod objects;
mod orders;
mod pool;
mod queues;
mod reports;
mod schedule;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bireme_core::actor::place::{ActorOrder, ActorReport};
use bireme_core::graph::{Row, Runtime};
use bireme_core::id::{AttemptId, TaskId, WorkerId};
use bireme_core::link::Outbox;
use bireme_core::protocol::{Heartbeat, Order, Output, Peer, Report, Timing};
use bireme_core::resources::Pieces;
use bireme_core::{ObjectId, Resources, Span, TaskError, Time, Value};
use bytes::Bytes;
use smallvec::SmallVec;

use self::actors::Actors;
pub use self::actors::Hosting;
use self::attempts::{Attempts, Recall, Slot, State};
use self::gathering::{Gatherer, Gatherings};
use self::leave::Leaving;
use self::objects::Objects;
use self::pool::Pool;
use self::queues::{Queues, Turn};
use self::reports::Mark;

/// Everything that can happen to a worker.
#[expect(clippy::large_enum_variant, reason = "the large one is nearly all there are")]
#[derive(Clone, Debug)]
pub enum Event {
    /// Something about a hosted actor that the scheduler is to know.
    ActorTold(ActorReport),
    /// The scheduler knows everything that was announced, or asks for all of it.
    AnnounceReplied {
        /// Nothing need be told.
        equal: bool,
    },
    /// The stream to the scheduler is up and it has accepted the worker.
    Connected,
    /// The stream to the scheduler is lost.
    Disconnected,
    /// Somebody on this machine asks the worker to leave when its attempts have ended and others have its values.
    DrainAsked {
        /// It leaves all the same after so long.
        deadline: Option<Span>,
    },
    /// User code of an attempt has ended.
    Ended {
        /// Which.
        attempt: AttemptId,
        /// Its outputs, which the store has, or why there are none.
        outcome: Result<SmallVec<[Output; 1]>, Box<TaskError>>,
        /// How long it took.
        timing: Timing,
        /// The follower of its queue that took over its resources without asking. This is told before the end of that
        /// follower is.
        next: Option<AttemptId>,
    },
    /// No holder could give an object.
    FetchFailed {
        /// Which.
        object: ObjectId,
        /// Who was asked.
        asked: SmallVec<[WorkerId; 2]>,
    },
    /// The values of a call's arguments are wanted; answered by [`Effect::Gathered`], unless it is given up before.
    Gather {
        /// Comes back with the answer; never used again.
        ticket: u64,
        /// Which.
        objects: SmallVec<[ObjectId; 1]>,
    },
    /// They are wanted no more.
    Ungather(u64),
    /// An object has arrived in the store.
    Fetched {
        /// Which.
        object: ObjectId,
        /// Size in bytes.
        size: u64,
    },
    /// The store has found the bytes of an object gone: its file was cut or removed, or cannot be read. Whatever was left of it
    /// is dropped, and nothing that was put into the store since is meant.
    Lost(ObjectId),
    /// The scheduler said so.
    Ordered(Order),
    /// Memory has passed the pause mark, or is below it again.
    Paused(bool),
    /// What an attempt runs in, which it waited for since [`Event::Prepares`], is there: its time begins.
    Prepared(AttemptId),
    /// What an attempt runs in is being made, which is no time of its own.
    Prepares(AttemptId),
    /// The answer to [`Effect::Recall`].
    Recalled {
        /// Which.
        attempt: AttemptId,
        /// It had not started and will not. Otherwise it has started, and [`Event::Ended`] told in whose place or is about
        /// to.
        taken_back: bool,
    },
    /// User code of an attempt that gave its cpus back has what it waited for, and wants them again: answered by
    /// [`Effect::Rejoined`].
    Rejoining(AttemptId),
    /// User code of an attempt waits for tasks of its own, and takes no cpus meanwhile.
    Seceded(AttemptId),
    /// A client has put an object into the store, where it stays until the scheduler has it released.
    Stored {
        /// Which.
        object: ObjectId,
        /// Size in bytes.
        size: u64,
    },
    /// The time that [`Machine::next_timer`] told has come.
    TimerDue,
}

/// Everything a worker can be asked to do by its machine.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Have something done with an actor that is, or was, hosted: [`ActorOrder::Host`] and [`ActorOrder::Settle`] never
    /// come here.
    Actor(ActorOrder),
    /// Host an incarnation of an actor; answered by [`Event::ActorTold`], at last with its end.
    Host(Box<Hosting>),
    /// What a call wants is in the store, or this object is not to be had.
    Gathered {
        /// As in [`Event::Gather`].
        ticket: u64,
        /// All that it wants.
        objects: SmallVec<[ObjectId; 2]>,
        /// What is missing, and what became of it where that is known; `None` where all is there.
        missing: Option<(ObjectId, Option<Box<TaskError>>)>,
    },
    /// Have the bytes of an object fetched from one of its holders.
    Fetch {
        /// Which.
        object: ObjectId,
        /// Who has it; asked in this order.
        holders: SmallVec<[WorkerId; 2]>,
        /// Size in bytes, where known.
        size: u64,
    },
    /// Drop the bytes of an object.
    Drop(ObjectId),
    /// Run an attempt.
    Execute {
        /// What to run.
        execution: Box<Execution>,
        /// Run it when another attempt of its runtime with the same resources ends, in its place and without asking; else at once.
        follow: bool,
    },
    /// A follower is to be run at once: there is room. Nothing is to be done if it has been started since.
    Promote(AttemptId),
    /// Keep the bytes of an object that came with an order.
    Keep(ObjectId, Box<Value>),
    /// End an attempt that was handed to an executor; running code may go on for `grace`.
    Kill {
        /// Which.
        attempt: AttemptId,
        /// How long.
        grace: Span,
        /// It is over its time, rather than unwanted.
        timed_out: bool,
    },
    /// Nothing is left to do, and the worker was asked to leave. What is in the outbox should still be sent.
    Leave,
    /// Take a follower back if it has not started; answered by [`Event::Recalled`].
    Recall(AttemptId),
    /// An attempt has the cpus again that it gave back: its code may go on.
    Rejoined(AttemptId),
    /// The outbox was empty and has something to tell the scheduler.
    Wake,
    /// Where peers are, for the driver's table.
    Peers(Vec<Peer>),
}

/// What an executor needs to run an attempt.
#[derive(Clone, Debug, PartialEq)]
pub struct Execution {
    /// Which.
    pub attempt: AttemptId,
    /// The task's key.
    pub key: String,
    /// An encoded `Payload`.
    pub payload: Bytes,
    /// Its inputs, in the payload's order; all are in the store.
    pub inputs: SmallVec<[ObjectId; 2]>,
    /// What it holds while it runs.
    pub resources: Resources,
    /// Which numbered pieces are among that.
    pub held: Pieces,
    /// How many outputs it has.
    pub outputs: u16,
    /// Longest run.
    pub timeout: Option<Span>,
    /// The row's own argument, in a task array.
    pub row: Row,
    /// Which kind of executor runs it.
    pub runtime: Runtime,
}

/// What a machine must be told at the start.
#[derive(Clone, Debug)]
pub struct Config {
    /// All the worker has.
    pub resources: Resources,
    /// Runnable attempts with the same resources that are handed over before there is room, at most: [`limits::FOLLOWERS`],
    /// or 0 where no executor takes followers.
    ///
    /// [`limits::FOLLOWERS`]: bireme_core::limits::FOLLOWERS
    pub followers: usize,
    /// Of the hash function; drawn at random by the driver.
    pub seed: u64,
}

/// How far an attempt has come.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Phase {
    /// An executor starts it when another one ends.
    Following,
    /// It can run, and waits for resources.
    Ready,
    /// It runs.
    Running,
    /// Inputs are missing.
    Waiting,
}

/// All state of a worker but its values.
#[derive(Debug)]
pub struct Machine {
    actors: Actors,
    attempts: Attempts,
    /// What is gathered for others than attempts.
    gatherings: Gatherings,
    /// Those of them that have got complete, and may still be; empty between events.
    gathered: Vec<Gatherer>,
    /// How attempts ended, until the scheduler settles it: those that failed, were given back, or made nothing that could be
    /// announced in their place. At most one for each task.
    ended: BTreeMap<TaskId, Report>,
    objects: Objects,
    queues: Queues,
    pool: Pool,
    /// Followers of one queue, at most.
    followers: usize,
    /// The turns of running attempts that have given their cpus back.
    seceded: BTreeSet<Turn>,
    /// Running attempts that want the cpus again which they gave back, in the order in which they asked.
    rejoining: VecDeque<Slot>,
    /// When running attempts are over their time.
    timers: BTreeSet<(Time, Slot)>,
    outbox: Outbox<Mark>,
    /// Attempts accepted so far.
    arrivals: u64,
    paused: bool,
    leaving: Leaving,
}

impl Machine {
    /// A worker that holds nothing and has no stream.
    pub fn new(config: Config) -> Self {
        Self {
            actors: Actors::default(),
            gatherings: Gatherings::new(),
            gathered: Vec::new(),
            attempts: Attempts::new(config.seed),
            ended: BTreeMap::new(),
            objects: Objects::new(config.seed),
            queues: Queues::default(),
            pool: Pool::new(config.resources),
            followers: config.followers,
            seceded: BTreeSet::new(),
            rejoining: VecDeque::new(),
            timers: BTreeSet::new(),
            outbox: Outbox::default(),
            arrivals: 0,
            paused: false,
            leaving: Leaving::No,
        }
    }

    /// Applies one event and appends to `effects` what must be done about it.
    ///
    /// Total: any event is legal in any state. News of an attempt that is not here is dropped here, and nowhere else.
    pub fn handle(&mut self, now: Time, event: Event, effects: &mut Vec<Effect>) {
        match event {
            Event::ActorTold(report) => self.on_actor_told(now, report, effects),
            Event::AnnounceReplied { .. } => self.on_announced(effects),
            Event::Connected => self.on_connected(effects),
            Event::Disconnected => self.on_disconnected(),
            Event::DrainAsked { deadline } => self.on_drain_asked(now, deadline, effects),
            Event::Ended { attempt, outcome, timing, next } => {
                self.on_ended(now, attempt, outcome, timing, next, effects);
            }
            Event::FetchFailed { object, asked } => self.on_fetch_failed(object, asked, effects),
            Event::Fetched { object, size } => self.on_fetched(object, size, effects),
            Event::Gather { ticket, objects } => self.on_gather(now, ticket, objects, effects),
            Event::Ungather(ticket) => self.ungather(Gatherer::Call(ticket), effects),
            Event::Lost(object) => self.on_lost(object, effects),
            Event::Ordered(order) => self.on_ordered(now, order, effects),
            Event::Paused(paused) => self.on_paused(paused, effects),
            Event::Prepared(attempt) => self.on_prepared(now, attempt),
            Event::Prepares(attempt) => self.on_prepares(attempt),
            Event::Recalled { attempt, taken_back } => {
                self.on_recalled(attempt, taken_back, effects);
            }
            Event::Rejoining(attempt) => self.on_rejoining(now, attempt, effects),
            Event::Seceded(attempt) => self.on_seceded(attempt, effects),
            Event::Stored { object, size } => self.on_stored(object, size, effects),
            Event::TimerDue => self.on_timer_due(now, effects),
        }
        self.schedule(now, effects);
        self.leave_if_idle(now, effects);
        // What a large state costs to recount is paid only by tests that ask for it.
        if cfg!(debug_assertions) && self.attempts.len() <= 64 && self.objects.stored.len() <= 256 {
            debug_assert_eq!(self.check(), Ok(()));
        }
    }

    /// Applies an order of the scheduler.
    fn on_ordered(&mut self, now: Time, order: Order, effects: &mut Vec<Effect>) {
        match order {
            // No worker hosts actors yet, and none says that it has a class of them.
            Order::Actor(order) => self.on_actor_ordered(now, order, effects),
            Order::Cancel { attempt, grace } => self.on_cancel(attempt, grace, effects),
            Order::Drain { deadline } => self.on_drain(now, deadline, effects),
            Order::Peers(peers) => effects.push(Effect::Peers(peers)),
            Order::Gone { object, error } => self.on_gone(object, &error, effects),
            Order::Places(inputs) => self.on_places(inputs, effects),
            Order::Release(object) => self.on_release(object, effects),
            Order::Replicate(inputs) => self.on_replicate(inputs, effects),
            Order::Retract(attempt) => self.on_retract(attempt, effects),
            Order::Settle(attempt) => self.on_settle(attempt),
            Order::Start(start) => self.on_start(now, start, effects),
            Order::Stop => self.on_stop(effects),
        }
    }

    /// When [`Event::TimerDue`] is due, if ever.
    pub fn next_timer(&self) -> Option<Time> {
        let timer = self.timers.first().map(|(due, _)| *due);
        let rest = self.leaving.deadline().into_iter().chain(self.next_regather());
        timer.into_iter().chain(rest).min()
    }

    /// The attempts accepted and not ended, as people see them; those that were superseded are left out.
    pub fn attempts(&self) -> impl Iterator<Item = (AttemptId, Phase)> {
        let current = self
            .attempts
            .iter()
            .filter(|(slot, attempt)| self.attempts.current(attempt.id.task) == Some(*slot));
        current.map(|(_, attempt)| {
            let phase = match attempt.state {
                State::Running { .. } | State::Following(Recall::Refused) => Phase::Running,
                State::Following(Recall::Asked | Recall::No) => Phase::Following,
                State::Ready => Phase::Ready,
                State::Waiting { .. } => Phase::Waiting,
            };
            (attempt.id, phase)
        })
    }

    /// The size in bytes of an object, if it is here.
    pub fn holds(&self, object: ObjectId) -> Option<u64> {
        self.objects.stored.get(&object).map(|stored| stored.size)
    }

    /// How many attempts are here, and whether any starts for now. Everything else is for the driver to fill in; the bytes
    /// of all stored objects stand in `stored_bytes`.
    pub fn heartbeat(&self) -> Heartbeat {
        let running = self.attempts.iter().filter(|(_, attempt)| attempt.has_started()).count();
        let count = |n| u32::try_from(n).unwrap_or(u32::MAX);
        Heartbeat {
            stored_bytes: self.objects.bytes,
            running: count(running),
            queued: count(self.attempts.len() - running),
            paused: self.paused,
            ..Heartbeat::default()
        }
    }
}

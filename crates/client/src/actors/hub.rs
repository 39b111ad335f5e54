//! The caller machines of a session, and what they ask for.
//!
//! There is one [`Caller`] for each actor that is called, and one stream for each worker that hosts some of them. Everything
//! is done under one lock, by whichever task has the event: a program that calls, the reader of a stream, the clock. Nothing
//! is waited for under it.

mod numbered;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Weak};

use bireme_core::Span;
use bireme_core::actor::call::{Call, CallCode, CallFailure, CallerId, Ending, Outcome, Who};
use bireme_core::actor::caller::{Caller, Config, Effect, Event, Unready};
use bireme_core::actor::place::ActorPlace;
use bireme_core::actor::wire::{OnUnknown, ToCaller, ToHost};
use bireme_core::id::{ActorId, ClusterId, Incarnation, SessionId, WorkerId};
use bireme_core::numbered::Numbered;
use bireme_core::time::Time;
use bireme_core::value::Value;
use bireme_proto::convert::actor::said;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::Instant;

pub(crate) use self::numbered::Numbering;
use self::numbered::Retired;
use super::line::{self, Line};
use super::{clock, resolve};
use crate::peers::Peers;
use crate::session::{Session, lock};

/// The calls of a session.
pub(crate) struct Hub {
    state: Mutex<State>,
    /// Told when an alarm is earlier than the clock waits for.
    pub(super) alarm: Arc<Notify>,
    pub(super) peers: Arc<Peers>,
    pub(super) cluster: Option<ClusterId>,
    who: Who,
    /// How calls are numbered that are made again after this process; `None` where none are.
    numbering: Option<Numbering>,
    /// The life of the next caller: that of each is greater than those before.
    life: AtomicU64,
    started: Instant,
    /// Where tasks of the session run.
    runtime: tokio::runtime::Handle,
}

#[derive(Default)]
struct State {
    /// The time when it was taken last.
    now: Time,
    talks: BTreeMap<ActorId, Talk>,
    lines: BTreeMap<WorkerId, Line>,
    /// How many lines there were: numbers them.
    dialled: u64,
    alarms: BTreeSet<(Time, ActorId)>,
    /// Emptied before the lock is given back; kept for its room.
    effects: Vec<Effect>,
    /// Of lives that are over.
    retired: Vec<Retired>,
    closed: bool,
}

/// The conversation with one actor.
struct Talk {
    caller: Caller,
    /// How many handles the program has.
    handles: usize,
    waiting: Numbered<Waiter>,
    /// The worker that the machine asked to reach last.
    worker: Option<WorkerId>,
    /// The number of the conversation on that worker's line; 0 is none.
    open: u32,
    room: Arc<Notify>,
    alarm: Option<Time>,
}

/// Who waits for a call.
pub(super) struct Waiter {
    pub(super) ended: oneshot::Sender<Box<Ending>>,
    pub(super) items: Option<mpsc::Sender<(u64, Value)>>,
}

impl Hub {
    pub(crate) fn new(
        session: &Arc<Session>,
        number: SessionId,
        cluster: Option<ClusterId>,
        peers: Arc<Peers>,
    ) -> Arc<Self> {
        Self::start(Some(session), Who::Session(number), cluster, peers, None)
    }

    /// With `session` they end, if there is one.
    fn start(
        session: Option<&Arc<Session>>,
        who: Who,
        cluster: Option<ClusterId>,
        peers: Arc<Peers>,
        numbering: Option<Numbering>,
    ) -> Arc<Self> {
        let hub = Arc::new(Self {
            state: Mutex::default(),
            alarm: Arc::default(),
            peers,
            cluster,
            who,
            numbering,
            life: AtomicU64::new(clock::life()),
            started: Instant::now(),
            runtime: tokio::runtime::Handle::current(),
        });
        tokio::spawn(clock::keep(Arc::downgrade(&hub), Arc::clone(&hub.alarm), session.cloned()));
        hub
    }

    fn now(&self) -> Time {
        Time::default() + Span::from(self.started.elapsed())
    }

    /// Takes the state, to tell callers something.
    fn turn(&self) -> MutexGuard<'_, State> {
        let mut state = lock(&self.state);
        state.now = self.now();
        state
    }

    pub(super) fn instant(&self, time: Time) -> Instant {
        self.started + time.since(Time::default()).to_std()
    }

    /// Runs something beside the program, wherever it was asked for.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.runtime.spawn(task);
    }

    /// Begins to call an actor, if that has not begun.
    pub(super) fn join(
        self: &Arc<Self>,
        actor: ActorId,
        on_unknown: OnUnknown,
        place: Option<ActorPlace>,
    ) {
        let mut state = self.turn();
        let config = || {
            if let Some(numbering) = &self.numbering {
                return numbering.config(self.who, actor, place.map(Box::new));
            }
            // Whoever called the actor before, and let it go, was another caller.
            let life = self.life.fetch_add(1, Ordering::Relaxed);
            let me = CallerId { who: self.who, life };
            Config { on_unknown, place: place.map(Box::new), ..Config::new(me, actor) }
        };
        let talk = state.talks.entry(actor).or_insert_with(|| Talk {
            caller: Caller::new(config()),
            handles: 0,
            waiting: Numbered::default(),
            worker: None,
            open: 0,
            room: Arc::default(),
            alarm: None,
        });
        talk.handles += 1;
        if state.closed {
            self.tell(&mut state, actor, Event::Closed);
        }
    }

    /// A handle is gone. After the last one nobody calls the actor any more, nor waits for a call.
    pub(super) fn leave(self: &Arc<Self>, actor: ActorId) {
        let mut state = self.turn();
        let Some(talk) = state.talks.get_mut(&actor) else { return };
        talk.handles -= 1;
        if talk.handles > 0 {
            return;
        }
        self.tell(&mut state, actor, Event::Closed);
        let Some(talk) = state.talks.remove(&actor) else { return };
        if let Some(at) = talk.alarm {
            state.alarms.remove(&(at, actor));
        }
        if let Some(worker) = talk.worker {
            state.hang_up(worker, talk.open, actor);
        }
    }

    /// Makes a call, or takes a number for one whose arguments are not ready. `None` where there is no room, or nobody left
    /// to make it.
    pub(super) fn call(
        self: &Arc<Self>,
        actor: ActorId,
        call: Result<Arc<Call>, Unready>,
        waiter: Waiter,
    ) -> Option<u64> {
        let mut state = self.turn();
        let mut effects = std::mem::take(&mut state.effects);
        let now = state.now;
        let talk = state.talks.get_mut(&actor)?;
        let seq = talk.caller.call(now, call, &mut effects);
        if let Some(seq) = seq {
            talk.waiting.insert(seq, waiter);
        }
        let mut events = Vec::new();
        self.carry_out(&mut state, actor, &mut effects, &mut events);
        state.effects = effects;
        self.tell_all(&mut state, events);
        seq
    }

    /// Waits until there is room for a call.
    pub(super) async fn room(&self, actor: ActorId) {
        // A program that makes many calls lets those that it has made be sent meanwhile.
        tokio::task::consume_budget().await;
        loop {
            let has_room = |talk: &Talk| talk.caller.has_room();
            let room = match lock(&self.state).talks.get(&actor) {
                Some(talk) if !has_room(talk) => Arc::clone(&talk.room),
                Some(_) | None => return,
            };
            let freed = room.notified();
            tokio::pin!(freed);
            // From here on no word of room is missed.
            freed.as_mut().enable();
            if lock(&self.state).talks.get(&actor).is_none_or(has_room) {
                return;
            }
            freed.await;
        }
    }

    /// Where an actor was last, as far as its callers know.
    pub(super) fn place(&self, actor: ActorId) -> Option<ActorPlace> {
        lock(&self.state).talks.get(&actor)?.caller.place().cloned()
    }

    /// Something has happened to the caller of an actor.
    pub(super) fn on_event(self: &Arc<Self>, actor: ActorId, event: Event) {
        let mut state = self.turn();
        self.tell(&mut state, actor, event);
    }

    /// A line is up.
    pub(super) fn on_line_up(self: &Arc<Self>, worker: WorkerId, n: u64) {
        let mut state = self.turn();
        let Some(line) = state.line(worker, n) else { return };
        line.is_up = true;
        let wanted = std::mem::take(&mut line.wanted);
        let events = wanted.into_iter().map(|actor| (actor, Event::StreamUp(worker)));
        self.tell_all(&mut state, events.collect());
    }

    /// A line is gone, or could not be had.
    pub(super) fn on_line_down(self: &Arc<Self>, worker: WorkerId, n: u64) {
        let mut state = self.turn();
        if state.line(worker, n).is_none() {
            return;
        }
        state.lines.remove(&worker);
        let there = state.talks.iter().filter(|(_, talk)| talk.worker == Some(worker));
        let events = there.map(|(actor, _)| (*actor, Event::StreamDown(worker))).collect();
        self.tell_all(&mut state, events);
    }

    /// Hosts on a worker said something.
    pub(super) fn on_heard(
        self: &Arc<Self>,
        worker: WorkerId,
        n: u64,
        words: Vec<(u32, ToCaller)>,
    ) {
        let mut state = self.turn();
        for (open, word) in words {
            let Some(line) = state.line(worker, n) else { return };
            let Some(actor) = line.opens.get(&open).copied() else { continue };
            if state.talks.get(&actor).is_some_and(|talk| talk.open == open) {
                self.tell(&mut state, actor, Event::Said(word));
            }
        }
    }

    /// Tells callers that their time has come, and returns when the next one's does.
    pub(super) fn on_clock(self: &Arc<Self>) -> Option<Time> {
        let mut state = self.turn();
        let now = state.now;
        while let Some((at, actor)) = state.alarms.first().copied().filter(|(at, _)| *at <= now) {
            state.alarms.remove(&(at, actor));
            let Some(talk) = state.talks.get_mut(&actor) else { continue };
            talk.alarm = None;
            match talk.caller.next_timer() {
                Some(at) if at <= now => self.tell(&mut state, actor, Event::TimerDue),
                _ => self.set_alarm(&mut state, actor),
            }
        }
        state.alarms.first().map(|(at, _)| *at)
    }

    /// The session is over: every call ends.
    pub(crate) fn close(self: &Arc<Self>) {
        let mut state = self.turn();
        state.closed = true;
        let events = state.talks.keys().map(|actor| (*actor, Event::Closed)).collect();
        self.tell_all(&mut state, events);
        for line in std::mem::take(&mut state.lines).into_values() {
            line.outbox.close();
        }
    }

    /// Tells callers what happened to them, and then what followed from that.
    fn tell_all(self: &Arc<Self>, state: &mut State, mut events: Vec<(ActorId, Event)>) {
        while !events.is_empty() {
            for (actor, event) in std::mem::take(&mut events) {
                self.tell_one(state, actor, event, &mut events);
            }
        }
    }

    /// Tells a caller what happened to it.
    fn tell(self: &Arc<Self>, state: &mut State, actor: ActorId, event: Event) {
        let mut events = Vec::new();
        self.tell_one(state, actor, event, &mut events);
        self.tell_all(state, events);
    }

    /// Does what a caller asks for; what follows from that at once is added to `events`.
    fn tell_one(
        self: &Arc<Self>,
        state: &mut State,
        actor: ActorId,
        event: Event,
        events: &mut Vec<(ActorId, Event)>,
    ) {
        let mut effects = std::mem::take(&mut state.effects);
        let now = state.now;
        if let Some(talk) = state.talks.get_mut(&actor) {
            talk.caller.handle(now, event, &mut effects);
            self.carry_out(state, actor, &mut effects, events);
        }
        state.effects = effects;
    }

    fn carry_out(
        self: &Arc<Self>,
        state: &mut State,
        actor: ActorId,
        effects: &mut Vec<Effect>,
        events: &mut Vec<(ActorId, Event)>,
    ) {
        for effect in effects.drain(..) {
            let Some(talk) = state.talks.get_mut(&actor) else { continue };
            match effect {
                Effect::Ended { seq, ending } => {
                    if let Some(waiter) = talk.waiting.remove(seq) {
                        // Whoever made the call may have gone.
                        drop(waiter.ended.send(ending));
                    }
                    if let Some(numbering) = &self.numbering {
                        numbering.ended.notify_waiters();
                    }
                }
                Effect::Item { seq, n, value } => {
                    if let Some(Waiter { items: Some(items), .. }) = talk.waiting.get(seq) {
                        // Holds all that a host may send unasked; a host that sends more loses it.
                        drop(items.try_send((n, *value)));
                    }
                }
                Effect::Reach(place) => self.reach(state, actor, &place, events),
                Effect::Resolve { after, wait } => self.resolve(actor, after, wait),
                Effect::Room => talk.room.notify_waiters(),
                Effect::Say(word) => state.say(actor, word),
            }
        }
        self.set_alarm(state, actor);
    }

    fn set_alarm(&self, state: &mut State, actor: ActorId) {
        let Some(talk) = state.talks.get_mut(&actor) else { return };
        let Some(at) = talk.caller.next_timer() else { return };
        if talk.alarm.is_some_and(|set| set <= at) {
            return;
        }
        if let Some(later) = talk.alarm.replace(at) {
            state.alarms.remove(&(later, actor));
        }
        state.alarms.insert((at, actor));
        if state.alarms.first() == Some(&(at, actor)) {
            self.alarm.notify_one();
        }
    }

    fn resolve(self: &Arc<Self>, actor: ActorId, after: Incarnation, wait: Span) {
        let (hub, peers) = (Arc::downgrade(self), Arc::clone(&self.peers));
        self.spawn(async move {
            let event = resolve::resolve(&peers, actor, after, wait).await;
            if let Some(hub) = hub.upgrade() {
                hub.on_event(actor, event);
            }
        });
    }

    /// Has a line to the worker of a place: one that is up is at once.
    fn reach(
        self: &Arc<Self>,
        state: &mut State,
        actor: ActorId,
        place: &ActorPlace,
        events: &mut Vec<(ActorId, Event)>,
    ) {
        let Some(worker) = place.worker else { return };
        let address = place.addresses.iter().find(|address| crate::fetch::is_plain(address));
        let (Some(address), false) = (address, state.closed) else {
            return events.push((actor, Event::StreamDown(worker)));
        };
        if let Some(talk) = state.talks.get_mut(&actor) {
            (talk.worker, talk.open) = (Some(worker), 0);
        }
        match state.lines.get_mut(&worker).filter(|line| line.address == *address) {
            Some(line) if line.is_up => events.push((actor, Event::StreamUp(worker))),
            Some(line) => drop(line.wanted.insert(actor)),
            None => {
                state.dialled += 1;
                let mut line = Line::new(worker, address.clone(), state.dialled, self.cluster);
                line.wanted.insert(actor);
                self.spawn(line::keep(Arc::downgrade(self), worker, &line));
                if let Some(old) = state.lines.insert(worker, line) {
                    // The worker is elsewhere now: who spoke to it over the old line hears no more.
                    old.outbox.close();
                    let there =
                        old.opens.into_values().chain(old.wanted).filter(|own| *own != actor);
                    events.extend(there.map(|actor| (actor, Event::StreamDown(worker))));
                }
            }
        }
    }
}

impl State {
    /// The line to a worker, if it is still that one.
    fn line(&mut self, worker: WorkerId, n: u64) -> Option<&mut Line> {
        self.lines.get_mut(&worker).filter(|line| line.n == n)
    }

    fn say(&mut self, actor: ActorId, word: ToHost) {
        let Some(talk) = self.talks.get_mut(&actor) else { return };
        let Some(line) = talk.worker.and_then(|worker| self.lines.get_mut(&worker)) else { return };
        let closes = matches!(word, ToHost::Close { .. });
        if matches!(word, ToHost::Open(_)) {
            line.opens.remove(&talk.open);
            talk.open = line.number(actor);
        }
        line.outbox.push(said::say(talk.open, word));
        if closes {
            line.opens.remove(&talk.open);
            talk.open = 0;
        }
    }

    /// An actor is not spoken to any more. The line stays for the next one there: to have it anew takes longer than most calls.
    fn hang_up(&mut self, worker: WorkerId, open: u32, actor: ActorId) {
        let Some(line) = self.lines.get_mut(&worker) else { return };
        line.opens.remove(&open);
        line.wanted.remove(&actor);
    }
}

/// How a call ends that was never made.
pub(crate) fn not_made(code: CallCode, message: impl Into<String>) -> Ending {
    let failure = CallFailure::new(code, message);
    Ending {
        outcome: Outcome::Failure(Box::new(failure)),
        queue: Span::ZERO,
        run: Span::ZERO,
        lsn: 0,
        incarnation: Incarnation(0),
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        for line in lock(&self.state).lines.values() {
            line.outbox.close();
        }
        self.alarm.notify_one();
    }
}

impl std::fmt::Debug for Hub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Hub({:?}, ..)", self.who)
    }
}

/// The session's calls, while the session is there.
pub(super) type WeakHub = Weak<Hub>;

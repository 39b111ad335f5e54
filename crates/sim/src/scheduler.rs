//! The scheduler's driver: hands what comes over streams to the machine, and carries out what it asks for.

use std::collections::{BTreeMap, BTreeSet};

use bireme_core::graph::TaskState;
use bireme_core::id::{AttemptId, Epoch, SubmissionId, TaskId, WorkerId};
use bireme_core::protocol::{Announce, Held, Report};
use bireme_core::resources::UNITS;
use bireme_core::{Span, Time, limits};
use bireme_scheduler::machine::{Config, ConnId, Effect, Event, Machine, Peer};

use crate::brief;
use crate::coverage::Moment;
use crate::worker::digest;
use crate::world::{Down, Item, Up, World};

/// The scheduler.
#[derive(Debug)]
pub(crate) struct Scheduler {
    pub(crate) machine: Machine,
    /// Open streams, and whose each is once the machine has said so.
    streams: BTreeMap<ConnId, Option<Peer>>,
    by_peer: BTreeMap<Peer, ConnId>,
    /// Streams that are about to be flushed.
    flushes: BTreeSet<ConnId>,
    /// The earliest look at the timers that is on the agenda.
    timer: Option<Time>,
    effects: Vec<Effect>,
    /// Workers of which it may know how long tasks take there.
    timed: BTreeSet<WorkerId>,
    config: Config,
    /// Nobody listens before: its last life has just ended.
    back: Time,
}

impl Scheduler {
    /// `small_bytes` is how much room the scheduler has for small values.
    pub(crate) fn new(seed: u64, small_bytes: u64) -> Self {
        let config = Config { epoch: Epoch(1), seed, first_session: 1, small_bytes };
        Self {
            machine: Machine::new(config),
            config,
            back: Time::default(),
            streams: BTreeMap::new(),
            by_peer: BTreeMap::new(),
            flushes: BTreeSet::new(),
            timer: None,
            effects: Vec::new(),
            timed: BTreeSet::new(),
        }
    }

    /// Begins a new life that listens from a time on and knows nothing of the one before; all streams have broken.
    pub(crate) fn restart(&mut self, reuses_numbers: bool, back: Time) {
        let Config { epoch, seed, first_session, small_bytes } = self.config;
        let given = self.machine.sessions().map(|session| session.id.0 + 1).max();
        let first_session =
            if reuses_numbers { 1 } else { first_session.max(given.unwrap_or_default()) };
        let mut next = Self::new(seed, small_bytes);
        next.config = Config { epoch: Epoch(epoch.0 + 1), seed, first_session, small_bytes };
        next.machine = Machine::new(next.config);
        next.back = back;
        *self = next;
    }

    /// Whether nobody listens.
    pub(crate) fn is_away(&self, now: Time) -> bool {
        now < self.back
    }

    /// Somebody asks that a worker leave in order; `number` tells requests apart.
    pub(crate) fn drain(
        &mut self,
        world: &mut World,
        number: usize,
        worker: WorkerId,
        deadline: Option<Span>,
    ) {
        let submission = SubmissionId(number as u128);
        let reason = "its turn".to_owned();
        let asked = Event::WorkerDrainAsked { submission, worker, deadline, reason };
        self.handle_all(world, vec![asked.clone(), asked]);
        self.rest(world);
    }

    /// Somebody asks that a worker leave now.
    pub(crate) fn stop(&mut self, world: &mut World, number: usize, worker: WorkerId, grace: Span) {
        let (submission, reason) = (SubmissionId(number as u128), "in the way".to_owned());
        self.handle(world, Event::WorkerStopAsked { submission, worker, grace, reason });
        self.rest(world);
    }

    pub(crate) fn on_up(&mut self, world: &mut World, conn: ConnId, message: Up) {
        match (message, self.streams.get(&conn).copied()) {
            (Up::Join(join), None) => {
                self.streams.insert(conn, None);
                self.handle(world, Event::WorkerJoined { conn, join: *join });
            }
            (Up::Open(open), None) => {
                self.streams.insert(conn, None);
                self.handle(world, Event::SessionOpened { conn: Some(conn), open });
            }
            (message, Some(Some(peer))) => self.on_peer(world, conn, peer, message),
            // Superseded: the stream was refused, or a newer one has taken its place.
            _ => {}
        }
        self.rest(world);
    }

    fn on_peer(&mut self, world: &mut World, conn: ConnId, peer: Peer, message: Up) {
        match (message, peer) {
            (Up::End, _) => self.end(world, conn),
            (Up::Commands(commands), Peer::Session(session)) => {
                let events =
                    commands.into_iter().map(|command| Event::Commanded { session, command });
                self.handle_all(world, events.collect());
            }
            (Up::Reports(reports), Peer::Worker(worker)) => {
                if reports.iter().any(|report| report.ended().is_some()) {
                    self.timed.insert(worker);
                }
                for report in &reports {
                    if let Report::Failed { error, .. } = report {
                        world.coverage.saw_error(error);
                    }
                }
                let open = self.open_tasks_of_old_attempts(&reports);
                let events =
                    reports.into_iter().map(|report| Event::WorkerReported { worker, report });
                self.handle_all(world, events.collect());
                if let Some(task) = open.into_iter().find(|task| !self.is_open(*task)) {
                    world.fail(format!("task {task} was ended by an attempt of an earlier life"));
                }
            }
            (Up::Announce(announce), Peer::Worker(worker)) => {
                let finished = |machine: &Machine| {
                    let view = machine.workers().find(|view| view.id == worker);
                    view.map_or(0, |view| view.finished)
                };
                let (heard, ends) = (finished(&self.machine), announce.ended.len() as u64);
                if announce.attempts.iter().any(|(attempt, _)| attempt.no.epoch < self.config.epoch)
                {
                    world.coverage.saw(&Moment::OldEpoch);
                }
                if !announce.ended.is_empty() || !announce.objects.is_empty() {
                    self.timed.insert(worker);
                }
                let unheard = self.unheard(worker, &announce);
                self.handle(world, Event::WorkerAnnounced { worker, announce });
                if finished(&self.machine) > heard + ends {
                    world.coverage.saw(&Moment::FinishedUnheard);
                }
                let has_finished = |attempt: &AttemptId| {
                    let task =
                        self.machine.tasks_from(attempt.task.graph, attempt.task.index).next();
                    task.is_some_and(|task| task.state == TaskState::Finished)
                };
                if !world.has_lost
                    && let Some(attempt) = unheard.iter().find(|id| !has_finished(id))
                {
                    world.fail(format!("attempt {attempt} has finished, and its task runs again"));
                }
            }
            (Up::Beat(heartbeat), Peer::Worker(worker)) => {
                self.handle(world, Event::WorkerBeat { worker, heartbeat, actors: Vec::new() });
            }
            (Up::Digest(bytes), Peer::Worker(worker)) => {
                let believed = self.machine.believed(worker);
                let believed =
                    believed.filter(|believed| digest(std::slice::from_ref(believed)) == bytes);
                world.send_down(conn, Down::AnnounceReply { equal: believed.is_some() });
                if let Some(announce) = believed {
                    self.handle(world, Event::WorkerAnnounced { worker, announce });
                }
            }
            (message, _) => world.fail(format!("the wrong peer sent {message:?}")),
        }
    }

    /// Tasks that have not ended and of which only attempts of an earlier life of the scheduler are told to have.
    fn open_tasks_of_old_attempts(&self, reports: &[Report]) -> Vec<TaskId> {
        let ended: Vec<AttemptId> = reports.iter().filter_map(Report::ended).collect();
        let (old, new): (Vec<_>, Vec<_>) =
            ended.into_iter().partition(|attempt| attempt.no.epoch < self.config.epoch);
        let tasks = old.into_iter().map(|attempt| attempt.task);
        tasks
            .filter(|task| self.is_open(*task) && new.iter().all(|attempt| attempt.task != *task))
            .collect()
    }

    fn is_open(&self, task: TaskId) -> bool {
        let view = self.machine.tasks_from(task.graph, task.index).next();
        view.is_some_and(|view| !view.state.is_final())
    }

    /// Attempts that a worker is believed to have and of which it announces an output: they have finished.
    fn unheard(&self, worker: WorkerId, announce: &Announce) -> Vec<AttemptId> {
        let believed = self.machine.believed(worker).filter(|_| announce.last);
        let made = |attempt: &AttemptId| {
            let is_its = |held: &Held| {
                held.object.task() == Some(attempt.task) && held.made_by == Some(attempt.no)
            };
            announce.objects.iter().any(is_its)
        };
        let attempts = believed.into_iter().flat_map(|believed| believed.attempts);
        attempts.map(|(attempt, _)| attempt).filter(made).collect()
    }

    /// A stream has broken, or its peer has ended it.
    pub(crate) fn on_severed(&mut self, world: &mut World, conn: ConnId) {
        self.end(world, conn);
        self.rest(world);
    }

    fn end(&mut self, world: &mut World, conn: ConnId) {
        if let Some(peer) = self.unbind(conn) {
            self.handle(world, Event::Disconnected { conn, peer });
        }
    }

    /// Forgets a stream. Returns whose it was.
    fn unbind(&mut self, conn: ConnId) -> Option<Peer> {
        let peer = self.streams.remove(&conn)??;
        if self.by_peer.get(&peer) == Some(&conn) {
            self.by_peer.remove(&peer);
        }
        Some(peer)
    }

    pub(crate) fn on_timer(&mut self, world: &mut World, set: Time) {
        if self.timer != Some(set) {
            return; // An earlier look took its place.
        }
        self.timer = None;
        if self.machine.next_timer().is_some_and(|due| due <= world.now()) {
            self.handle(world, Event::TimerDue);
        }
        self.rest(world);
    }

    /// Moves what the machine has to tell into a stream, as much as there is room for.
    pub(crate) fn on_flush(&mut self, world: &mut World, conn: ConnId) {
        if !self.flushes.remove(&conn) {
            return;
        }
        let Some(Some(peer)) = self.streams.get(&conn).copied() else { return };
        if self.flush(world, conn, peer) {
            self.wake(world, peer);
        }
        self.rest(world);
    }

    /// Sends one message. Returns whether there is more to tell.
    fn flush(&mut self, world: &mut World, conn: ConnId, peer: Peer) -> bool {
        let budget = *world.rng.pick(&[1, 300, 3_000, limits::BATCH_BYTES]);
        let now = world.now();
        match peer {
            Peer::Session(session) => {
                let mut notices = Vec::new();
                let more = self.machine.take_notices(session, budget, &mut notices);
                for notice in &notices {
                    world.coverage.saw(notice);
                    world.trace.line(now, || {
                        format!("scheduler tells session {}: {}", session.0, brief::notice(notice))
                    });
                }
                if !notices.is_empty() {
                    world.send_down(conn, Down::Notices(notices));
                }
                more
            }
            Peer::Worker(worker) => {
                let mut orders = Vec::new();
                let more = self.machine.take_orders(worker, budget, &mut orders);
                for order in &orders {
                    world.coverage.saw(order);
                    world
                        .trace
                        .line(now, || format!("scheduler tells {worker}: {}", brief::order(order)));
                }
                if !orders.is_empty() {
                    world.send_down(conn, Down::Orders(orders));
                }
                more
            }
        }
    }

    fn handle(&mut self, world: &mut World, event: Event) {
        self.handle_all(world, vec![event]);
    }

    fn handle_all(&mut self, world: &mut World, events: Vec<Event>) {
        let now = world.now();
        for event in &events {
            world.coverage.saw(event);
            brief::parts(&mut world.coverage, event);
            world.trace.line(now, || format!("scheduler hears {}", brief::scheduler_event(event)));
        }
        world.trace.note(now.0);
        world.trace.note(events.len() as u64);
        self.machine.handle_all(now, events, &mut self.effects);
        self.carry_out(world);
    }

    fn carry_out(&mut self, world: &mut World) {
        for effect in std::mem::take(&mut self.effects) {
            world.coverage.saw(&effect);
            let now = world.now();
            world
                .trace
                .line(now, || format!("scheduler does {}", brief::scheduler_effect(&effect)));
            match effect {
                Effect::Answered { outcome, .. } => {
                    if let Err(refusal) = outcome {
                        world.coverage.saw_refusal(refusal.reason);
                    }
                }
                Effect::Disconnect { conn, refusal } => {
                    world.coverage.saw_refusal(refusal.reason);
                    self.unbind(conn);
                    world.send_down(conn, Down::Cut(refusal.reason));
                }
                Effect::SessionGone(session) => {
                    if let Some(conn) = self.by_peer.get(&Peer::Session(session)).copied() {
                        self.unbind(conn);
                        world.send_down(conn, Down::End);
                    }
                }
                Effect::SessionOpened { conn, opened } => {
                    if let Some(conn) = conn {
                        world.send_down(conn, Down::Opened(opened, self.config.epoch));
                        self.bind(world, conn, Peer::Session(opened.session));
                    }
                }
                Effect::Wake(peer) => self.wake(world, peer),
                Effect::WorkerJoined { conn, worker } => {
                    world.send_down(conn, Down::Joined(worker, self.config.epoch));
                    self.bind(world, conn, Peer::Worker(worker));
                }
            }
        }
    }

    /// A stream is a peer's from now on; an older one of that peer is forgotten.
    fn bind(&mut self, world: &mut World, conn: ConnId, peer: Peer) {
        if let Some(old) = self.by_peer.insert(peer, conn).filter(|old| *old != conn) {
            self.streams.remove(&old);
        }
        self.streams.insert(conn, Some(peer));
        self.wake(world, peer);
    }

    fn wake(&mut self, world: &mut World, peer: Peer) {
        if let Some(conn) = self.by_peer.get(&peer).copied()
            && self.flushes.insert(conn)
        {
            world.promptly(Item::Flush(conn));
        }
    }

    /// Ends a turn: everything must be in order, and the next timer is on the agenda.
    fn rest(&mut self, world: &mut World) {
        world.expect(self.machine.check(), "scheduler");
        for worker in self.machine.workers() {
            let cpus =
                u32::try_from(worker.join.resources.cpu_units / UNITS).unwrap_or(u32::MAX).max(1);
            let most = if self.timed.contains(&worker.id) {
                limits::PREFILL_MAX
            } else {
                limits::PREFILL_UNKNOWN * cpus
            };
            if worker.prefilled > most {
                world.fail(format!("{} has {} prefilled, of {most}", worker.id, worker.prefilled));
            }
            let seen = [
                (worker.ahead > 0, Moment::Ahead),
                (worker.prefilled > 0, Moment::Prefilled),
                (worker.apart, Moment::SetApart),
            ];
            let seen = seen.iter().filter(|(is_so, _)| *is_so);
            seen.for_each(|(_, moment)| world.coverage.saw(moment));
        }
        if let Some(due) = self.machine.next_timer()
            && self.timer.is_none_or(|timer| due < timer)
        {
            let due = due.max(world.now());
            self.timer = Some(due);
            world.agenda.at(due, Item::SchedulerTimer(due));
        }
    }
}

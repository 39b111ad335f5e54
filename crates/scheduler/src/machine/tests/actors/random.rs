//! Random requests, workers and losses: whatever happens, the records agree, no incarnation is given twice, and in the end
//! every actor is alive or dead. Where copies of logs are kept, no call is forgotten that was answered.

use std::collections::{BTreeMap, BTreeSet};

use bireme_core::actor::copies::{CopiesTold, CopyPlaces};
use bireme_core::actor::place::{
    ActorOrder, ActorReport, ActorState, Checkpoint, EndKind, HostOrder, Hosted,
};
use bireme_core::actor::{ActorSpec, Delivery, OnSchedulerLoss};
use bireme_core::graph::Runtime;
use bireme_core::id::{
    ActorId, Epoch, HolderId, Incarnation, SubmissionId, WorkerId, WorkerLife, WorkerUid,
};
use bireme_core::object::ObjectId;
use bireme_core::protocol::{Announce, Heartbeat, Join, Order, Report};
use bireme_core::resources::UNITS;
use bireme_core::session::Owner;
use bireme_core::{ErrorClass, Resources, Span, TaskError, Time, limits};

use super::logs::Logs;
use crate::machine::actor::{ActorRequest, Asker};
use crate::machine::{Config, ConnId, Effect, Event, Machine, Peer};

const SEEDS: u64 = 60;
const STEPS: usize = 400;
const WORKERS: u32 = 4;
const ACTORS: u64 = 8;

/// A worker as far as actors go.
#[derive(Default)]
struct Daemon {
    /// Its number with the scheduler, while its stream is up.
    number: Option<(WorkerId, ConnId)>,
    life: u128,
    /// Another one once its disk was lost.
    uid: u128,
    hosted: BTreeMap<ActorId, Hosted>,
    /// Ends that are not settled.
    ended: BTreeMap<(ActorId, Incarnation), ActorReport>,
}

struct World {
    machine: Machine,
    now: Time,
    state: u64,
    submissions: u128,
    conns: u64,
    daemons: Vec<Daemon>,
    /// Incarnations of which the scheduler knows that they take calls: callers ask it where to call.
    known: BTreeSet<(ActorId, Incarnation)>,
    /// Every incarnation that any worker was told to host, and which worker that was.
    lives: BTreeMap<(ActorId, Incarnation), u32>,
    logs: Logs,
    /// Nothing fails any more.
    calm: bool,
    /// The kinds of ends that were met.
    ends: BTreeSet<EndKind>,
}

impl World {
    fn new(seed: u64) -> Self {
        let small_bytes = limits::SMALL_VALUES_BYTES;
        let config = Config { epoch: Epoch(1), seed, first_session: 1, small_bytes };
        Self {
            machine: Machine::new(config),
            now: Time(1),
            state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            submissions: 0,
            conns: 0,
            daemons: (1..=WORKERS)
                .map(|uid| Daemon { life: 1, uid: uid.into(), ..Daemon::default() })
                .collect(),
            known: BTreeSet::new(),
            lives: BTreeMap::new(),
            logs: Logs::default(),
            calm: false,
            ends: BTreeSet::new(),
        }
    }

    /// A number below `end`.
    fn draw(&mut self, end: u64) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state % end
    }

    fn handle(&mut self, event: Event) {
        let mut effects = Vec::new();
        self.machine.handle(self.now, event, &mut effects);
        assert_eq!(self.machine.check(), Ok(()));
        for effect in effects {
            if let Effect::Disconnect { conn, .. } = effect {
                for daemon in &mut self.daemons {
                    daemon.number.take_if(|(_, own)| *own == conn);
                }
            }
        }
        self.deliver();
    }

    /// Every worker whose stream is up hears its orders.
    fn deliver(&mut self) {
        for at in 0..self.daemons.len() {
            let Some((number, _)) = self.daemons[at].number else { continue };
            let mut orders = Vec::new();
            while self.machine.take_orders(number, 1 << 20, &mut orders) {}
            for order in orders {
                if let Order::Actor(order) = order {
                    self.obey(at, order);
                }
            }
        }
    }

    fn obey(&mut self, at: usize, order: ActorOrder) {
        let daemon = &mut self.daemons[at];
        match order {
            ActorOrder::Host(host) => {
                let (actor, incarnation) = (host.actor, host.incarnation);
                let place = u32::try_from(at).unwrap();
                let before = self.lives.insert((actor, incarnation), place);
                assert!(before.is_none_or(|before| before == place), "{actor} lives twice");
                let (alive, checkpoints) = (false, false);
                daemon.hosted.insert(actor, Hosted { actor, incarnation, alive, checkpoints });
                if host.spec.peers > 0 {
                    self.begin_with_log(at, &host);
                }
            }
            ActorOrder::End { actor, incarnation, forget, .. } => {
                let hosts =
                    daemon.hosted.get(&actor).is_some_and(|own| own.incarnation == incarnation);
                if hosts {
                    self.end(at, actor, EndKind::Killed);
                } else if forget {
                    daemon.ended.remove(&(actor, incarnation));
                }
            }
            ActorOrder::Copy { actor, incarnation, copies } => {
                let hosts =
                    daemon.hosted.get(&actor).is_some_and(|own| own.incarnation == incarnation);
                if hosts {
                    self.assign(at, (actor, incarnation), copies);
                }
            }
            ActorOrder::Settle { actor, incarnation } => {
                daemon.ended.remove(&(actor, incarnation));
            }
            // Answered at random, or not at all before the end.
            ActorOrder::Checkpoint { actor, incarnation, request } => {
                let made = Ok(Checkpoint::default());
                self.tell(at, ActorReport::Checkpointed { actor, incarnation, request, made });
            }
            ActorOrder::Move { actor, incarnation, request, .. } => {
                if self.draw(2) == 0 && self.logs.may_rest(self.uid(at), actor) {
                    return self.end(at, actor, EndKind::Moved);
                }
                let made = Err(error());
                self.tell(at, ActorReport::Checkpointed { actor, incarnation, request, made });
            }
        }
    }

    fn tell(&mut self, at: usize, report: ActorReport) {
        if let Some((worker, _)) = self.daemons[at].number {
            if let ActorReport::Alive(hosted) = &report {
                self.known.insert((hosted.actor, hosted.incarnation));
            }
            self.handle(Event::WorkerReported { worker, report: Report::Actor(report) });
        }
    }

    fn end(&mut self, at: usize, actor: ActorId, end: EndKind) {
        let Some(Hosted { incarnation, .. }) = self.daemons[at].hosted.remove(&actor) else {
            return;
        };
        self.ends.insert(end);
        let cause = matches!(end, EndKind::Crashed | EndKind::Failed).then(error);
        let holder = HolderId(1 << 63 | at as u64);
        let n = u64::from(incarnation.0) | u64::try_from(actor.0).unwrap() << 16;
        let checkpoint = (end == EndKind::Moved).then_some((ObjectId::Held { holder, n }, 1 << 20));
        self.logs.end(self.uid(at), actor, checkpoint.map(|(object, _)| object));
        let report = ActorReport::Ended { actor, incarnation, end, cause, checkpoint };
        self.daemons[at].ended.insert((actor, incarnation), report.clone());
        self.tell(at, report);
    }

    // ---- logs and their copies --------------------------------------------------------------------------------------

    fn uid(&self, at: usize) -> WorkerUid {
        WorkerUid(self.daemons[at].uid)
    }

    /// Which workers can be reached at this moment.
    fn reached(&mut self) -> Vec<WorkerUid> {
        let all: Vec<WorkerUid> = (0..self.daemons.len()).map(|at| self.uid(at)).collect();
        all.into_iter().filter(|_| self.calm || self.draw(8) > 0).collect()
    }

    fn begin_with_log(&mut self, at: usize, host: &HostOrder) {
        let (uid, reached) = (self.uid(at), self.reached());
        self.logs.begin(uid, host);
        let told = self.logs.begin_copies(uid, host, |worker| reached.contains(&worker));
        self.tell_of_copies(at, (host.actor, host.incarnation), told);
    }

    fn assign(&mut self, at: usize, life: (ActorId, Incarnation), copies: CopyPlaces) {
        let (uid, reached) = (self.uid(at), self.reached());
        let told = self.logs.assign(uid, life, copies, |worker| reached.contains(&worker));
        self.tell_of_copies(at, life, told);
    }

    fn call(&mut self, at: usize, life: (ActorId, Incarnation)) {
        let (uid, reached) = (self.uid(at), self.reached());
        let told = self.logs.call(uid, life.0, |worker| reached.contains(&worker));
        self.tell_of_copies(at, life, told);
    }

    fn tell_of_copies(
        &mut self,
        at: usize,
        (actor, incarnation): (ActorId, Incarnation),
        told: Option<CopiesTold>,
    ) {
        if let Some(told) = told {
            self.tell(at, ActorReport::Copied { actor, incarnation, told });
        }
    }

    // ---- what happens -----------------------------------------------------------------------------------------------

    fn step(&mut self) {
        let at = usize::try_from(self.draw(WORKERS.into())).unwrap();
        match self.draw(12) {
            0 | 1 => self.create(),
            2 => self.ask(),
            3 | 4 => self.connect(at),
            5 => self.disconnect(at),
            6 if self.draw(3) == 0 => self.crash(at),
            7 => {
                let span = [1, 1_000, 6_000, 120_000][usize::try_from(self.draw(4)).unwrap()];
                self.pass(Span::millis(span));
            }
            _ => self.live(at),
        }
    }

    fn create(&mut self) {
        if self.machine.actors_after(None).count() as u64 >= ACTORS {
            return;
        }
        // Whoever makes actors chooses ids at random: none comes twice.
        let actor = ActorId(self.submissions + 1);
        let mut spec = ActorSpec::new("C", Runtime::Native, "payload");
        spec.detached = true;
        spec.resources.cpu_units = self.draw(3) * UNITS;
        spec.restart.max_restarts =
            [None, Some(0), Some(3)][usize::try_from(self.draw(3)).unwrap()];
        spec.restart.backoff = Span::millis(self.draw(2) * 500);
        if self.draw(3) == 0 {
            spec.delivery = Delivery::EffectivelyOnce;
            spec.on_scheduler_loss = OnSchedulerLoss::Stop;
            spec.peers = u32::try_from(self.draw(3)).unwrap();
        }
        spec.ttl = Span::secs(10);
        self.request(ActorRequest::Create { actor, spec: Box::new(spec), get_if_exists: false });
    }

    fn ask(&mut self) {
        let all: Vec<ActorId> =
            self.machine.actors_after(None).map(|view| view.place.actor).collect();
        if all.is_empty() {
            return;
        }
        let actor = all[usize::try_from(self.draw(all.len() as u64)).unwrap()];
        let request = match self.draw(4) {
            0 => {
                let allow_restart = self.draw(2) == 0;
                ActorRequest::Kill { actor, allow_restart, grace: Span::ZERO, released: false }
            }
            1 => ActorRequest::Checkpoint { actor },
            _ => {
                let lose_state = self.draw(2) == 0;
                ActorRequest::Move { actor, to: None, quiesce: None, lose_state }
            }
        };
        self.request(request);
    }

    fn request(&mut self, request: ActorRequest) {
        self.submissions += 1;
        let submission = SubmissionId(self.submissions);
        let asker = Asker { session: None, owner: Owner { key: 0, is_admin: true } };
        self.handle(Event::ActorAsked { submission, asker, request });
    }

    /// A worker's stream is up, anew or again.
    fn connect(&mut self, at: usize) {
        if self.daemons[at].number.is_some() {
            return;
        }
        self.conns += 1;
        let conn = ConnId(self.conns);
        let join = Join {
            uid: self.uid(at),
            life: WorkerLife(self.daemons[at].life),
            name: format!("w{}", self.daemons[at].uid),
            resources: Resources::new(2 * UNITS, 0),
            labels: Vec::new(),
            addresses: Vec::new(),
            machine: String::new(),
            pid: 0,
            functions: vec!["actor:C".to_owned()],
            runtimes: Vec::new(),
            previous: None,
        };
        self.handle(Event::WorkerJoined { conn, join });
        let uid = self.uid(at);
        let find = self.machine.workers().find(|view| view.join.uid == uid);
        let worker = find.unwrap().id;
        let mut announce = Announce {
            actors: self.daemons[at].hosted.values().copied().collect(),
            ended: self.daemons[at].ended.values().cloned().map(Report::Actor).collect(),
            last: true,
            ..Announce::default()
        };
        announce.sort();
        self.daemons[at].number = Some((worker, conn));
        self.handle(Event::WorkerAnnounced { worker, announce });
    }

    fn disconnect(&mut self, at: usize) {
        if let Some((worker, conn)) = self.daemons[at].number.take() {
            self.handle(Event::Disconnected { conn, peer: Peer::Worker(worker) });
        }
    }

    /// The daemon dies, and its next life has nothing but perhaps its disk.
    fn crash(&mut self, at: usize) {
        let Daemon { life, uid, .. } = self.daemons[at];
        let disk_too = self.draw(2) == 0;
        self.disconnect(at);
        self.logs.crash(WorkerUid(uid), disk_too);
        let uid = if disk_too { uid + 100 } else { uid };
        self.daemons[at] = Daemon { life: life + 1, uid, ..Daemon::default() };
    }

    /// Something happens to an actor that a worker hosts.
    fn live(&mut self, at: usize) {
        let count = self.daemons[at].hosted.len() as u64;
        if count == 0 {
            return;
        }
        let nth = usize::try_from(self.draw(count)).unwrap();
        let mut hosted = *self.daemons[at].hosted.values().nth(nth).unwrap();
        let life = (hosted.actor, hosted.incarnation);
        if hosted.alive && self.known.contains(&life) && self.draw(3) > 0 {
            return self.call(at, life);
        }
        if !hosted.alive && self.draw(8) > 0 {
            if !self.logs.is_ready(self.uid(at), hosted.actor) {
                return;
            }
            (hosted.alive, hosted.checkpoints) = (true, true);
            self.daemons[at].hosted.insert(hosted.actor, hosted);
            return self.tell(at, ActorReport::Alive(hosted));
        }
        let end = match self.draw(12) {
            0..6 => EndKind::Crashed,
            6 => EndKind::Exited,
            7 => EndKind::Failed,
            8 => EndKind::Diverged,
            _ => return,
        };
        self.end(at, hosted.actor, end);
    }

    fn pass(&mut self, span: Span) {
        let end = self.now + span;
        while self.now < end {
            let next = (self.now + Span::secs(5)).min(end);
            while let Some(due) = self.machine.next_timer().filter(|due| *due <= next) {
                self.now = due.max(self.now);
                self.handle(Event::TimerDue);
            }
            self.now = next;
            let up: Vec<WorkerId> =
                self.daemons.iter().filter_map(|daemon| Some(daemon.number?.0)).collect();
            for worker in up {
                let (heartbeat, actors) = (Heartbeat::default(), Vec::new());
                self.handle(Event::WorkerBeat { worker, heartbeat, actors });
            }
        }
    }

    /// No more harm is done: everything comes to rest.
    fn settle(&mut self) {
        self.calm = true;
        for at in 0..self.daemons.len() {
            self.connect(at);
        }
        for _ in 0..20 {
            for at in 0..self.daemons.len() {
                let starting: Vec<Hosted> = self.daemons[at].hosted.values().copied().collect();
                for hosted in starting.into_iter().filter(|hosted| !hosted.alive) {
                    if !self.logs.is_ready(self.uid(at), hosted.actor) {
                        continue;
                    }
                    let alive = Hosted { alive: true, checkpoints: true, ..hosted };
                    self.daemons[at].hosted.insert(hosted.actor, alive);
                    self.tell(at, ActorReport::Alive(alive));
                }
            }
            self.pass(Span::secs(30));
        }
        for view in self.machine.actors_after(None) {
            let is_at_rest = match view.place.state {
                ActorState::Alive | ActorState::Dead => true,
                // Eight actors of up to two cpus may ask for more than the eight there are.
                ActorState::Waiting => view.spec.resources.cpu_units > 0,
                ActorState::Moving | ActorState::Restarting | ActorState::Starting => {
                    view.place.worker.is_none() && view.spec.resources.cpu_units > 0
                }
            };
            assert!(is_at_rest, "{:?} after {:?}", view.place, view.deaths);
        }
        for (at, daemon) in self.daemons.iter().enumerate() {
            assert!(daemon.ended.is_empty(), "worker {at} has ends that nobody settled");
            for hosted in daemon.hosted.values() {
                let place = self.machine.actor_place(hosted.actor);
                let believed = place.map(|place| (place.incarnation, place.worker));
                let here = daemon.number.map(|(worker, _)| worker);
                assert_eq!(believed, Some((hosted.incarnation, here)), "worker {at} hosts a ghost");
            }
        }
    }
}

fn error() -> Box<TaskError> {
    Box::new(TaskError::new(ErrorClass::ProcessDied, "PROCESS_DIED", "by chance"))
}

#[test]
fn whatever_happens_every_actor_comes_to_rest() {
    let (mut ends, mut heirs) = (BTreeSet::new(), 0);
    for seed in 0..SEEDS {
        let mut world = World::new(seed);
        for _ in 0..STEPS {
            world.step();
        }
        world.settle();
        ends.append(&mut world.ends);
        heirs += world.logs.heirs;
    }
    assert!(heirs > 0, "no actor went on with a copy");
    assert_eq!(ends.len(), 6, "not every way to end was met: {ends:?}");
}

//! A worker's driver: one life of a daemon with its machine, executors and store.

mod memory;

use std::collections::{BTreeMap, VecDeque};

use bireme_core::error::Exit;
use bireme_core::id::{Epoch, WorkerId, WorkerLife};
use bireme_core::protocol::{Address, Announce, Join, Order, Peer, PreviousLife};
use bireme_core::{ObjectId, Span, Time, limits};
use bireme_scheduler::machine::ConnId;
use bireme_worker::machine::{Config, Effect, Event, Execution, Machine};
use smallvec::SmallVec;

use crate::brief;
use crate::coverage::Moment;
use crate::executor::{Executor, Inputs, read, refused};
use crate::load::WorkerPlan;
use crate::store::Store;
use crate::world::{Down, Fetch, Item, LifeId, Side, Stored, Up, World};

/// A worker's daemon, from start to end.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) me: LifeId,
    pub(crate) machine: Machine,
    pub(crate) executor: Executor,
    pub(crate) store: Store,
    /// What the supervisor saw of the life before.
    pub(crate) previous: Option<PreviousLife>,
    /// It was asked to leave, and nothing keeps it.
    pub(crate) has_left: bool,
    pub(crate) conn: Option<ConnId>,
    /// Not before this time does it open another stream.
    pub(crate) away: Time,
    /// The number it was given on this stream.
    id: Option<WorkerId>,
    /// It has told what it holds: reports may follow.
    announced: bool,
    peers: BTreeMap<WorkerId, LifeId>,
    /// The life of the scheduler that has numbered them.
    epoch: Option<Epoch>,
    /// What other threads have told the driver.
    inbox: VecDeque<Event>,
    turns: bool,
    flushes: bool,
    /// The machine was told that memory is full.
    is_paused: bool,
    /// Something else than values fills its memory.
    is_crowded: bool,
    /// Values are on their way to disk.
    relieves: bool,
    /// Until when there is no room for large values, neither in memory nor on disk.
    full_until: Time,
    timer: Option<Time>,
    effects: VecDeque<Effect>,
}

impl Worker {
    pub(crate) fn new(me: LifeId, plan: &WorkerPlan, seed: u64) -> Self {
        let config = Config { resources: plan.resources.clone(), followers: plan.followers, seed };
        Self {
            me,
            machine: Machine::new(config),
            executor: Executor::new(me),
            store: Store::new(plan.store_bytes),
            previous: None,
            has_left: false,
            conn: None,
            away: Time::default(),
            id: None,
            announced: false,
            peers: BTreeMap::new(),
            epoch: None,
            inbox: VecDeque::new(),
            turns: false,
            flushes: false,
            is_paused: false,
            is_crowded: false,
            relieves: false,
            full_until: Time::default(),
            timer: None,
            effects: VecDeque::new(),
        }
    }

    /// What a supervisor sees when this life is killed.
    pub(crate) fn killed(&self) -> PreviousLife {
        let exit = Exit { code: 0, signal: 9 };
        let life = WorkerLife(u128::from(self.me.life));
        PreviousLife { life, exit, started: self.executor.started() }
    }

    /// Opens a stream to the scheduler.
    pub(crate) fn connect(&mut self, world: &mut World) {
        if self.conn.is_some() || self.has_left {
            return;
        }
        if self.away > world.now() {
            world.agenda.at(self.away, Item::Connect(Side::Worker(self.me)));
            return;
        }
        let conn = world.network.open(&mut world.rng, Side::Worker(self.me));
        self.conn = Some(conn);
        let plan = world.load.workers.get(self.me.worker).expect("workers are named by place");
        let join = Join {
            uid: plan.uid,
            life: WorkerLife(u128::from(self.me.life)),
            name: plan.name.clone(),
            resources: plan.resources.clone(),
            labels: plan.labels.clone(),
            addresses: vec![address(self.me)],
            machine: plan.name.clone(),
            pid: 1,
            functions: Vec::new(),
            runtimes: Vec::new(),
            previous: self.previous.clone(),
        };
        world.send_up(conn, Up::Join(Box::new(join)));
    }

    pub(crate) fn on_down(&mut self, world: &mut World, conn: ConnId, message: Down) {
        if self.conn != Some(conn) {
            return;
        }
        match message {
            Down::Joined(id, epoch) => {
                self.id = Some(id);
                let is_new_life = self.epoch.replace(epoch).is_some_and(|known| known != epoch);
                if is_new_life {
                    self.peers.clear(); // Another life numbers workers anew.
                }
                self.handle(world, Event::Connected);
                if !is_new_life && world.rng.chance(50) {
                    world.send_up(conn, Up::Digest(digest(&self.machine.announce())));
                } else {
                    // One that does not ask goes on as if all had been asked for.
                    self.announce(world);
                    self.handle(world, Event::AnnounceReplied { equal: false });
                }
                if is_new_life && world.rng.chance(80) {
                    // What ends meanwhile is told late: the scheduler has sent other attempts of the same tasks by then.
                    let until = world.now() + world.rng.span(1_000, 100_000);
                    world.network.stall(conn, until);
                }
            }
            Down::AnnounceReply { equal } => {
                if equal {
                    world.coverage.saw(&Moment::NoNews);
                    self.announced = true;
                    self.wake(world);
                } else {
                    self.announce(world);
                }
                self.handle(world, Event::AnnounceReplied { equal });
            }
            Down::Orders(orders) => {
                for order in orders {
                    self.on_order(world, order);
                }
            }
            Down::Cut(_) | Down::End => self.on_severed(world, conn),
            Down::Notices(_) | Down::Opened(..) => world.fail("a worker was taken for a client"),
        }
    }

    fn on_order(&mut self, world: &mut World, order: Order) {
        self.handle(world, Event::Ordered(order));
    }

    /// Tells everything that is held here.
    fn announce(&mut self, world: &mut World) {
        let Some(conn) = self.conn else { return };
        for part in self.machine.announce() {
            let now = world.now();
            world
                .trace
                .line(now, || format!("{} announces {}", self.name(), brief::announce(&part)));
            world.send_up(conn, Up::Announce(part));
        }
        self.announced = true;
        self.wake(world);
    }

    /// The stream is broken, or was ended by the scheduler.
    pub(crate) fn on_severed(&mut self, world: &mut World, conn: ConnId) {
        if self.conn != Some(conn) {
            return;
        }
        self.conn = None;
        self.announced = false;
        if self.id.take().is_some() {
            self.handle(world, Event::Disconnected);
        }
        world.after_a_break(Item::Connect(Side::Worker(self.me)));
    }

    pub(crate) fn on_beat(&mut self, world: &mut World) {
        if let Some(conn) = self.conn.filter(|_| self.announced) {
            world.send_up(conn, Up::Beat(self.machine.heartbeat()));
        }
        world.agenda.after(limits::HEARTBEAT, Item::Beat(self.me));
    }

    /// The code of an attempt has ended.
    pub(crate) fn on_code_ended(&mut self, world: &mut World, run: u64) {
        let has_room = self.full_until <= world.now();
        if let Some(event) = self.executor.ended(world, run, &mut self.store, has_room) {
            self.tell(world, event);
        }
        self.judge_memory(world);
    }

    /// The code of an attempt begins to wait, or has what it waited for.
    pub(crate) fn on_code_waits(&mut self, world: &mut World, run: u64) {
        if let Some(event) = self.executor.waits(world, run) {
            self.tell(world, event);
        }
    }

    pub(crate) fn on_code_returns(&mut self, world: &mut World, run: u64) {
        if let Some(event) = self.executor.returns(run) {
            self.tell(world, event);
        }
    }

    /// What the code of an attempt runs in is being made, or is there.
    pub(crate) fn on_prepares(&mut self, world: &mut World, run: u64) {
        if let Some(event) = self.executor.prepares(run) {
            self.tell(world, event);
        }
    }

    pub(crate) fn on_prepared(&mut self, world: &mut World, run: u64) {
        if let Some(event) = self.executor.prepared(run) {
            self.tell(world, event);
        }
    }

    /// Bytes have arrived, or could not be had.
    pub(crate) fn on_answer(&mut self, world: &mut World, mut fetch: Fetch, value: Option<Stored>) {
        let object = fetch.object;
        if let Some(stored) = value {
            self.store.insert(object, stored);
            self.tell(world, Event::Fetched { object, size: stored.size });
            self.judge_memory(world);
        } else if fetch.at + 1 < fetch.holders.len() {
            fetch.at += 1;
            self.ask(world, fetch);
        } else {
            self.tell(world, Event::FetchFailed { object, asked: fetch.holders });
        }
    }

    /// A client puts a value here: the driver hears of it before the client hears that it is here.
    pub(crate) fn on_put(&mut self, world: &mut World, object: ObjectId, stored: Stored) {
        self.store.insert(object, stored);
        self.handle(world, Event::Stored { object, size: stored.size });
    }

    fn ask(&mut self, world: &mut World, mut fetch: Fetch) {
        fetch.target =
            fetch.holders.get(fetch.at).and_then(|holder| self.peers.get(holder)).copied();
        world.ask(fetch);
    }

    pub(crate) fn drain(&mut self, world: &mut World) {
        self.handle(world, Event::DrainAsked { deadline: None });
    }

    /// Puts something into the driver's inbox.
    fn tell(&mut self, world: &mut World, event: Event) {
        self.inbox.push_back(event);
        if !std::mem::replace(&mut self.turns, true) {
            world.soon(0, 200, Item::WorkerTurn(self.me));
        }
    }

    /// The driver looks into its inbox.
    pub(crate) fn on_turn(&mut self, world: &mut World) {
        self.turns = false;
        let at_once = world.rng.chance(50);
        for event in std::mem::take(&mut self.inbox) {
            self.step(world, event);
            if at_once {
                self.carry_out(world);
            }
        }
        self.carry_out(world);
        self.rest(world);
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

    pub(crate) fn on_flush(&mut self, world: &mut World) {
        self.flushes = false;
        let Some(conn) = self.conn.filter(|_| self.announced) else { return };
        let budget = *world.rng.pick(&[1, 200, 2_000, limits::BATCH_BYTES]);
        if self.flush(world, conn, budget) {
            self.wake(world);
        }
        self.rest(world);
    }

    /// Sends one message. Returns whether there is more to tell.
    fn flush(&mut self, world: &mut World, conn: ConnId, budget: usize) -> bool {
        let mut reports = Vec::new();
        let more = self.machine.take_reports(budget, &mut reports);
        let now = world.now();
        for report in &reports {
            world.coverage.saw(report);
            world.trace.line(now, || format!("{} tells: {}", self.name(), brief::report(report)));
        }
        if !reports.is_empty() {
            world.send_up(conn, Up::Reports(reports));
        }
        more
    }

    fn wake(&mut self, world: &mut World) {
        if self.announced && !std::mem::replace(&mut self.flushes, true) {
            world.promptly(Item::WorkerFlush(self.me));
        }
    }

    /// Hands an event to the machine and does what it asks for.
    fn handle(&mut self, world: &mut World, event: Event) {
        self.step(world, event);
        self.carry_out(world);
        self.rest(world);
    }

    fn step(&mut self, world: &mut World, event: Event) {
        let now = world.now();
        world.coverage.saw(&event);
        world.trace.line(now, || format!("{} hears {}", self.name(), brief::worker_event(&event)));
        world.trace.note(now.0);
        let mut effects = Vec::new();
        self.machine.handle(now, event, &mut effects);
        self.effects.extend(effects);
    }

    fn carry_out(&mut self, world: &mut World) {
        while let Some(effect) = self.effects.pop_front() {
            let now = world.now();
            world.coverage.saw(&effect);
            world
                .trace
                .line(now, || format!("{} does {}", self.name(), brief::worker_effect(&effect)));
            match effect {
                // Nobody makes actors in this world.
                Effect::Actor(_) | Effect::Gathered { .. } | Effect::Host(_) => {}
                Effect::Fetch { object, holders, .. } => self.fetch(world, object, holders),
                Effect::Drop(object) => {
                    self.store.remove(object);
                }
                Effect::Execute { execution, .. } if self.is_paused => {
                    let attempt = execution.attempt;
                    world.fail(format!("attempt {attempt} is run though memory is short"));
                }
                Effect::Execute { execution, follow } => self.execute(world, execution, follow),
                Effect::Promote(attempt) => self.executor.promote(world, attempt),
                Effect::Keep(object, value) => match read(&value) {
                    Some(number) => {
                        self.store.insert(object, Stored { value: number, size: value.size });
                    }
                    None => world.fail(format!("object {object} came with another value")),
                },
                Effect::Kill { attempt, grace, timed_out } => {
                    if let Some(event) = self.executor.kill(world, attempt, grace, timed_out) {
                        self.tell(world, event);
                    }
                }
                Effect::Leave => self.leave(world),
                Effect::Recall(attempt) => self.recall(world, attempt),
                Effect::Rejoined(attempt) => self.executor.rejoined(world, attempt),
                Effect::Wake => self.wake(world),
                Effect::Peers(peers) => self.meet(peers),
            }
        }
    }

    /// Hands an attempt to the executors, with the values of its inputs.
    fn execute(&mut self, world: &mut World, execution: Box<Execution>, follow: bool) {
        let attempt = execution.attempt;
        if let Some(cut) = execution.inputs.iter().copied().find(|input| self.store.is_cut(*input))
        {
            self.find_cut(world, cut);
        }
        let is_missing = |input: &&ObjectId| self.store.get(**input).is_none();
        if let Some(missing) = execution.inputs.iter().find(is_missing) {
            let says_so = |event: &Event| matches!(event, Event::Lost(lost) if lost == missing);
            if !self.inbox.iter().any(says_so) {
                world.fail(format!("attempt {attempt} is run without its inputs"));
            }
            return self.tell(world, refused(attempt));
        }
        let (mut inputs, mut reading) = (Vec::new(), Span::ZERO);
        for (stored, span) in execution.inputs.iter().filter_map(|id| self.store.take_up(*id)) {
            inputs.push(stored.value);
            reading.0 += span.0;
        }
        if reading > Span::ZERO {
            world.coverage.saw(&Moment::ReadBack);
        }
        self.executor.execute(world, execution, Inputs { values: inputs, reading }, follow);
    }

    fn fetch(&mut self, world: &mut World, object: ObjectId, holders: SmallVec<[WorkerId; 2]>) {
        self.ask(world, Fetch { by: Side::Worker(self.me), object, holders, at: 0, target: None });
    }

    fn recall(&mut self, world: &mut World, attempt: bireme_core::AttemptId) {
        let taken_back = self.executor.recall(attempt);
        let answer = Event::Recalled { attempt, taken_back };
        let told =
            |event: &Event| matches!(event, Event::Ended { next, .. } if *next == Some(attempt));
        match self.inbox.iter().position(told) {
            // Who is told first that it has started is a matter of luck.
            Some(place) if !taken_back && world.rng.chance(50) => self.inbox.insert(place, answer),
            _ => self.tell(world, answer),
        }
    }

    fn meet(&mut self, peers: Vec<Peer>) {
        for peer in peers {
            match peer.addresses.first() {
                Some(address) => self.peers.insert(peer.worker, life_at(address)),
                None => self.peers.remove(&peer.worker),
            };
        }
    }

    /// Tells what is left to tell, and ends.
    fn leave(&mut self, world: &mut World) {
        self.has_left = true;
        if let Some(conn) = self.conn.take() {
            if self.announced {
                while self.flush(world, conn, limits::BATCH_BYTES) {}
            }
            world.send_up(conn, Up::End);
        }
    }

    /// Ends a turn: everything must be in order, and the next timer is on the agenda.
    fn rest(&mut self, world: &mut World) {
        let checked = self.machine.check();
        world.expect(checked, &self.name());
        self.judge_memory(world);
        if let Some(due) = self.machine.next_timer()
            && self.timer.is_none_or(|timer| due < timer)
        {
            let due = due.max(world.now());
            self.timer = Some(due);
            world.agenda.at(due, Item::WorkerTimer(self.me, due));
        }
    }

    /// Nothing is under way between machine, executors and streams.
    pub(crate) fn is_at_rest(&self) -> bool {
        self.inbox.is_empty()
            && !self.flushes
            && !self.relieves
            && self.executor.is_idle()
            && (self.has_left || self.announced)
    }

    /// The number it has, while it is connected.
    pub(crate) fn id(&self) -> Option<WorkerId> {
        self.id
    }

    /// What it has, for whoever looks why it waits.
    pub(crate) fn story(&self) -> String {
        let held: Vec<_> = self.store.objects().map(|object| object.to_string()).collect();
        let attempts: Vec<_> = self.machine.attempts().collect();
        format!("{} holds {held:?} and runs {attempts:?}", self.name())
    }

    fn name(&self) -> String {
        let LifeId { worker, life } = self.me;
        match self.id {
            Some(id) => format!("worker-{worker} ({id}, life {life})"),
            None => format!("worker-{worker} (life {life})"),
        }
    }
}

/// What stands for an announcement: equal ones have equal bytes.
pub(crate) fn digest(parts: &[Announce]) -> Vec<u8> {
    let mut all = Vec::new();
    for part in parts {
        part.fold_digest(&mut |bytes| all.extend_from_slice(bytes));
    }
    all
}

/// Where a life of a worker listens.
fn address(LifeId { worker, life }: LifeId) -> Address {
    let port = u16::try_from(life).expect("workers die a few times");
    Address { scheme: "http".to_owned(), host: worker.to_string(), port, network: String::new() }
}

/// Who listens at an address.
pub(crate) fn life_at(address: &Address) -> LifeId {
    LifeId { worker: address.host.parse().unwrap_or(usize::MAX), life: address.port.into() }
}

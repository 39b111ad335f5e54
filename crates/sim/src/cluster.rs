//! A whole cluster in one thread: a scheduler, workers and clients, from the first connection until all is gone.

mod strike;
mod verify;

use bireme_core::protocol::PreviousLife;
use bireme_core::{Span, Time, limits};

use crate::agenda::Agenda;
use crate::client::Client;
use crate::coverage::{Coverage, Moment};
use crate::faults::{self, Fault};
use crate::load::Load;
use crate::network::{Network, Way};
use crate::reference::Reference;
use crate::report::{Detail, Trace};
use crate::rng::{Rng, mix};
use crate::scheduler::Scheduler;
use crate::worker::Worker;
use crate::world::{Fetch, Item, LifeId, Parcel, Side, World};

/// Sets the numbers for what is added to a load apart from those of the load.
const EXTRAS: u64 = 1;
/// The same for inputs from other graphs: loads of seeds that failed once, in `tests/seeds.rs`, stay what they were.
const ABROAD: u64 = 13;
/// More steps than any run takes that gets anywhere.
const STEPS_MAX: u64 = 2_000_000;
/// More virtual time than any run takes that gets anywhere.
const TIME_MAX: Time = Time(600_000_000);

/// A cluster.
#[derive(Debug)]
pub(crate) struct Cluster {
    pub(crate) world: World,
    pub(crate) steps: u64,
    pub(crate) seed: u64,
    reference: Reference,
    scheduler: Scheduler,
    /// The present life of each worker, if there is one.
    workers: Vec<Option<Worker>>,
    /// How each worker's last life ended, where a supervisor saw that.
    previous: Vec<Option<PreviousLife>>,
    /// How many lives each worker has had.
    lives: Vec<u32>,
    clients: Vec<Client>,
    pub(crate) faults: Vec<(Time, Fault)>,
    stage: Stage,
}

/// How far a run is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Stage {
    /// Until every client has what it wants.
    Working,
    /// Until nothing is under way.
    Settling,
    /// Until nothing is left.
    Closing,
}

impl Cluster {
    pub(crate) fn new(seed: u64, with_faults: bool, detail: Detail) -> Self {
        let mut rng = Rng::new(seed);
        let mut load = Load::new(&mut rng);
        let small_bytes = *rng.pick(&[0, 40, 400, limits::SMALL_VALUES_BYTES]);
        let mut chance = rng.fork();
        let mut faults = if with_faults { faults::plan(&mut chance, &load) } else { Vec::new() };
        load.add_extras(&mut Rng::new(mix(seed, EXTRAS)), &mut faults);
        load.take_from_others(&mut Rng::new(mix(seed, ABROAD)));
        let mut cluster = Self::of(seed, load, faults, detail);
        cluster.world.rng = rng.fork();
        cluster.scheduler = Scheduler::new(seed, small_bytes);
        cluster.world.flaky_percent = if with_faults && chance.chance(30) { 15 } else { 0 };
        cluster.world.repeated_percent = if with_faults && chance.chance(30) { 20 } else { 0 };
        cluster
    }

    /// A cluster with work and faults that are made already.
    pub(crate) fn of(seed: u64, load: Load, faults: Vec<(Time, Fault)>, detail: Detail) -> Self {
        let reference = Reference::new(&load);
        let clients = load.sessions.iter().enumerate();
        let clients =
            clients.map(|(place, session)| Client::new(place, session.graphs.len())).collect();
        let count = load.workers.len();
        let world = World {
            load,
            agenda: Agenda::default(),
            network: Network::default(),
            rng: Rng::new(seed),
            trace: Trace::new(detail),
            coverage: Coverage::default(),
            executions: std::collections::BTreeMap::new(),
            failures: std::collections::BTreeMap::new(),
            accepted: std::collections::BTreeMap::new(),
            isolated: std::collections::BTreeMap::new(),
            flaky_percent: 0,
            repeated_percent: 0,
            has_lost: false,
            has_been_full: false,
            failure: None,
        };
        Self {
            world,
            steps: 0,
            seed,
            reference,
            scheduler: Scheduler::new(seed, limits::SMALL_VALUES_BYTES),
            workers: (0..count).map(|_| None).collect(),
            previous: vec![None; count],
            lives: vec![0; count],
            clients,
            faults,
            stage: Stage::Working,
        }
    }

    /// Runs until all is gone, or something is not as it must be.
    pub(crate) fn run(&mut self) -> Result<(), String> {
        self.enter_beginnings();
        while let Some(item) = self.world.agenda.next() {
            self.steps += 1;
            let looks = matches!(item, Item::Tick(_) | Item::Beat(_));
            self.take(item);
            if let Some(what) = self.world.failure.take() {
                return Err(what);
            }
            if looks && self.is_over()? {
                return Ok(());
            }
            if self.steps > STEPS_MAX || self.world.now() > TIME_MAX {
                return Err(format!("no end in sight: {}", self.story()));
            }
        }
        Err(format!("nothing happens any more: {}", self.story()))
    }

    fn enter_beginnings(&mut self) {
        for (worker, plan) in self.world.load.workers.iter().enumerate() {
            self.world.agenda.at(plan.joins, Item::Begin(worker));
        }
        for (session, plan) in self.world.load.sessions.iter().enumerate() {
            self.world.agenda.at(plan.opens, Item::Connect(Side::Client(session)));
            self.world.agenda.at(plan.opens, Item::Tick(session));
        }
        for (number, (time, _)) in self.faults.iter().enumerate() {
            self.world.agenda.at(*time, Item::Fault(number));
        }
    }

    /// Lets one thing happen.
    fn take(&mut self, item: Item) {
        match item {
            Item::Answer { fetch, value } => self.answer(fetch, value),
            Item::Ask(fetch) => self.on_asked(fetch),
            Item::Begin(worker) => self.begin(worker),
            Item::Connect(Side::Client(client)) => {
                if let Some(client) = self.clients.get_mut(client) {
                    client.connect(&mut self.world);
                }
            }
            Item::Down(conn, message) => match self.world.network.side(conn) {
                Some(Side::Client(client)) => {
                    if let Some(client) = self.clients.get_mut(client) {
                        client.on_down(&mut self.world, conn, message);
                    }
                }
                Some(Side::Worker(life)) => {
                    self.with(life, |worker, world| worker.on_down(world, conn, message));
                }
                None => {}
            },
            Item::Fault(number) => self.strike(number),
            Item::Flush(conn) => self.scheduler.on_flush(&mut self.world, conn),
            Item::Put(parcel) => self.on_put(parcel),
            Item::PutAnswer { parcel, stored } => {
                if let Some(client) = self.clients.get_mut(parcel.client) {
                    client.on_put_answer(&mut self.world, &parcel, stored);
                }
            }
            Item::SchedulerTimer(set) => self.scheduler.on_timer(&mut self.world, set),
            Item::Severed(conn, Way::Up) => self.scheduler.on_severed(&mut self.world, conn),
            Item::Severed(conn, Way::Down) => self.on_peer_severed(conn),
            Item::Tick(client) => {
                if let Some(client) = self.clients.get_mut(client) {
                    client.on_tick(&mut self.world);
                }
            }
            Item::Up(conn, message) => {
                if self.scheduler.is_away(self.world.now()) {
                    self.world.sever(conn);
                } else if self.world.network.side(conn).is_some() {
                    self.scheduler.on_up(&mut self.world, conn, message);
                }
            }
            Item::Beat(life) => self.with(life, Worker::on_beat),
            Item::CodeEnds(life, run) => {
                self.with(life, |worker, world| worker.on_code_ended(world, run));
            }
            Item::CodeReturns(life, run) => {
                self.with(life, |worker, world| worker.on_code_returns(world, run));
            }
            Item::CodeWaits(life, run) => {
                self.with(life, |worker, world| worker.on_code_waits(world, run));
            }
            Item::Prepared(life, run) => {
                self.with(life, |worker, world| worker.on_prepared(world, run));
            }
            Item::Prepares(life, run) => {
                self.with(life, |worker, world| worker.on_prepares(world, run));
            }
            Item::Connect(Side::Worker(life)) => self.with(life, Worker::connect),
            Item::Resume(life) => self.with(life, Worker::resume),
            Item::Relieved(life) => self.with(life, Worker::on_relieved),
            Item::WorkerFlush(life) => self.with(life, Worker::on_flush),
            Item::WorkerTimer(life, set) => {
                self.with(life, |worker, world| worker.on_timer(world, set));
            }
            Item::WorkerTurn(life) => self.with(life, Worker::on_turn),
        }
    }

    /// A fetch reaches a holder, if it can.
    fn on_asked(&mut self, fetch: Fetch) {
        let (target, object) =
            (fetch.target.filter(|target| self.is_reached(*target)), fetch.object);
        let is_cut = |life: LifeId| self.life(life).is_some_and(|life| life.store.is_cut(object));
        if let Some(target) = target.filter(|target| is_cut(*target)) {
            self.with(target, |worker, world| worker.find_cut(world, object));
        }
        let value = target.and_then(|target| self.life(target)?.store.get(object));
        let size = value.map_or(0, |stored| stored.size);
        self.world.soon(20, 1_000 + size / 1_000, Item::Answer { fetch, value });
    }

    /// A value reaches a worker, if it can; its client may not hear of it.
    fn on_put(&mut self, parcel: Parcel) {
        let arrives = self.is_reached(parcel.target) && self.life(parcel.target).is_some();
        if arrives {
            self.with(parcel.target, |worker, world| {
                worker.on_put(world, parcel.object, parcel.stored);
            });
        }
        let stored = arrives && self.is_reached(parcel.target);
        self.world.soon(20, 1_000, Item::PutAnswer { parcel, stored });
    }

    /// Whether a call to a worker gets through.
    fn is_reached(&mut self, target: LifeId) -> bool {
        let isolated = self.world.isolated.get(&target.worker);
        let is_isolated = isolated.is_some_and(|until| *until > self.world.now());
        !self.world.rng.chance(self.world.flaky_percent) && !is_isolated
    }

    /// A peer notices that its stream is broken.
    fn on_peer_severed(&mut self, conn: bireme_scheduler::machine::ConnId) {
        for client in &mut self.clients {
            client.on_severed(&mut self.world, conn);
        }
        let lives: Vec<LifeId> = self.workers.iter().flatten().map(|worker| worker.me).collect();
        for life in lives {
            self.with(life, |worker, world| worker.on_severed(world, conn));
        }
    }

    fn answer(&mut self, fetch: Fetch, value: Option<crate::world::Stored>) {
        match fetch.by {
            Side::Client(client) => {
                if let Some(client) = self.clients.get_mut(client) {
                    client.on_answer(&mut self.world, fetch, value);
                }
            }
            Side::Worker(life) => {
                self.with(life, |worker, world| worker.on_answer(world, fetch, value));
            }
        }
    }

    /// Does something with a life of a worker, if it goes on.
    fn with(&mut self, life: LifeId, act: impl FnOnce(&mut Worker, &mut World)) {
        let Some(slot) = self.workers.get_mut(life.worker) else { return };
        let Some(worker) = slot.as_mut().filter(|worker| worker.me == life) else { return };
        act(worker, &mut self.world);
        if worker.has_left {
            *slot = None;
            let back = self.world.rng.span(1_000, 1_000_000);
            self.world.agenda.after(back, Item::Begin(life.worker));
        }
    }

    fn life(&self, life: LifeId) -> Option<&Worker> {
        self.workers.get(life.worker)?.as_ref().filter(|worker| worker.me == life)
    }

    /// A new life of a worker starts.
    fn begin(&mut self, place: usize) {
        let (Some(slot), Some(lives)) = (self.workers.get_mut(place), self.lives.get_mut(place))
        else {
            return;
        };
        if slot.is_some() {
            return;
        }
        *lives += 1;
        let me = LifeId { worker: place, life: *lives };
        let plan = self.world.load.workers.get(place).expect("there is a plan for each");
        let worker = slot.insert(Worker::new(me, plan, self.seed));
        worker.previous = self.previous.get_mut(place).and_then(Option::take);
        if worker.previous.is_some() {
            self.world.coverage.saw(&Moment::BlackBox);
        }
        worker.connect(&mut self.world);
        self.world.soon(0, 1_000_000, Item::Beat(me));
    }

    /// Goes from stage to stage. Returns whether the last one is over.
    fn is_over(&mut self) -> Result<bool, String> {
        match self.stage {
            Stage::Working if self.clients.iter().all(Client::is_content) => {
                self.stage = Stage::Settling;
            }
            Stage::Settling if !self.clients.iter().all(Client::is_content) => {
                self.stage = Stage::Working;
            }
            Stage::Settling if self.is_at_rest() => {
                self.verify()?;
                self.stage = Stage::Closing;
                for client in &mut self.clients {
                    client.close(&mut self.world);
                }
            }
            Stage::Closing => return self.is_empty(),
            Stage::Working | Stage::Settling => {}
        }
        Ok(false)
    }

    /// Nothing is under way but time.
    fn is_at_rest(&self) -> bool {
        let is_idle = |item: &Item| {
            let is_beat = matches!(item, Item::Up(_, crate::world::Up::Beat(_)));
            let waits = matches!(
                item,
                Item::Beat(_)
                    | Item::Fault(_)
                    | Item::Resume(_)
                    | Item::SchedulerTimer(_)
                    | Item::Tick(_)
                    | Item::WorkerTimer(..)
            );
            is_beat || waits
        };
        self.workers.iter().all(|worker| worker.as_ref().is_some_and(Worker::is_at_rest))
            && self.scheduler.machine.is_quiet()
            && self.world.agenda.iter().all(is_idle)
    }

    /// Why it goes on.
    fn story(&self) -> String {
        let machine = &self.scheduler.machine;
        let mut story = vec![format!("{:?}, sizes {:?}", self.stage, machine.sizes())];
        story.extend(self.clients.iter().map(Client::story));
        let undone = machine.graphs().filter(|graph| !graph.done);
        let tasks = undone.flat_map(|graph| machine.tasks_from(graph.id, 0));
        story.extend(tasks.filter(|task| !task.state.is_final()).take(3).map(|task| {
            let why = machine.explain(task.id).map(|why| (why.summary, why.workers));
            format!("task {} {:?} {why:?}", task.id, task.state)
        }));
        story.extend(self.workers.iter().flatten().map(Worker::story));
        story.join("; ")
    }

    /// How long the run took so far.
    pub(crate) fn took(&self) -> Span {
        self.world.now().since(Time::default())
    }

    pub(crate) fn tasks(&self) -> u64 {
        let graphs = self.world.load.sessions.iter().flat_map(|session| &session.graphs);
        graphs.map(|graph| graph.tasks.len() as u64).sum()
    }
}

//! Executor processes: native functions and those of other languages, which can crash, hang or bloat nothing but a process of
//! their own. There is one [`Processes`] for each runtime, with processes of one program.
//!
//! Each process runs one attempt at a time, and is kept for the next. While its attempts are short it is given some ahead,
//! so that a run of them costs no round trip each: they wait in the process, behind the one that runs, and take over its
//! resources. Those that would wait too long are taken back and given to others. What a process marks of its progress
//! (`bireme_executor::Mark`) tells whom to blame when it dies: the attempt that ran, and nobody else.
//!
//! The socket is served on the thread of the driver, which a message therefore reaches without a hand-over; `keeper` starts
//! processes and looks after them on the bulk thread.

pub(crate) mod child;
mod ear;
pub(crate) mod ends;
mod fork_server;
mod growth;
mod habits;
pub(crate) mod keeper;
mod kill;
pub(crate) mod lay_out;
mod memory;
mod owner;
mod pace;
pub(crate) mod place;
mod program;
mod running;
mod seat;
pub(crate) mod setbacks;
pub(crate) mod shown;
mod starter;
mod waiting;

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::{Arc, Mutex};

use bireme_core::graph::Runtime;
use bireme_core::{AttemptId, ErrorClass, Reason, Resources, TaskError, Value, limits};
use bireme_daemon::auth::Token;
use rustix::process::Signal;
use tokio::net::UnixListener;
use tokio::runtime::Handle;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;

use self::keeper::Post;
use self::lay_out::Laid;
use self::place::Place;
pub(crate) use self::program::{Program, Variant};
pub(crate) use self::seat::Manners;
use self::seat::{Lease, Running, Seat, Sent};
use self::setbacks::Setbacks;
use super::environment::Environment;
use super::relay::Relay;
use super::{Executor, Job, Kill};
use crate::clock::Clock;
use crate::failure::failure;
use crate::logs::Logs;
use crate::rpc::executor::{Orders, serve};
use crate::store::{Draft, Store};
use crate::sync::lock;
use crate::target::Scheduler;

/// What executor processes are started with.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) relay: Arc<Relay>,
    pub(crate) store: Arc<Store>,
    pub(crate) logs: Arc<Logs>,
    /// Looks after processes.
    pub(crate) bulk: Handle,
    pub(crate) clock: Clock,
    pub(crate) program: Program,
    /// Processes that are kept while nothing runs, at most.
    pub(crate) warm: usize,
    /// After so many attempts a process ends; 0 is never.
    pub(crate) tasks: u64,
    /// A process ends after an attempt when its memory has grown by more bytes; 0 is never.
    pub(crate) growth: u64,
    /// So many processes may have attempts that wait for others, beyond [`limits::EXECUTORS`].
    pub(crate) waiting: usize,
    /// Where code of attempts finds the cluster.
    pub(crate) scheduler: Scheduler,
    /// The worker's name.
    pub(crate) worker: String,
    /// What attempts are told of themselves.
    pub(crate) environment: Arc<Environment>,
}

/// Runs attempts of one runtime in processes.
#[derive(Debug)]
pub(crate) struct Processes {
    shared: Arc<Shared>,
    served: JoinHandle<()>,
}

/// What processes, their keepers and the driver share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) setup: Setup,
    /// What classes of its attempts say.
    runtime: Runtime,
    /// The driver's.
    here: Handle,
    place: Place,
    crew: Mutex<Crew>,
    /// A process has ended.
    left: Notify,
}

#[derive(Debug, Default)]
struct Crew {
    seats: BTreeMap<u64, Seat>,
    /// Those that run nothing; the last one is the warmest.
    idle: Vec<u64>,
    /// Attempts that have their resources and no process.
    waiting: VecDeque<Job>,
    /// The number given last.
    last: u64,
    setbacks: Setbacks,
    closed: bool,
}

impl Processes {
    /// Opens the socket and starts one process, so that the first attempt need not wait for it. For the driver's thread.
    pub(crate) fn open(setup: Setup) -> io::Result<Self> {
        let place = Place::create(setup.store.directory())?;
        let listener = UnixListener::bind(place.socket())?;
        let (here, crew, left) = (Handle::current(), Mutex::default(), Notify::new());
        let runtime = setup.program.runtime();
        let shared = Arc::new(Shared { setup, runtime, here, place, crew, left });
        let served = shared.here.spawn(serve(listener, Arc::clone(&shared)));
        shared.hire(&mut lock(&shared.crew), None);
        Ok(Self { shared, served })
    }

    /// Processes of a variant of the same language: in an environment, or with one for each attempt. For the driver's thread.
    pub(crate) fn variant(&self, variant: Variant) -> io::Result<Self> {
        let setup = &self.shared.setup;
        let tasks = if variant.fresh_process { 1 } else { setup.tasks };
        Self::open(Setup { program: setup.program.variant(variant), tasks, ..setup.clone() })
    }

    /// Whether no attempt is here.
    pub(crate) fn is_idle(&self) -> bool {
        let crew = lock(&self.shared.crew);
        crew.waiting.is_empty() && crew.seats.values().all(|seat| seat.jobs.is_empty())
    }

    /// Has an attempt wait for the end of one with the same resources: in a process, or for any.
    pub(crate) fn follow(&self, job: Job) {
        let mut crew = lock(&self.shared.crew);
        let resources = &job.execution.resources;
        let seats = crew.seats.iter_mut().filter(|(_, seat)| seat.has_room_for(resources));
        match seats.min_by_key(|(_, seat)| seat.load()) {
            Some((&number, seat)) => {
                self.shared.give(number, seat, job, false);
                self.shared.watch(number, seat);
            }
            None => self.shared.setup.relay.follow(job),
        }
    }

    /// An attempt that waits in a process has resources of its own.
    pub(crate) fn promoted(&self, attempt: AttemptId) {
        let mut crew = lock(&self.shared.crew);
        let mut jobs = crew.seats.values_mut().flat_map(|seat| &mut seat.jobs);
        if let Some(sent) = jobs.find(|sent| sent.attempt() == attempt) {
            sent.granted = true;
        }
    }

    /// An attempt has the cpus again that it gave back; nothing happens if it is not here.
    pub(crate) fn rejoined(&self, attempt: AttemptId) {
        self.shared.rejoined(attempt);
    }

    /// Takes an attempt back that waits in a process. Returns whether there is one: then the answer comes later.
    pub(crate) fn recall(&self, attempt: AttemptId) -> bool {
        self.shared.recall(attempt)
    }

    /// Has every process leave when it has nothing to run: what they know of the scheduler is out of date.
    pub(crate) fn renew(&self) {
        let mut crew = lock(&self.shared.crew);
        crew.idle.clear();
        // One that has not come back yet is told when it does.
        crew.seats.values_mut().filter(|seat| seat.orders.is_some()).for_each(|seat| {
            seat.leave("the scheduler is another");
        });
    }

    /// Kills every process and waits for its end.
    pub(crate) async fn close(&self) {
        self.shared.close();
        while !lock(&self.shared.crew).seats.is_empty() {
            self.shared.left.notified().await;
        }
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        self.shared.close();
        self.served.abort();
    }
}

impl Executor for Processes {
    fn start(&self, job: Job) {
        self.shared.start(&mut lock(&self.shared.crew), job);
    }

    fn kill(&self, attempt: AttemptId, kill: Kill) {
        self.shared.kill(attempt, kill);
    }
}

impl Shared {
    /// Runs an attempt that has its resources: if need be in a process that is soon done with others, before another is started.
    fn start(self: &Arc<Self>, crew: &mut Crew, job: Job) {
        let none_rests = !crew.closed && crew.idle.is_empty();
        let mut seats = crew.seats.iter_mut().filter(|(_, seat)| none_rests && seat.lets_lodge());
        match seats.next() {
            Some((&number, seat)) => {
                if self.give(number, seat, job, true)
                    && let Some(last) = seat.jobs.back_mut()
                {
                    last.lodges = true;
                }
            }
            None => self.start_alone(crew, job),
        }
    }

    /// The same, in a process that has nothing else to do.
    fn start_alone(self: &Arc<Self>, crew: &mut Crew, job: Job) {
        if crew.closed {
            return;
        }
        if let Some(number) = crew.idle.pop() {
            if let Some(seat) = crew.seats.get_mut(&number)
                && !self.give(number, seat, job, true)
            {
                crew.idle.push(number);
            }
            return;
        }
        let mut seats = crew.seats.iter_mut();
        let coming = |seat: &Seat| seat.orders.is_none() && seat.jobs.is_empty();
        if let Some((&number, seat)) = seats.find(|(_, seat)| coming(seat)) {
            self.give(number, seat, job, true);
        } else if crew.busy() < limits::EXECUTORS {
            match crew.setbacks.error(self.setup.clock.now()) {
                Some(error) => self.setup.relay.fail(&job, true, error),
                None => self.hire(crew, Some(job)),
            }
        } else {
            crew.waiting.push_back(job);
        }
    }

    /// Starts a process, for an attempt or to have one.
    fn hire(self: &Arc<Self>, crew: &mut Crew, job: Option<Job>) {
        let token = match Token::generate() {
            Ok(token) => token,
            Err(error) => {
                if let Some(job) = job {
                    self.setup.relay.fail(&job, true, no_process(&error));
                }
                return;
            }
        };
        crew.last += 1;
        let number = crew.last;
        let (signals, wanted) = mpsc::channel(limits::OUTBOX_MESSAGES);
        let over = Arc::new(Notify::new());
        let post =
            Post { number, token: token.reveal().to_owned(), wanted, over: Arc::clone(&over) };
        let mut seat = Seat::new(token, signals, over);
        seat.jobs.extend(job.map(|job| Sent::new(job, 0, true)));
        crew.seats.insert(number, seat);
        self.setup.bulk.spawn(keeper::keep(Arc::clone(self), post));
    }

    /// A process has come back: gives it what waits for it. The reason if it is none of ours.
    pub(crate) fn attach(
        self: &Arc<Self>,
        number: u64,
        token: &str,
        manners: Manners,
        orders: Orders,
    ) -> Result<(), &'static str> {
        let mut crew = lock(&self.crew);
        let Some(seat) = crew.seats.get_mut(&number) else { return Err("its number is unknown") };
        if seat.token.reveal() != token {
            return Err("its token is not the one that it was given");
        }
        if seat.orders.is_some() {
            return Err("it is here already");
        }
        seat.orders = Some(orders);
        // Of several that were given to a process which marks nothing, nobody could tell which one it died of.
        let runs_ahead = manners.runs_ahead && self.place.reached(number).is_some();
        seat.manners = Manners { runs_ahead, ..manners };
        // It may be back before whoever started it has said which one it is.
        seat.pid = seat.pid.or(manners.pid);
        self.weigh_newborn(seat);
        crew.setbacks.forget();
        let Some(seat) = crew.seats.get_mut(&number) else { return Ok(()) };
        self.place.dismiss(number);
        for sent in std::mem::take(&mut seat.jobs) {
            self.give(number, seat, sent.job, sent.granted);
        }
        if seat.jobs.is_empty() {
            self.rest(&mut crew, number);
        }
        Ok(())
    }

    /// Gives an attempt to a process, or fails it where its inputs cannot be given. Returns whether the process has it.
    fn give(self: &Arc<Self>, number: u64, seat: &mut Seat, job: Job, granted: bool) -> bool {
        let Some(orders) = &seat.orders else {
            seat.jobs.push_back(Sent::new(job, 0, granted));
            return true;
        };
        let laid = lay_out::job(&self.setup.store, &job, |digest| !seat.shown.has(digest));
        let Laid { inputs, blobs, input_drafts, blob_drafts } = match laid {
            Ok(laid) => laid,
            Err(error) => {
                self.setup.relay.fail(&job, granted, error);
                return false;
            }
        };
        if !inputs.iter().all(Value::is_inline) {
            let lease = Lease { _inputs: job.inputs.clone(), _drafts: input_drafts };
            seat.leases.insert(job.attempt(), lease);
        }
        let environment = self.setup.environment.variables_of_pieces(&job.execution);
        let likely = job.function().map(|function| seat.habits.guess(function));
        let likely = likely.filter(|lengths| !lengths.is_empty());
        let room = likely.and_then(|lengths| self.setup.store.allocate_now(lengths));
        let runs = room.as_ref().map(Draft::runs).unwrap_or_default();
        orders.run(&job.execution, inputs, blobs, environment, runs);
        seat.given += 1;
        let sent = Sent::new(job, seat.given, granted);
        let (has_room, drafts) = (room.is_some(), blob_drafts.into_iter().chain(room).collect());
        seat.jobs.push_back(Sent { drafts, has_room, ..sent });
        seat.count_blobs();
        if seat.given == self.setup.tasks {
            seat.leave("it has run as many tasks as a process may");
        }
        self.begin(number, seat);
        true
    }

    /// Makes note that the first attempt of a process runs.
    fn begin(self: &Arc<Self>, number: u64, seat: &mut Seat) {
        let Some(head) = seat.jobs.front_mut().filter(|head| head.running.is_none()) else {
            return;
        };
        let attempt = head.attempt();
        let noted = self.setup.relay.black_box().started(attempt);
        head.running = Some(Running { noted, writer: Arc::new(self.setup.logs.open(attempt)) });
        self.weigh(number, seat);
    }

    /// Gives a process attempts ahead, as many as it may have.
    fn refill(self: &Arc<Self>, number: u64, seat: &mut Seat) {
        while let Some(head) = seat.jobs.front() {
            let resources: Resources = head.job.execution.resources.clone();
            if !seat.has_room_for(&resources) {
                break;
            }
            let relay = &self.setup.relay;
            let Some(job) = relay.take_ahead(&self.runtime, &resources) else { break };
            self.give(number, seat, job, false);
        }
        self.watch(number, seat);
    }

    /// Finds something to do for a process that has nothing. It is sent away if enough others have nothing either.
    fn rest(self: &Arc<Self>, crew: &mut Crew, number: u64) {
        let Crew { seats, idle, waiting, .. } = crew;
        let Some(seat) = seats.get_mut(&number).filter(|seat| !seat.doomed) else { return };
        while let Some(job) = waiting.pop_front() {
            if self.give(number, seat, job, true) {
                return;
            }
        }
        if idle.len() < self.setup.warm {
            idle.push(number);
        } else if let Some(orders) = &seat.orders {
            seat.doomed = true;
            orders.shut_down();
        }
    }

    fn close(&self) {
        let mut crew = lock(&self.crew);
        crew.closed = true;
        crew.waiting.clear();
        crew.seats.values_mut().for_each(|seat| seat.end(Signal::KILL));
    }
}

/// The failure of an attempt for which there is no process.
fn no_process(error: &dyn std::fmt::Display) -> Box<TaskError> {
    let message = format!("no executor process can be started: {error}");
    failure(ErrorClass::Reschedule, Reason::Busy, message)
}

//! The processes that actors live in.
//!
//! An actor has one of its own, unless it shares one with the others of its runtime that are content with that. One more of
//! each runtime that has hosted an actor is kept ready, so that the next need not wait for its start.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::sync::Arc;

use bireme_core::actor::Isolation;
use bireme_core::actor::host::{Event, Reached, RunNo};
use bireme_core::actor::place::EndKind;
use bireme_core::graph::Runtime;
use bireme_core::id::ActorId;
use bireme_core::{AttemptId, ErrorClass, Reason, TaskError, limits};
use bireme_daemon::auth::Token;
use bireme_executor::batches::Batches;
use bireme_proto::pb;
use bireme_proto::pb::executor_order::{ActorDrop, Order, ShutdownExecutor};
use rustix::process::Signal;
use tokio::sync::{Notify, mpsc};
use tokio::time::sleep;

use super::{Setup, Shared, Turn};
use crate::executor::process::Program;
use crate::executor::process::ends::{Death, how};
use crate::executor::process::keeper::{self, Owner, Post};
use crate::executor::process::place::Place;
use crate::executor::process::setbacks::Setbacks;
use crate::executor::scales::Bloat;
use crate::failure::failure;
use crate::host::private_bytes;
use crate::logs::Writer;
use crate::sync::lock;

/// All processes of actors.
#[derive(Debug, Default)]
pub(super) struct Crew {
    processes: BTreeMap<u64, Process>,
    /// The number given last.
    last: u64,
    /// By the name of their runtime.
    setbacks: BTreeMap<String, Setbacks>,
}

/// A process, from its start to its end.
#[derive(Debug)]
pub(super) struct Process {
    /// The name of its runtime; empty is native.
    runtime: String,
    token: Token,
    /// The way to it, once it has come back.
    orders: Option<Batches<pb::ExecutorOrder>>,
    use_: Use,
    /// Those that live in it, or are to.
    actors: BTreeSet<ActorId>,
    /// Variables that it is started with besides the usual.
    environment: Vec<(String, String)>,
    /// It is about to end: nobody else comes to live in it.
    doomed: bool,
    pid: Option<u32>,
    /// It took more memory than its actor may.
    bloat: Option<Bloat>,
    signals: mpsc::Sender<Signal>,
    /// Told when its stream is over.
    over: Arc<Notify>,
}

/// Whom a process is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Use {
    /// One actor.
    Own,
    /// Several.
    Shared,
    /// Whoever comes next.
    Spare,
}

impl Crew {
    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.processes.is_empty()
    }

    /// Has a process end.
    pub(super) fn signal(&mut self, number: u64, signal: Signal) {
        if let Some(process) = self.processes.get_mut(&number) {
            process.doomed = true;
            // One that does not fit is as good as those that wait.
            let _ = process.signals.try_send(signal);
        }
    }

    /// Has all processes end.
    pub(super) fn signal_all(&mut self, signal: Signal) {
        let numbers: Vec<_> = self.processes.keys().copied().collect();
        for number in numbers {
            self.signal(number, signal);
        }
    }

    /// The process's number in the system.
    pub(super) fn pid(&self, number: u64) -> Option<u32> {
        self.processes.get(&number)?.pid
    }

    fn find(&self, use_: Use, runtime: &str) -> Option<u64> {
        let fits = |process: &Process| {
            process.use_ == use_ && process.runtime == runtime && !process.doomed
        };
        self.processes.iter().find(|(_, process)| fits(process)).map(|(number, _)| *number)
    }
}

/// The name under which the program of a runtime is found.
fn name_of(runtime: &Runtime) -> Option<String> {
    match runtime {
        Runtime::Native => Some(String::new()),
        Runtime::External { name, .. } => Some(name.clone()),
        Runtime::Command | Runtime::Wasm => None,
    }
}

impl Setup {
    /// The name under which the program of a runtime is found, if there is one.
    fn program_of(&self, runtime: &Runtime) -> Option<String> {
        name_of(runtime).filter(|name| self.programs.contains_key(name))
    }
}

impl Turn<'_> {
    /// Whether there is a program that can host an actor.
    pub(super) fn has_program(&self, actor: ActorId) -> bool {
        let runtime = self.table.entries.get(&actor).map(|entry| &entry.spec.runtime);
        runtime.is_some_and(|runtime| self.shared.setup.program_of(runtime).is_some())
    }

    /// Finds a process for an actor: one that is there, or a new one.
    pub(super) fn find_process(&mut self, actor: ActorId) {
        let Some(entry) = self.table.entries.get(&actor) else { return };
        let spec = Arc::clone(&entry.spec);
        if spec.isolation == Isolation::InProcess {
            let message = "no actor lives inside the daemon yet: leave `in-process` out";
            let error = failure(ErrorClass::NotFound, Reason::Unsupported, message);
            return self.feed_later(actor, Event::Refused(error));
        }
        let Some(runtime) = self.shared.setup.program_of(&spec.runtime) else {
            let error =
                failure(ErrorClass::NotFound, Reason::RuntimeUnknown, no_program(&spec.runtime));
            return self.feed_later(actor, Event::Refused(error));
        };
        let mut environment = spec.environment.clone();
        if !entry.hosting.held.is_empty() {
            let held = &entry.hosting.held;
            let variables = self.shared.setup.environment.variables_of(&spec.resources, held);
            environment
                .extend(variables.into_iter().map(|(name, value)| (name.into_owned(), value)));
        }
        let shares = spec.isolation == Isolation::Shared;
        let use_ = if shares { Use::Shared } else { Use::Own };
        let crew = &self.table.crew;
        let found = match use_ {
            Use::Shared => crew.find(Use::Shared, &runtime),
            _ => None,
        };
        let found = found.or_else(|| {
            if environment.is_empty() { crew.find(Use::Spare, &runtime) } else { None }
        });
        if let Some(number) = found {
            return self.move_in(actor, number, use_);
        }
        let now = self.now;
        let setbacks = self.table.crew.setbacks.get(&runtime);
        if let Some(error) = setbacks.and_then(|setbacks| setbacks.error(now)) {
            return self.feed_later(actor, Event::ProcessLost { reached: None, error });
        }
        match self.hire(runtime, use_, environment) {
            Ok(number) => self.move_in(actor, number, use_),
            Err(error) => self.feed_later(actor, Event::ProcessLost { reached: None, error }),
        }
    }

    fn move_in(&mut self, actor: ActorId, number: u64, use_: Use) {
        let Some(process) = self.table.crew.processes.get_mut(&number) else { return };
        process.use_ = use_;
        process.actors.insert(actor);
        let is_there = process.orders.is_some();
        if let Some(entry) = self.table.entries.get_mut(&actor) {
            entry.process = Some(number);
            let limit = entry.spec.resources.memory_bytes;
            if limit > 0 && use_ == Use::Own {
                self.shared.setup.bulk.spawn(weigh(Arc::downgrade(self.shared), number, limit));
            }
        }
        if is_there {
            self.create(actor, number);
        }
    }

    /// Starts a process.
    fn hire(
        &mut self,
        runtime: String,
        use_: Use,
        environment: Vec<(String, String)>,
    ) -> Result<u64, Box<TaskError>> {
        if self.table.crew.processes.len() >= limits::ACTOR_PROCESSES {
            let message = format!(
                "this worker has {} processes of actors already: share them, or add workers",
                limits::ACTOR_PROCESSES
            );
            return Err(failure(ErrorClass::Reschedule, Reason::Busy, message));
        }
        let token = Token::generate().map_err(|error| {
            let message = format!("no executor process can be started: {error}");
            failure(ErrorClass::Reschedule, Reason::Busy, message)
        })?;
        let crew = &mut self.table.crew;
        crew.last += 1;
        let number = crew.last;
        let (signals, wanted) = mpsc::channel(limits::OUTBOX_MESSAGES);
        let over = Arc::new(Notify::new());
        let post =
            Post { number, token: token.reveal().to_owned(), wanted, over: Arc::clone(&over) };
        let process = Process {
            runtime,
            token,
            orders: None,
            use_,
            actors: BTreeSet::new(),
            environment,
            doomed: false,
            pid: None,
            bloat: None,
            signals,
            over,
        };
        crew.processes.insert(number, process);
        self.shared.setup.bulk.spawn(keeper::keep(Arc::clone(self.shared), post));
        Ok(number)
    }

    /// Sees to it that a process is ready for the next actor of the same runtime.
    pub(super) fn have_spare(&mut self, actor: ActorId) {
        let process = self.table.entries.get(&actor).and_then(|entry| entry.process);
        let process = process.and_then(|number| self.table.crew.processes.get(&number));
        let Some(runtime) = process.map(|process| process.runtime.clone()) else { return };
        if !self.table.closed && self.table.crew.find(Use::Spare, &runtime).is_none() {
            // Whoever needs one tries again and is told why there is none.
            let _ = self.hire(runtime, Use::Spare, Vec::new());
        }
    }

    /// Tells an actor's process something.
    pub(super) fn say_to_process(&mut self, actor: ActorId, order: Order) {
        let process = self.table.entries.get(&actor).and_then(|entry| entry.process);
        let process = process.and_then(|number| self.table.crew.processes.get(&number));
        if let Some(orders) = process.and_then(|process| process.orders.as_ref()) {
            orders.push(pb::ExecutorOrder { order: Some(order) });
        }
    }

    /// Tells a process something.
    pub(super) fn say_to(&self, number: u64, order: Order) {
        let process = self.table.crew.processes.get(&number);
        if let Some(orders) = process.and_then(|process| process.orders.as_ref()) {
            orders.push(pb::ExecutorOrder { order: Some(order) });
        }
    }

    /// A process has come back: whoever is to live in it is made. The reason if it is none of ours.
    pub(super) fn attach(
        &mut self,
        number: u64,
        token: &str,
        orders: Batches<pb::ExecutorOrder>,
    ) -> Result<(), &'static str> {
        let Some(process) = self.table.crew.processes.get_mut(&number) else {
            return Err("its number is unknown");
        };
        if process.token.reveal() != token {
            return Err("its token is not the one that it was given");
        }
        if process.orders.is_some() {
            return Err("it is here already");
        }
        process.orders = Some(orders);
        let actors: Vec<_> = process.actors.iter().copied().collect();
        let runtime = process.runtime.clone();
        self.table.crew.setbacks.remove(&runtime);
        for actor in actors {
            self.create(actor, number);
        }
        Ok(())
    }

    /// The stream of a process is over; the process should be, too.
    pub(super) fn detached(&mut self, number: u64) {
        if let Some(process) = self.table.crew.processes.get_mut(&number) {
            process.over.notify_one();
            process.orders.iter().for_each(Batches::close);
            self.table.crew.signal(number, Signal::KILL);
        }
    }

    /// An incarnation is over: takes it out of its process, which ends if it was its own.
    pub(super) fn leave_process(&mut self, actor: ActorId, number: u64, end: EndKind) {
        let Some(process) = self.table.crew.processes.get_mut(&number) else {
            return self.buried(actor);
        };
        let kill = matches!(end, EndKind::Crashed | EndKind::Diverged) && process.use_ == Use::Own;
        if kill || process.orders.is_none() {
            return self.table.crew.signal(number, Signal::KILL);
        }
        process.doomed |= process.use_ == Use::Own;
        let incarnation = self.table.entries.get(&actor).map(|entry| entry.hosting.incarnation.0);
        self.say_to(
            number,
            Order::ActorDrop(ActorDrop {
                actor: Some(actor.into()),
                incarnation: incarnation.unwrap_or_default(),
                grace_us: limits::ACTOR_DROP.0,
                reason: String::new(),
            }),
        );
        let shared = Arc::downgrade(self.shared);
        self.shared.setup.bulk.spawn(async move {
            sleep(limits::ACTOR_DROP.to_std()).await;
            let Some(shared) = shared.upgrade() else { return };
            let mut turn = shared.turn();
            let process = turn.table.crew.processes.get(&number);
            if process.is_some_and(|process| process.actors.contains(&actor)) {
                turn.table.crew.signal(number, Signal::KILL);
            }
        });
    }

    /// A process says that nothing is left of an actor in it.
    pub(super) fn dropped(&mut self, number: u64, actor: ActorId) {
        let entry = self.table.entries.get(&actor).filter(|entry| entry.process == Some(number));
        if entry.is_some_and(|entry| entry.over.is_none()) {
            // Nobody asked for it: the actor has ended itself.
            self.feed(actor, Event::Exited);
            if self.table.entries.get(&actor).is_some_and(|entry| entry.over.is_none()) {
                return;
            }
        }
        let Some(process) = self.table.crew.processes.get_mut(&number) else { return };
        if !process.actors.remove(&actor) {
            return;
        }
        if process.use_ == Use::Own {
            process.doomed = true;
            self.say_to(number, Order::Shutdown(ShutdownExecutor::default()));
        }
        if entry_is_in(self, actor, number) {
            self.buried(actor);
        }
    }

    /// A process is gone and all that it said has been heard: its actors are lost.
    fn process_lost(&mut self, number: u64, death: Death) {
        let Some(process) = self.table.crew.processes.remove(&number) else { return };
        self.shared.place.dismiss(number);
        let unborn = process.orders.is_none();
        let mut error = process
            .bloat
            .map_or_else(|| lost(&death, unborn), |bloat| bloat.error("the process of the actor"));
        error.exit = death.exit.as_ref().ok().copied();
        error.last_lines.clone_from(&death.last_lines);
        if unborn && !self.table.closed {
            tracing::warn!(executor = number, %error, "process of an actor could not be started");
            let setbacks = self.table.crew.setbacks.entry(process.runtime.clone()).or_default();
            setbacks.add(error.clone(), self.now);
        }
        // Of several actors in one process nobody can tell which one it died of.
        let reached = death.reached.filter(|_| process.use_ == Use::Own);
        let reached =
            reached.map(|reached| Reached { started: RunNo(reached.started), runs: reached.runs });
        for actor in process.actors {
            if !entry_is_in(self, actor, number) {
                continue;
            }
            if let Some(entry) = self.table.entries.get_mut(&actor) {
                entry.process = None;
                entry.runs.clear();
                if entry.over.is_some() {
                    self.buried(actor);
                } else if !self.table.closed {
                    self.feed(actor, Event::ProcessLost { reached, error: error.clone() });
                }
            }
        }
        self.shared.left.notify_one();
    }
}

/// Why there is no process for actors of a runtime.
fn no_program(runtime: &Runtime) -> String {
    let remedy = match runtime {
        Runtime::Native => "name the program of its executors, or use a worker of its own",
        _ => "start it with `--runtime NAME=COMMAND`",
    };
    format!("this worker has no runtime {} for actors: {remedy}", runtime.name())
}

fn entry_is_in(turn: &Turn<'_>, actor: ActorId, number: u64) -> bool {
    turn.table.entries.get(&actor).is_some_and(|entry| entry.process == Some(number))
}

fn lost(death: &Death, unborn: bool) -> Box<TaskError> {
    let how = death.exit.as_ref().map_or_else(String::clone, |exit| how(*exit));
    let when = if unborn { " before it was ready" } else { "" };
    let message = format!("the process of the actor {how}{when}");
    failure(ErrorClass::ProcessDied, Reason::ProcessDied, message)
}

impl Owner for Shared {
    fn place(&self) -> &Place {
        &self.place
    }

    fn command(&self, number: u64) -> Command {
        let table = lock(&self.table);
        let process = table.crew.processes.get(&number);
        let program = process.and_then(|process| self.setup.programs.get(&process.runtime));
        let mut command = program.map_or_else(|| Command::new(""), Program::command);
        command.env("BIREME_WORKER", &self.setup.worker);
        let environment = process.into_iter().flat_map(|process| &process.environment);
        command.envs(environment.map(|(name, value)| (name, value)));
        command
    }

    fn started(&self, number: u64, pid: Option<u32>) {
        if let Some(process) = lock(&self.table).crew.processes.get_mut(&number) {
            process.pid = pid;
        }
    }

    fn has_come_back(&self, number: u64) -> bool {
        let table = lock(&self.table);
        table.crew.processes.get(&number).is_some_and(|process| process.orders.is_some())
    }

    fn writer(
        &self,
        _: u64,
        _: Option<AttemptId>,
        _: Option<bireme_executor::Reached>,
    ) -> Option<Arc<Writer>> {
        None
    }

    fn bury(self: &Arc<Self>, number: u64, death: Death) {
        self.turn().process_lost(number, death);
    }
}

/// Ends a process whose actor takes more memory than it may.
async fn weigh(shared: std::sync::Weak<Shared>, number: u64, limit: u64) {
    loop {
        sleep(limits::EXECUTOR_WEIGHED.to_std()).await;
        let Some(shared) = shared.upgrade() else { return };
        let mut turn = shared.turn();
        let Some(process) = turn.table.crew.processes.get_mut(&number) else { return };
        let taken = process.pid.and_then(private_bytes).unwrap_or(0);
        if taken > limit {
            process.bloat = Some(Bloat { taken, limit });
            return turn.table.crew.signal(number, Signal::KILL);
        }
    }
}

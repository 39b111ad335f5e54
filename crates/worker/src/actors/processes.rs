//! The processes that actors live in.
//!
//! An actor has one of its own, unless it shares one with the others of its runtime that are content with that. One more of
//! each runtime that has hosted an actor is kept as a `spare`, so that the next need not wait for its start. Where the worker allows
//! it, native ones live `inside` the daemon, on threads that are dealt with as a process is. How an actor comes to `leave` its
//! process says whose end that is.

mod inside;
mod leave;
mod spare;
mod weigh;

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::sync::Arc;

use bireme_core::actor::Isolation;
use bireme_core::actor::host::Event;
use bireme_core::graph::Runtime;
use bireme_core::id::{ActorId, Incarnation};
use bireme_core::{AttemptId, ErrorClass, Reason, TaskError, Time, limits};
use bireme_daemon::auth::Token;
use bireme_executor::batches::Batches;
use bireme_proto::pb;
use bireme_proto::pb::executor_order::Order;
use rustix::process::Signal;
use tokio::sync::{Notify, mpsc};

use super::entry::{Entry, Means};
use super::environments::name_in;
use super::{Setup, Shared, Table, Turn};
use crate::executor::process::Program;
use crate::executor::process::ends::Death;
use crate::executor::process::keeper::{self, Owner, Post};
use crate::executor::process::place::Place;
use crate::executor::process::setbacks::Setbacks;
use crate::executor::scales::Bloat;
use crate::failure::failure;
use crate::logs::{Author, Writer};
use crate::sync::lock;

/// All processes of actors.
#[derive(Debug, Default)]
pub(super) struct Crew {
    pub(super) processes: BTreeMap<u64, Process>,
    /// The number given last.
    last: u64,
    /// By the name of their runtime.
    setbacks: BTreeMap<String, Setbacks>,
    /// Programs of languages in environments, by the names of these.
    pub(super) variants: BTreeMap<String, Program>,
    /// Actors inside the daemon that were given up and whose code has not returned.
    given_up: usize,
    /// Names of runtimes of which a process is made ready in a while.
    spare_later: BTreeSet<String>,
}

/// A process, from its start to its end.
#[derive(Debug)]
pub(super) struct Process {
    /// The name of its program; empty is native.
    pub(super) runtime: String,
    token: Token,
    /// The way to it, once it has come back.
    orders: Option<Batches<pb::ExecutorOrder>>,
    /// Since when it is there.
    back: Time,
    use_: Use,
    /// Those that live in it, or are to.
    actors: BTreeSet<ActorId>,
    /// Those that have ended and whose code has not returned.
    lingering: BTreeMap<ActorId, Lingering>,
    /// Variables that it is started with besides the usual.
    environment: Vec<(String, String)>,
    /// It is about to end: nobody else comes to live in it.
    doomed: bool,
    pid: Option<u32>,
    /// Where is kept what it prints, once somebody lives in it.
    writer: Option<Arc<Writer>>,
    /// It took more memory than its actor may.
    bloat: Option<Bloat>,
    signals: mpsc::Sender<Signal>,
    /// Told when its stream is over.
    over: Arc<Notify>,
}

/// Code that does not return, of an actor that has ended.
#[derive(Debug)]
struct Lingering {
    incarnation: Incarnation,
    _means: Means,
}

/// Whom a process is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Use {
    /// One actor, and no process: threads of the daemon.
    Inside,
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

    /// A process for one more actor. Where code does not return, nobody else comes to live beside it.
    fn find(&self, use_: Use, runtime: &str) -> Option<u64> {
        let fits = |process: &Process| {
            let is_it = process.use_ == use_ && process.runtime == runtime;
            is_it && !process.doomed && process.lingering.is_empty()
        };
        self.processes.iter().find(|(_, process)| fits(process)).map(|(number, _)| *number)
    }
}

impl Process {
    /// Whether it is for one actor alone.
    fn is_of_one(&self) -> bool {
        matches!(self.use_, Use::Inside | Use::Own)
    }
}

/// The name under which the program of a runtime is found.
fn name_of(runtime: &Runtime) -> Option<String> {
    match runtime {
        Runtime::Native => Some(String::new()),
        Runtime::External { name, environment: Some(digest), .. } => Some(name_in(name, *digest)),
        Runtime::External { name, .. } => Some(name.clone()),
        Runtime::Command | Runtime::Wasm => None,
    }
}

impl Setup {
    /// Whether there is a program of a runtime, or of its language as that is installed.
    fn has_program(&self, runtime: &Runtime) -> bool {
        let name = match runtime {
            Runtime::External { name, .. } => Some(name.clone()),
            other => name_of(other),
        };
        name.is_some_and(|name| self.programs.contains_key(&name))
    }
}

impl Turn<'_> {
    /// Whether there is a program that can host an actor.
    pub(super) fn has_program(&self, actor: ActorId) -> bool {
        let spec = self.table.entries.get(&actor).map(|entry| &entry.spec);
        spec.is_some_and(|spec| {
            let is_inside = spec.isolation == Isolation::InProcess;
            is_inside || self.shared.setup.has_program(&spec.runtime)
        })
    }

    /// The name under which the program of a runtime is found, if there is one.
    fn program_of(&self, runtime: &Runtime) -> Option<String> {
        let (setup, crew) = (&self.shared.setup, &self.table.crew);
        name_of(runtime)
            .filter(|name| setup.programs.contains_key(name) || crew.variants.contains_key(name))
    }

    /// Finds a process for an actor: one that is there, or a new one.
    pub(super) fn find_process(&mut self, actor: ActorId) {
        let needs = |entry: &&Entry| entry.over.is_none() && entry.process.is_none();
        let Some(entry) = self.table.entries.get(&actor).filter(needs) else { return };
        let spec = Arc::clone(&entry.spec);
        if spec.isolation == Isolation::InProcess {
            return self.take_inside(actor, &spec);
        }
        let Some(runtime) = self.program_of(&spec.runtime) else {
            if self.prepare(actor, &spec.runtime) {
                return;
            }
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
        if let Some((error, until)) = setbacks.and_then(|setbacks| setbacks.recent(now)) {
            if self.may_wait(actor) {
                return self.find_process_later(actor, until);
            }
            return self.feed_later(actor, Event::ProcessLost { reached: None, error });
        }
        self.table.crew.spare_later.remove(&runtime);
        match self.hire(runtime, use_, environment) {
            Ok(number) => self.move_in(actor, number, use_),
            Err(error) => self.feed_later(actor, Event::ProcessLost { reached: None, error }),
        }
    }

    fn move_in(&mut self, actor: ActorId, number: u64, use_: Use) {
        let Table { crew, entries, .. } = &mut *self.table;
        let Some(process) = crew.processes.get_mut(&number) else { return };
        let was_spare = std::mem::replace(&mut process.use_, use_) == Use::Spare;
        process.actors.insert(actor);
        let is_there = process.orders.is_some();
        if let Some(entry) = entries.get_mut(&actor) {
            entry.process = Some(number);
            process.writer.get_or_insert_with(|| {
                let life = Author::incarnation(actor, entry.hosting.incarnation);
                let author = if use_ == Use::Shared { Author::process(number) } else { life };
                Arc::new(self.shared.setup.logs.open(author))
            });
            let limit = entry.spec.resources.memory_bytes;
            if limit > 0 && use_ == Use::Own {
                self.shared.setup.bulk.spawn(weigh::weigh(
                    Arc::downgrade(self.shared),
                    number,
                    limit,
                ));
            }
        }
        if is_there {
            self.create(actor, number);
        }
        if was_spare && is_there {
            self.replace_spare(number);
        }
    }

    /// Starts a process.
    fn hire(
        &mut self,
        runtime: String,
        use_: Use,
        environment: Vec<(String, String)>,
    ) -> Result<u64, Box<TaskError>> {
        let post = self.enlist(runtime, use_, environment)?;
        let number = post.number;
        self.shared.setup.bulk.spawn(keeper::keep(Arc::clone(self.shared), post));
        Ok(number)
    }

    /// Makes room for a process, and says what whoever looks after it has to know.
    fn enlist(
        &mut self,
        runtime: String,
        use_: Use,
        environment: Vec<(String, String)>,
    ) -> Result<Post, Box<TaskError>> {
        let crew = &mut self.table.crew;
        if crew.processes.len() + crew.given_up >= limits::ACTOR_PROCESSES {
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
            back: self.now,
            use_,
            actors: BTreeSet::new(),
            lingering: BTreeMap::new(),
            environment,
            doomed: false,
            pid: None,
            writer: None,
            bloat: None,
            signals,
            over,
        };
        crew.processes.insert(number, process);
        Ok(post)
    }

    /// Tells an actor's process something, behind what waits for copies of the log.
    pub(super) fn say_to_process(&mut self, actor: ActorId, order: Order) {
        self.say_when_durable(actor, 0, order);
    }

    /// Tells an actor's process something.
    pub(super) fn say_at_once(&mut self, actor: ActorId, order: Order) {
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
        pid: Option<u32>,
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
        process.back = self.now;
        // It may be back before whoever started it has said which one it is.
        process.pid = process.pid.or(pid);
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
}

/// Why there is no process for actors of a runtime.
fn no_program(runtime: &Runtime) -> String {
    let remedy = match runtime {
        Runtime::Native => "name the program of its executors, or use a worker of its own",
        _ => "start it with `--runtime NAME=COMMAND`",
    };
    format!("this worker has no runtime {} for actors: {remedy}", runtime.name())
}

impl Owner for Shared {
    fn place(&self) -> &Place {
        &self.place
    }

    fn command(&self, number: u64) -> Command {
        let table = lock(&self.table);
        let process = table.crew.processes.get(&number);
        let program = process.and_then(|process| {
            let installed = self.setup.programs.get(&process.runtime);
            installed.or_else(|| table.crew.variants.get(&process.runtime))
        });
        let mut command = program.map_or_else(|| Command::new(""), Program::command);
        command.env("BIREME_WORKER", &self.setup.worker);
        let environment = process.into_iter().flat_map(|process| &process.environment);
        command.envs(environment.map(|(name, value)| (name, value)));
        command
    }

    /// One with variables of its own is not: some are read while a program is loaded.
    fn can_be_forked(&self, number: u64) -> bool {
        let table = lock(&self.table);
        let process = table.crew.processes.get(&number);
        let process = process.filter(|process| process.environment.is_empty());
        let program = process.and_then(|process| self.setup.programs.get(&process.runtime));
        matches!(program, Some(Program::Native(_)))
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
        number: u64,
        _: Option<AttemptId>,
        _: Option<bireme_executor::Reached>,
    ) -> Option<Arc<Writer>> {
        lock(&self.table).crew.processes.get(&number)?.writer.clone()
    }

    fn bury(self: &Arc<Self>, number: u64, death: Death) {
        self.turn().process_lost(number, death);
    }
}

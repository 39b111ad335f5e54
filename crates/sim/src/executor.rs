//! What runs attempts: code that takes its time, ends or is ended, and is followed by other code without anybody asking.

mod waits;

use std::collections::{BTreeMap, VecDeque};

use bireme_core::graph::Row;
use bireme_core::protocol::{Output, Timing};
use bireme_core::resources::{Piece, UNITS, show_units};
use bireme_core::{AttemptId, ErrorClass, ObjectId, Reason, Span, TaskError, Time, Value, limits};
use bireme_worker::machine::{Event, Execution};
use smallvec::SmallVec;

use self::waits::Away;
use crate::coverage::Moment;
use crate::load::{Act, Job, Size};
use crate::store::Store;
use crate::world::{Item, LifeId, Stored, World};

/// The executors of one life of a worker.
#[derive(Debug)]
pub(crate) struct Executor {
    whose: LifeId,
    last_run: u64,
    running: BTreeMap<u64, Run>,
    /// First come, first served among those with the same resources.
    followers: VecDeque<Run>,
}

/// How much of a numbered piece an attempt holds.
pub(crate) enum Hold {
    Share,
    Whole,
}

/// What an attempt is given.
#[derive(Debug)]
pub(crate) struct Inputs {
    pub(crate) values: Vec<u64>,
    /// How long it takes to read them back from disk.
    pub(crate) reading: Span,
}

/// An attempt that was handed over.
#[derive(Debug)]
struct Run {
    execution: Box<Execution>,
    job: Job,
    inputs: Inputs,
    started: Time,
    /// It was told to end; with what.
    killed: Option<ErrorClass>,
    away: Away,
}

impl Executor {
    pub(crate) fn new(whose: LifeId) -> Self {
        Self { whose, last_run: 0, running: BTreeMap::new(), followers: VecDeque::new() }
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.running.is_empty() && self.followers.is_empty()
    }

    /// Attempts whose code runs, sorted.
    pub(crate) fn started(&self) -> Vec<AttemptId> {
        let mut started: Vec<_> = self.running.values().map(|run| run.execution.attempt).collect();
        started.sort_unstable();
        started
    }

    /// Runs an attempt with the values of its inputs, at once or in the place of another.
    pub(crate) fn execute(
        &mut self,
        world: &mut World,
        execution: Box<Execution>,
        inputs: Inputs,
        follow: bool,
    ) {
        let Some(job) = Job::decode(&execution.payload) else {
            world.fail(format!("attempt {} has another payload than its task", execution.attempt));
            return;
        };
        let job = job.of_row(&execution.row);
        if execution.row != Row::None {
            world.coverage.saw(&Moment::ArrayRow);
        }
        if execution.outputs > 1 {
            world.coverage.saw(&Moment::SeveralOutputs);
        }
        let run =
            Run { execution, job, inputs, started: world.now(), killed: None, away: Away::No };
        if follow {
            self.followers.push_back(run);
        } else {
            self.start(world, run);
        }
    }

    fn start(&mut self, world: &mut World, mut run: Run) {
        run.started = world.now();
        let task = run.execution.attempt.task;
        *world.executions.entry(task).or_default() += 1;
        if let Some((failed, soonest)) = world.failures.get_mut(&task) {
            *soonest = run.started.since(*failed).min(*soonest);
        }
        self.last_run += 1;
        self.begin(world, self.last_run, &run);
        self.running.insert(self.last_run, run);
        self.check_pieces(world);
    }

    /// No numbered piece may be used by more than fit on it.
    fn check_pieces(&self, world: &mut World) {
        let mut used = BTreeMap::<_, u64>::new();
        for run in self.running.values() {
            for (name, pieces) in run.execution.held.iter() {
                for Piece { number, units } in pieces {
                    world.coverage.saw(if *units < UNITS { &Hold::Share } else { &Hold::Whole });
                    *used.entry((name, *number)).or_default() += units;
                }
            }
        }
        if let Some(((name, number), units)) = used.into_iter().find(|(_, units)| *units > UNITS) {
            let used = show_units(units);
            world.fail(format!("piece {number} of {name} is handed out {used} times"));
        }
    }

    /// What is used by attempts that were handed over.
    pub(crate) fn inputs(&self) -> impl Iterator<Item = ObjectId> {
        let runs = self.running.values().chain(&self.followers);
        runs.flat_map(|run| run.execution.inputs.iter().copied())
    }

    /// Runs a follower at once, unless it runs already.
    pub(crate) fn promote(&mut self, world: &mut World, attempt: AttemptId) {
        if let Some(run) = self.take_follower(attempt) {
            self.start(world, run);
        }
    }

    /// Takes a follower back. Returns whether it had not started.
    pub(crate) fn recall(&mut self, attempt: AttemptId) -> bool {
        self.take_follower(attempt).is_some()
    }

    fn take_follower(&mut self, attempt: AttemptId) -> Option<Run> {
        let at = self.followers.iter().position(|run| run.execution.attempt == attempt)?;
        self.followers.remove(at)
    }

    /// Has an attempt end. Code that does not listen goes on as long as it likes.
    pub(crate) fn kill(
        &mut self,
        world: &mut World,
        attempt: AttemptId,
        grace: Span,
        timed_out: bool,
    ) -> Option<Event> {
        let class = if timed_out { ErrorClass::Timeout } else { ErrorClass::Cancelled };
        if let Some(run) = self.take_follower(attempt) {
            let outcome = Err(Box::new(error(class, run.execution.attempt)));
            return Some(Event::Ended { attempt, outcome, timing: Timing::default(), next: None });
        }
        let (&number, run) =
            self.running.iter_mut().find(|(_, run)| run.execution.attempt == attempt)?;
        run.killed = Some(class);
        if run.job.act == Act::Hang || world.rng.chance(70) {
            let late = world.rng.below(500);
            let span = if grace == Span::ZERO { Span(late) } else { world.rng.span(0, grace.0) };
            world.agenda.after(span, Item::CodeEnds(self.whose, number));
        }
        None
    }

    /// The code of an attempt has ended: its outputs are stored, and a follower may take its place.
    pub(crate) fn ended(
        &mut self,
        world: &mut World,
        number: u64,
        store: &mut Store,
        has_room: bool,
    ) -> Option<Event> {
        let run = self.running.remove(&number)?;
        let attempt = run.execution.attempt;
        let verdict = match run.killed {
            Some(class) => Err(class),
            None => run.job.verdict(attempt.no.n),
        };
        let verdict = match (verdict, run.job.size) {
            (Ok(()), Size::Large(_)) if !has_room && run.execution.outputs > 0 => {
                world.has_been_full = true;
                Err(ErrorClass::Store)
            }
            (verdict, _) => verdict,
        };
        if verdict == Err(ErrorClass::User) {
            let (failed, _) =
                world.failures.entry(attempt.task).or_insert((Time::default(), Span(u64::MAX)));
            *failed = world.agenda.now();
        }
        let outcome = match verdict {
            Ok(()) => Ok(keep(&run, store)),
            Err(class) => Err(Box::new(error(class, attempt))),
        };
        let ran = world.now().since(run.started);
        let timing = Timing { run: ran, ..Timing::default() };
        // One that has no cpus leaves none to another; but one that it had been given before may have begun by then.
        let is_left = run.away == Away::No || attempt.task.index.is_multiple_of(3);
        let next = if is_left { self.follow(world, &run.execution) } else { None };
        Some(Event::Ended { attempt, outcome, timing, next })
    }

    /// Starts the first follower that takes just what an attempt has given up.
    fn follow(&mut self, world: &mut World, ended: &Execution) -> Option<AttemptId> {
        let fits = |Run { execution, .. }: &Run| {
            (&execution.resources, &execution.runtime) == (&ended.resources, &ended.runtime)
        };
        let at = self.followers.iter().position(fits)?;
        let run = self.followers.remove(at)?;
        let attempt = run.execution.attempt;
        self.start(world, run);
        Some(attempt)
    }
}

/// Stores what an attempt made, and returns what is told of it.
fn keep(run: &Run, store: &mut Store) -> SmallVec<[Output; 1]> {
    let outputs = (0..run.execution.outputs).map(|n| {
        let value = run.job.output(n, &run.inputs.values);
        let (told, size) = match run.job.size {
            Size::Large(bytes) => (None, u64::from(bytes)),
            Size::Nothing => (Some(Value::none()), 0),
            Size::Small => (Some(Value::raw(value.to_be_bytes().to_vec())), 8),
        };
        debug_assert!(told.is_some() == (size <= limits::INLINE_BYTES), "small values are told");
        let object = ObjectId::output(run.execution.attempt.task, n);
        store.insert(object, Stored { value, size });
        Output { size, value: told.map(Box::new) }
    });
    outputs.collect()
}

/// An attempt that cannot run: one of its inputs was cut.
pub(crate) fn refused(attempt: AttemptId) -> Event {
    let outcome = Err(Box::new(error(ErrorClass::InputLost, attempt)));
    Event::Ended { attempt, outcome, timing: Timing::default(), next: None }
}

/// What a value that travelled in a message says; `None` if it is none of ours.
pub(crate) fn read(value: &Value) -> Option<u64> {
    let bytes = value.bytes()?;
    if bytes.is_empty() {
        return Some(0);
    }
    Some(u64::from_be_bytes(bytes.as_ref().try_into().ok()?))
}

fn error(class: ErrorClass, attempt: AttemptId) -> TaskError {
    let reason = match class {
        ErrorClass::Cancelled => Reason::Cancelled,
        ErrorClass::Timeout => Reason::TimedOut,
        ErrorClass::ProcessDied => Reason::ProcessDied,
        ErrorClass::Store => Reason::StoreFull,
        ErrorClass::InputLost => Reason::InputLost,
        _ => Reason::UserError,
    };
    TaskError::new(class, reason.name(), format!("attempt {attempt} was to fail"))
}

//! Callers and hosts of one actor together, in virtual time and with faults.
//!
//! From one seed come what the actor promises, who calls it with what, and what goes wrong: streams break, processes and
//! daemons die, logs and checkpoints fail, workers hear nothing of the scheduler, clocks jump. Both machines are the real
//! ones; the scheduler, the workers' drivers and the actor's process are models that do what the real ones do.
//!
//! The actor is a list of the calls that it has run and a hash of them in their order; a reply tells its length and the hash.
//! So each acknowledged reply says which state it was given in, and `verify` compares that with what is left in the end.

mod callers;
mod coverage;
mod daemon;
mod faults;
mod files;
mod keeping;
mod plan;
mod process;
mod runs;
mod scheduler;
mod verify;

use std::collections::BTreeMap;

use bireme_core::actor::call::CallId;
use bireme_core::actor::caller;
use bireme_core::actor::wire::{ToCaller, ToHost};
use bireme_core::{Span, Time};

pub use self::coverage::Seen;

use self::callers::User;
use self::daemon::Daemon;
use self::faults::Fault;
use self::plan::Plan;
use self::scheduler::Scheduler;
use self::verify::Ledger;
use crate::agenda::Agenda;
use crate::report::{Detail, Failure, Trace};
use crate::rng::Rng;
use crate::seed::{caught, explained};

/// Steps after which a run is taken for endless.
const STEPS: u64 = 400_000;

/// Something that happens at a time.
#[derive(Debug)]
enum Item {
    /// A user makes the next call.
    Call(usize),
    /// A user wants a call no more.
    Cancel {
        user: usize,
        seq: u64,
    },
    /// A caller's timer.
    CallerTimer(usize),
    /// A user that has a call log is checkpointed.
    Checkpoint(usize),
    /// A stream is there, or cannot be had.
    Connected {
        user: usize,
        conn: u64,
        up: bool,
    },
    /// A caller hears of a stream that broke.
    Disconnected {
        user: usize,
        conn: u64,
    },
    Fault(Fault),
    /// Something that a daemon waits for, in one of its lives.
    Daemon {
        worker: usize,
        life: u64,
        what: daemon::Awaited,
    },
    /// A caller hears a host.
    Heard {
        conn: u64,
        opens: u64,
        word: ToCaller,
    },
    /// The scheduler looks after its actor.
    Look {
        /// And after a while once more.
        again: bool,
    },
    /// A host hears a caller.
    Said {
        conn: u64,
        word: ToHost,
    },
    /// The process of a user that has a call log dies.
    PlayAgain(usize),
    /// The arguments of a call are ready.
    Prepared {
        user: usize,
        seq: u64,
    },
    /// A caller has waited long enough for the scheduler.
    Resolve {
        user: usize,
        asked: u64,
    },
    /// A user has taken items.
    Taken {
        user: usize,
        seq: u64,
        up_to: u64,
    },
}

/// A stream between a caller and a daemon.
#[derive(Debug)]
struct Conn {
    user: usize,
    worker: usize,
    /// Of the daemon.
    life: u64,
    latency: Span,
    /// When the last message of each way arrives.
    up: Time,
    down: Time,
    /// The line of the conversation over it, and how many there were.
    line: Option<u64>,
    opens: u64,
    /// How many the caller has asked for.
    asked: u64,
}

/// Everything.
struct World {
    plan: Plan,
    rng: Rng,
    agenda: Agenda<Item>,
    users: Vec<User>,
    daemons: Vec<Daemon>,
    scheduler: Scheduler,
    conns: BTreeMap<u64, Conn>,
    last_conn: u64,
    ledger: Ledger,
    seen: Seen,
    trace: Trace,
    steps: u64,
}

/// Runs a seed. If it fails it runs again, with the last lines of its trace kept for the report.
pub fn run(seed: u64, faults: bool, detail: Detail) -> Result<Seen, Failure> {
    explained(detail, |detail| run_once(seed, faults, detail)).map(|(seen, _)| seen)
}

/// Everything that happens in a run, line by line.
pub fn trace(seed: u64, faults: bool) -> Result<Vec<String>, Failure> {
    run_once(seed, faults, Detail::All).map(|(_, lines)| lines)
}

fn run_once(seed: u64, faults: bool, detail: Detail) -> Result<(Seen, Vec<String>), Failure> {
    let mut world = World::new(seed, faults, detail);
    let result = caught(|| world.run());
    let lines = world.trace.take_lines();
    match result {
        Ok(()) => Ok((world.seen, lines)),
        Err(what) => Err(Failure { seed, faults, step: world.steps, what, lines }),
    }
}

impl World {
    fn new(seed: u64, faults: bool, detail: Detail) -> Self {
        let mut rng = Rng::new(seed);
        let plan = Plan::new(&mut rng, faults);
        let mut world = Self {
            users: (0..plan.users).map(|n| User::new(n, &plan)).collect(),
            daemons: (0..plan.workers).map(|_| Daemon::default()).collect(),
            scheduler: Scheduler::default(),
            conns: BTreeMap::new(),
            last_conn: 0,
            ledger: Ledger::default(),
            seen: Seen::default(),
            trace: Trace::new(detail),
            steps: 0,
            agenda: Agenda::default(),
            plan,
            rng,
        };
        world.add_keeping(faults);
        for user in 0..world.users.len() {
            let at = world.rng.span(0, 5_000);
            world.agenda.after(at, Item::Call(user));
        }
        for (at, fault) in std::mem::take(&mut world.plan.faults) {
            world.agenda.at(at, Item::Fault(fault));
        }
        world.agenda.after(Span::ZERO, Item::Look { again: true });
        world
    }

    fn run(&mut self) -> Result<(), String> {
        while !self.is_done() {
            let Some(item) = self.agenda.next() else {
                return Err(format!("nothing happens any more, and {}", self.ledger.waiting()));
            };
            self.steps += 1;
            if self.steps > STEPS || self.now() > self.plan.horizon {
                let hosts = self.daemons.iter().filter_map(|daemon| daemon.hosting.as_ref());
                let hosts: Vec<_> = hosts.map(|it| it.host.status(self.now())).collect();
                let waiting = self.ledger.waiting();
                return Err(format!("it takes too long, and {waiting}; hosts: {hosts:?}"));
            }
            self.step(item)?;
        }
        self.verify()
    }

    fn now(&self) -> Time {
        self.agenda.now()
    }

    fn line(&mut self, line: impl FnOnce() -> String) {
        self.trace.line(self.agenda.now(), line);
    }

    /// Every call has been made and has ended.
    fn is_done(&self) -> bool {
        self.users.iter().all(User::is_done)
    }

    fn step(&mut self, item: Item) -> Result<(), String> {
        match item {
            Item::Call(user) => self.on_call_time(user),
            Item::Cancel { user, seq } => {
                self.drive_user(user, caller::Event::Cancelled { seq, grace: None })
            }
            Item::CallerTimer(user) => self.on_caller_timer(user),
            Item::Checkpoint(user) => self.on_checkpoint_of(user),
            Item::Connected { user, conn, up } => self.on_connected(user, conn, up),
            Item::Disconnected { user, conn } => self.on_disconnected(user, conn),
            Item::Daemon { worker, life, what } => self.on_awaited(worker, life, what),
            Item::Fault(fault) => self.strike(&fault),
            Item::Heard { conn, opens, word } => self.on_heard(conn, opens, word),
            Item::Look { again } => self.on_look(again),
            Item::PlayAgain(user) => self.on_play_again(user),
            Item::Prepared { user, seq } => self.on_prepared(user, seq),
            Item::Said { conn, word } => self.on_said(conn, word),
            Item::Resolve { user, asked } => self.on_resolve_waited(user, asked),
            Item::Taken { user, seq, up_to } => {
                self.drive_user(user, caller::Event::ItemsTaken { seq, up_to })
            }
        }
    }

    /// A call in a few words.
    fn name(id: CallId) -> String {
        format!("{}#{}", callers::number(id.caller), id.seq)
    }
}

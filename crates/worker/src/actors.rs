//! Actors: what hosts them, from the socket of a caller to the process that has the state, and back.
//!
//! Each incarnation is a `core::actor::host::Host`, a machine that decides; here are its hands. Callers come in over
//! `peers`, processes over `processes` and `door`; `carry` does what a host asks for, `answers` tells it what a process says,
//! `keep` writes its log and its checkpoints, `copies` has other workers keep them too, `orders` is the way from and to the driver and its scheduler.
//!
//! All of it is behind one lock, and nearly all of it happens on the bulk thread: a call crosses no thread on its way through
//! the daemon. What the driver orders is done on its own thread, under the same lock, which is never held across I/O but
//! for short writes to logs.

mod answers;
mod carry;
pub(crate) mod copies;
mod door;
mod entry;
mod environments;
pub(crate) mod fault;
mod keep;
pub(crate) mod log;
mod look;
mod orders;
mod outgoing;
mod overdue;
mod patience;
pub(crate) mod peers;
mod probes;
mod processes;
mod results;
pub(crate) mod single;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::SystemTime;

use bireme_core::actor::copies::CopyPlaces;
use bireme_core::actor::host::{Effect, Event};
use bireme_core::id::{ActorId, Digest, Incarnation, WorkerId, WorkerUid};
use bireme_core::{Time, limits};
use bireme_daemon::Lookout;
use tokio::net::UnixListener;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{sleep, sleep_until};

use self::copies::Copying;
use self::copies::keeper::Keeper;
use self::entry::Entry;
use self::peers::Peers;
use self::processes::Crew;
use self::results::Results;
use crate::clock::Clock;
use crate::environments::Environments;
use crate::executor::environment::Environment;
use crate::executor::process::Program;
use crate::executor::process::place::Place;
use crate::inbox::Inbox;
use crate::logs::Logs;
use crate::rpc::executor::serve;
use crate::store::Store;
use crate::sync::lock;
use crate::target::Scheduler;
use crate::transfer::courier::Courier;

/// Where a worker keeps logs and checkpoints of its actors.
pub(crate) fn directory(base: &Path, worker: WorkerUid) -> PathBuf {
    base.join(format!("{}{:032x}", log::PREFIX, worker.0))
}

/// What actors are hosted with.
#[derive(Debug)]
pub(crate) struct Setup {
    pub(crate) store: Arc<Store>,
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) clock: Clock,
    /// Serves callers and processes.
    pub(crate) bulk: Handle,
    /// Native functions under an empty name, languages under theirs.
    pub(crate) programs: BTreeMap<String, Program>,
    /// Makes native actors inside this process, where the worker allows that.
    pub(crate) inside: Option<Arc<dyn bireme_executor::Actors>>,
    /// The worker's name.
    pub(crate) worker: String,
    pub(crate) uid: WorkerUid,
    pub(crate) environment: Arc<Environment>,
    pub(crate) environments: Arc<Environments>,
    /// Where code of actors finds the cluster.
    pub(crate) scheduler: Scheduler,
    pub(crate) courier: Courier,
    /// Keeps what actors print.
    pub(crate) logs: Arc<Logs>,
    /// Logs and checkpoints, one directory for each actor.
    pub(crate) directory: PathBuf,
}

/// The actors of a worker.
#[derive(Debug)]
pub(crate) struct Actors {
    shared: Arc<Shared>,
    tasks: [JoinHandle<()>; 4],
}

/// What callers, processes and the driver share.
#[derive(Debug)]
pub(crate) struct Shared {
    setup: Setup,
    place: Place,
    /// Copies of the logs of actors that live elsewhere.
    keeper: Keeper,
    table: Mutex<Table>,
    /// The next timer may be due sooner than it was.
    sooner: Notify,
    /// A process has ended.
    left: Notify,
    /// Looks for callers that are quick.
    pub(crate) lookout: Arc<Lookout>,
}

/// Everything behind the lock.
#[derive(Debug)]
struct Table {
    /// Incarnations that are hosted, and those that have ended and are remembered for their callers.
    entries: BTreeMap<ActorId, Entry>,
    peers: Peers,
    crew: Crew,
    /// Events that came about while another was dealt with.
    pending: VecDeque<(ActorId, Event)>,
    /// Empty, and kept for its room.
    effects: Vec<Effect>,
    /// Actors whose hosts have dealt with something in this turn.
    touched: Vec<ActorId>,
    /// Actors whose logs have records that are not written.
    unwritten: BTreeSet<ActorId>,
    /// Copies of the logs of incarnations that live here or are about to.
    copying: BTreeMap<ActorId, Copying>,
    /// Where copies are kept of incarnations whose logs are being opened.
    places: BTreeMap<ActorId, (Incarnation, CopyPlaces)>,
    /// Calls whose inputs the driver's machine gathers, by the ticket that it knows them by.
    gathering: BTreeMap<u64, (ActorId, u64)>,
    /// The ticket given last.
    ticket: u64,
    /// Actors that wait for blobs.
    blobs: BTreeMap<Digest, BTreeSet<ActorId>>,
    /// Large results of calls without a stream.
    results: Results,
    /// When hosts want to be woken.
    timers: BTreeSet<(Time, ActorId)>,
    /// Actors whose counters have changed since they were told.
    counted: BTreeSet<ActorId>,
    /// As the scheduler knows this worker.
    worker: WorkerId,
    /// Since when the scheduler is not heard, if it is not.
    unheard: Option<Time>,
    closed: bool,
}

impl Table {
    fn new() -> Self {
        Self {
            entries: BTreeMap::new(),
            peers: Peers::default(),
            crew: Crew::default(),
            pending: VecDeque::new(),
            effects: Vec::new(),
            touched: Vec::new(),
            unwritten: BTreeSet::new(),
            copying: BTreeMap::new(),
            places: BTreeMap::new(),
            gathering: BTreeMap::new(),
            ticket: 0,
            blobs: BTreeMap::new(),
            results: Results::default(),
            timers: BTreeSet::new(),
            counted: BTreeSet::new(),
            worker: WorkerId(0),
            unheard: None,
            closed: false,
        }
    }
}

/// One turn at the table. Dropping it does what is left to do.
pub(crate) struct Turn<'a> {
    shared: &'a Arc<Shared>,
    table: MutexGuard<'a, Table>,
    now: Time,
}

impl Actors {
    /// Opens the socket for processes. For a thread of any runtime: all of it lives on the bulk thread.
    pub(crate) fn open(setup: Setup) -> io::Result<Self> {
        let place = Place::create(setup.store.directory())?;
        let listener = std::os::unix::net::UnixListener::bind(place.socket())?;
        listener.set_nonblocking(true)?;
        let bulk = setup.bulk.clone();
        let (sooner, left, lookout) = (Notify::new(), Notify::new(), Arc::default());
        let table = Mutex::new(Table::new());
        let keeper = Keeper::new(setup.uid, setup.directory.clone());
        let shared = Arc::new(Shared { setup, place, keeper, table, sooner, left, lookout });
        let guard = bulk.enter();
        let listener = UnixListener::from_std(listener)?;
        drop(guard);
        let served = bulk.spawn(serve(listener, Arc::clone(&shared)));
        let timed = bulk.spawn(Arc::clone(&shared).keep_time());
        let lookout = Arc::clone(&shared.lookout);
        let looks = bulk.spawn(async move { lookout.keep().await });
        let swept = bulk.spawn(keep_swept(shared.setup.directory.parent().map(Path::to_owned)));
        Ok(Self { shared, tasks: [served, timed, looks, swept] })
    }

    /// For whoever serves callers.
    pub(crate) fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }

    /// Kills every process and waits for its end.
    pub(crate) async fn close(&self) {
        self.shared.turn().close();
        while !lock(&self.shared.table).crew.is_empty() {
            self.shared.left.notified().await;
        }
    }
}

/// Removes logs that nobody comes back for, now and again.
async fn keep_swept(base: Option<PathBuf>) {
    let Some(base) = base else { return };
    loop {
        let base = base.clone();
        #[expect(clippy::disallowed_methods, reason = "files have the system's time")]
        let sweep = move || log::sweep(&base, SystemTime::now());
        // It panics only with a bug, and says so itself.
        let _ = tokio::task::spawn_blocking(sweep).await;
        sleep(limits::ACTOR_LOGS_SWEPT.to_std()).await;
    }
}

impl Drop for Actors {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Shared {
    /// Who keeps copies for others.
    pub(crate) fn keeper(&self) -> &Keeper {
        &self.keeper
    }

    /// Takes the table.
    pub(crate) fn turn(self: &Arc<Self>) -> Turn<'_> {
        Turn { shared: self, table: lock(&self.table), now: self.setup.clock.now() }
    }

    /// Wakes hosts at the times they asked for.
    async fn keep_time(self: Arc<Self>) {
        loop {
            let due = self.turn().wake_due();
            let sooner = self.sooner.notified();
            match due {
                Some(due) => {
                    tokio::select! {
                        () = sleep_until(self.setup.clock.instant(due)) => {}
                        () = sooner => {}
                    }
                }
                None => sooner.await,
            }
        }
    }
}

impl Turn<'_> {
    /// Has a host deal with an event, and does what it asks for.
    fn feed(&mut self, actor: ActorId, event: Event) {
        let Table { entries, effects, .. } = &mut *self.table;
        let Some(host) = entries.get_mut(&actor).and_then(|entry| entry.host.as_mut()) else {
            return;
        };
        let mut effects = std::mem::take(effects);
        host.handle(self.now, event, &mut effects);
        self.carry_out(actor, effects.drain(..));
        self.table.effects = effects;
        if self.table.touched.last() != Some(&actor) {
            self.table.touched.push(actor);
        }
    }

    /// Has a host deal with an event when what is being done is done.
    fn feed_later(&mut self, actor: ActorId, event: Event) {
        self.table.pending.push_back((actor, event));
    }

    /// Does what came about on the way, and writes logs, until nothing is left. Then looks when hosts want to be woken.
    fn finish(&mut self) {
        loop {
            while let Some((actor, event)) = self.table.pending.pop_front() {
                self.feed(actor, event);
            }
            let Some(actor) = self.table.unwritten.pop_first() else { break };
            self.write_log(actor);
        }
        while let Some(actor) = self.table.touched.pop() {
            self.table.counted.insert(actor);
            self.set_timer(actor);
        }
    }

    /// Wakes the hosts whose time has come. Returns when the next one is due.
    fn wake_due(&mut self) -> Option<Time> {
        self.drop_old_results();
        // Those only that are due by now: one that wants to be woken at once again comes after whoever else waits.
        let due = self.table.timers.iter().take_while(|(due, _)| *due <= self.now);
        let due: Vec<_> = due.copied().collect();
        for (time, actor) in due {
            self.table.timers.remove(&(time, actor));
            if let Some(entry) = self.table.entries.get_mut(&actor) {
                entry.timer = None;
            }
            if self.drop_if_expired(actor) {
                continue;
            }
            self.feed(actor, Event::TimerDue);
            self.look_at_lease(actor);
            self.end_overdue(actor);
            self.set_timer(actor);
        }
        self.finish();
        let first = self.table.timers.first().map(|(due, _)| *due);
        first.into_iter().chain(self.table.results.next()).min()
    }

    /// Notes when a host wants to be woken.
    fn set_timer(&mut self, actor: ActorId) {
        let unheard = self.table.unheard;
        let Table { entries, timers, .. } = &mut *self.table;
        let Some(entry) = entries.get_mut(&actor) else { return };
        let due = entry.due(unheard);
        if entry.timer == due {
            return;
        }
        if let Some(before) = std::mem::replace(&mut entry.timer, due) {
            timers.remove(&(before, actor));
        }
        if let Some(due) = due {
            timers.insert((due, actor));
            if timers.first() == Some(&(due, actor)) {
                self.shared.sooner.notify_one();
            }
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.finish();
    }
}

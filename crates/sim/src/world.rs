//! What every part of a simulated cluster shares: time, chance, the network, and what is written down.

use std::collections::BTreeMap;

use bireme_core::id::{Epoch, GraphId, TaskId, WorkerId};
use bireme_core::protocol::{Announce, Heartbeat, Join, Order, Report};

use bireme_core::session::{Command, Notice, Open, Opened};
use bireme_core::{ObjectId, Reason, Span, Time};
use bireme_scheduler::machine::ConnId;
use smallvec::SmallVec;

use crate::agenda::Agenda;
use crate::coverage::Coverage;
use crate::load::Load;
use crate::network::{Network, Way};
use crate::report::Trace;
use crate::rng::Rng;

/// A worker's daemon, and which of its lives: what concerns an earlier one is dropped.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct LifeId {
    pub(crate) worker: usize,
    pub(crate) life: u32,
}

/// Everything that can be about to happen.
#[derive(Debug)]
pub(crate) enum Item {
    /// A fetch is answered.
    Answer { fetch: Fetch, value: Option<Stored> },
    /// A fetch asks one of the holders.
    Ask(Fetch),
    /// A heartbeat is due.
    Beat(LifeId),
    /// A worker's life starts.
    Begin(usize),
    /// The code of an attempt ends.
    CodeEnds(LifeId, u64),
    /// The code of an attempt has what it waited for.
    CodeReturns(LifeId, u64),
    /// The code of an attempt begins to wait for others.
    CodeWaits(LifeId, u64),
    /// What the code of an attempt runs in is there.
    Prepared(LifeId, u64),
    /// What the code of an attempt runs in is being made.
    Prepares(LifeId, u64),
    /// A peer opens a stream.
    Connect(Side),
    /// A message reaches a peer.
    Down(ConnId, Down),
    /// The fault with this number in the plan.
    Fault(usize),
    /// A peer's stream has room.
    Flush(ConnId),
    /// Values of a worker have moved to disk.
    Relieved(LifeId),
    /// What crowded the memory of a worker is gone.
    Resume(LifeId),
    /// A value that a client puts reaches a worker.
    Put(Parcel),
    /// The client hears whether the worker has it.
    PutAnswer { parcel: Parcel, stored: bool },
    /// The scheduler looks at its timers.
    SchedulerTimer(Time),
    /// A side of a broken stream notices.
    Severed(ConnId, Way),
    /// A client looks what there is to do.
    Tick(usize),
    /// A message reaches the scheduler.
    Up(ConnId, Up),
    /// A worker's stream has room.
    WorkerFlush(LifeId),
    /// A worker looks at its timers.
    WorkerTimer(LifeId, Time),
    /// A worker's driver looks into its inbox.
    WorkerTurn(LifeId),
}

/// Whoever has a stream to the scheduler.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Side {
    Client(usize),
    Worker(LifeId),
}

/// A message to the scheduler.
#[derive(Clone, Debug)]
pub(crate) enum Up {
    Announce(Announce),
    /// The canonical bytes themselves: the digest of a model need not be short.
    Digest(Vec<u8>),
    Beat(Heartbeat),
    Commands(Vec<Command>),
    End,
    Join(Box<Join>),
    Open(Open),
    Reports(Vec<Report>),
}

/// A message from the scheduler.
#[derive(Clone, Debug)]
pub(crate) enum Down {
    AnnounceReply {
        equal: bool,
    },
    /// The stream ends, for this reason.
    Cut(Reason),
    End,
    /// The worker's number, and in which life of the scheduler.
    Joined(WorkerId, Epoch),
    Notices(Vec<Notice>),
    /// The session, and in which life of the scheduler.
    Opened(Opened, Epoch),
    Orders(Vec<Order>),
}

/// A value in a store.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Stored {
    pub(crate) value: u64,
    pub(crate) size: u64,
}

/// Bytes on their way from worker to worker or client.
#[derive(Clone, Debug)]
pub(crate) struct Fetch {
    pub(crate) by: Side,
    pub(crate) object: ObjectId,
    pub(crate) holders: SmallVec<[WorkerId; 2]>,
    /// Place of the holder that is asked.
    pub(crate) at: usize,
    /// The daemon of that holder, where its address is known.
    pub(crate) target: Option<LifeId>,
}

/// A value on its way from a client to a worker.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parcel {
    pub(crate) client: usize,
    pub(crate) object: ObjectId,
    pub(crate) stored: Stored,
    pub(crate) worker: WorkerId,
    pub(crate) target: LifeId,
}

/// What every part shares.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) load: Load,
    pub(crate) agenda: Agenda<Item>,
    pub(crate) network: Network,
    pub(crate) rng: Rng,
    pub(crate) trace: Trace,
    pub(crate) coverage: Coverage,
    /// How often the code of each task was started.
    pub(crate) executions: BTreeMap<TaskId, u32>,
    /// When code of a task failed by itself the last time, and how soon it was started again at the soonest.
    pub(crate) failures: BTreeMap<TaskId, (Time, Span)>,
    /// Number of each graph that has one, and how many of its tasks were accepted.
    pub(crate) accepted: BTreeMap<(usize, usize), (GraphId, u32)>,
    /// Until when nobody can fetch from a worker.
    pub(crate) isolated: BTreeMap<usize, Time>,
    /// How many of a hundred fetches fail for no reason.
    pub(crate) flaky_percent: u64,
    /// A store has lost something.
    pub(crate) has_lost: bool,
    /// A store had no room for an output.
    pub(crate) has_been_full: bool,
    /// How many of a hundred commands are sent twice.
    pub(crate) repeated_percent: u64,
    /// What went wrong first.
    pub(crate) failure: Option<String>,
}

impl World {
    pub(crate) fn now(&self) -> Time {
        self.agenda.now()
    }

    /// Says that something is not as it must be.
    pub(crate) fn fail(&mut self, what: impl Into<String>) {
        self.failure.get_or_insert(what.into());
    }

    /// Says so, if it is.
    pub(crate) fn expect(&mut self, checked: Result<(), String>, whose: &str) {
        if let Err(what) = checked {
            self.fail(format!("{whose}: {what}"));
        }
    }

    /// Enters something that happens after a random time of so many microseconds.
    pub(crate) fn soon(&mut self, low: u64, high: u64, item: Item) {
        let span = self.rng.span(low, high);
        self.agenda.after(span, item);
    }

    /// Enters a new attempt to connect: half of them at once, when much is still under way from before.
    pub(crate) fn after_a_break(&mut self, item: Item) {
        let most = if self.rng.chance(50) { 2_000 } else { 300_000 };
        self.soon(100, most, item);
    }

    /// Enters something that mostly happens now, and sometimes a little later.
    pub(crate) fn promptly(&mut self, item: Item) {
        let span = if self.rng.chance(70) { Span::ZERO } else { self.rng.span(1, 1_000) };
        self.agenda.after(span, item);
    }

    /// Sends a message to the scheduler. One over a broken stream is lost.
    pub(crate) fn send_up(&mut self, conn: ConnId, message: Up) {
        let now = self.now();
        if let Some(arrival) = self.network.arrival(&mut self.rng, now, conn, Way::Up) {
            self.agenda.at(arrival, Item::Up(conn, message));
        }
    }

    /// Sends a message to a peer. One over a broken stream is lost.
    pub(crate) fn send_down(&mut self, conn: ConnId, message: Down) {
        let now = self.now();
        if let Some(arrival) = self.network.arrival(&mut self.rng, now, conn, Way::Down) {
            self.agenda.at(arrival, Item::Down(conn, message));
        }
    }

    /// Breaks a stream: what is on its way is lost, and each side notices in its own time.
    pub(crate) fn sever(&mut self, conn: ConnId) {
        if self.network.sever(conn) {
            for way in [Way::Up, Way::Down] {
                let notices = if self.rng.chance(80) {
                    self.rng.span(0, 20_000)
                } else {
                    self.rng.span(0, 3_000_000)
                };
                self.agenda.after(notices, Item::Severed(conn, way));
            }
        }
    }

    /// Breaks a stream because the process at its upper end has died: the other side notices soon.
    pub(crate) fn reset(&mut self, conn: ConnId) {
        if self.network.sever(conn) {
            self.soon(0, 1_000, Item::Severed(conn, Way::Down));
        }
    }

    /// Breaks a stream whose lower end has gone without a word: the scheduler believes in it for a while.
    pub(crate) fn hang(&mut self, conn: ConnId) {
        if self.network.sever(conn) {
            self.soon(0, 1_000, Item::Severed(conn, Way::Down));
            self.soon(20_000, 400_000, Item::Severed(conn, Way::Up));
        }
    }

    /// Sends a fetch on its way to the holder whose turn it is.
    pub(crate) fn ask(&mut self, fetch: Fetch) {
        if fetch.target.is_some() {
            self.soon(20, 1_000, Item::Ask(fetch));
        } else {
            self.soon(1, 100, Item::Answer { fetch, value: None });
        }
    }
}

//! Copies of the logs and checkpoints of actors that live here, on other workers.
//!
//! Whatever is written to a log goes into a queue for each copy too; a stream carries it there and brings back what is kept. A
//! host hears of a record as durable, and of a checkpoint as made, when every copy that it has to wait for has it:
//! `core::actor::copies` knows which. What was found when an incarnation begins counts as durable from its first moment on, so
//! it does not begin before its first copies have that. What comes later does not count before the scheduler has heard that the
//! incarnation is alive, also where there are no copies and it has moved. Nor is a call given to the process before its record is durable: what
//! the call does to others would have happened, and the next incarnation might not know of it.
//!
//! `send` is a copy's stream, `queue` what waits for it, `keeper` the other side.

pub(crate) mod keeper;
mod queue;
mod send;

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::sync::Arc;

use bireme_core::actor::Durability;
use bireme_core::actor::copies::{CopyPlace, CopyPlaces, CopySet};
use bireme_core::actor::host::{Event, RunNo};
use bireme_core::actor::place::{ActorReport, Checkpoint};
use bireme_core::id::{ActorId, Incarnation, WorkerUid};
use bireme_proto::pb::executor_order::{Callee, Order};
use tokio::task::JoinHandle;

pub(crate) use self::queue::{Owed, Part, Queue};
use super::log::copy::open_checkpoint;
use super::log::{Found, Log};
use super::{Table, Turn};
use crate::machine::Hosting;
use crate::rpc::actor_copies::Kept;
use crate::store::Stored;

/// The copies of an incarnation.
#[derive(Debug)]
pub(super) struct Copying {
    incarnation: Incarnation,
    /// What it is to begin with, until its first copies are whole.
    waiting: Option<Waiting>,
    /// Nothing counts as kept before it is on the disk.
    synced: bool,
    set: CopySet,
    streams: BTreeMap<WorkerUid, Stream>,
    /// Counts streams.
    last: u64,
    /// The last record that the host heard of as durable.
    durable: u64,
    /// A checkpoint that is kept here, with what it holds of the actors that were called, until it is kept wherever it has to be.
    checkpoint: Option<(Checkpoint, Vec<Callee>)>,
    /// What the process is told when a record is durable, in order.
    held: VecDeque<(u64, Order)>,
    /// The record up to which the last checkpoint goes that was made by this incarnation.
    newest: u64,
}

/// An incarnation that is about to begin.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) hosting: Box<Hosting>,
    pub(super) inputs: Vec<Stored>,
    pub(super) log: Log,
    pub(super) found: Found,
}

/// The stream of a copy. Dropping it ends it.
#[derive(Debug)]
struct Stream {
    number: u64,
    queue: Arc<Queue>,
    task: JoinHandle<()>,
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A stream, by name.
#[derive(Clone, Copy, Debug)]
pub(super) struct StreamId {
    pub(super) actor: ActorId,
    pub(super) incarnation: Incarnation,
    pub(super) worker: WorkerUid,
    number: u64,
}

impl Table {
    /// The copies to which a stream belongs.
    fn copying_of(&mut self, id: StreamId) -> Option<&mut Copying> {
        let copying = self.copying.get_mut(&id.actor)?;
        let is_it = |stream: &Stream| stream.number == id.number;
        let is_known = copying.streams.get(&id.worker).is_some_and(is_it);
        (is_known && copying.incarnation == id.incarnation).then_some(copying)
    }
}

impl Turn<'_> {
    /// Brings an incarnation that is about to begin up to date with what was said of its copies while its log was opened.
    pub(super) fn take_places(&mut self, hosting: &mut Hosting) {
        if let Some((life, places)) = self.table.places.remove(&hosting.actor)
            && life == hosting.incarnation
        {
            hosting.copies = places;
        }
    }

    /// Keeps copies of an incarnation that is about to begin, and has it begin when they are whole. Without any, it waits for word
    /// that the scheduler has heard of it.
    pub(super) fn begin_with_copies(&mut self, mut waiting: Waiting) {
        let (actor, incarnation) = (waiting.hosting.actor, waiting.hosting.incarnation);
        if waiting.hosting.spec.peers > 0 {
            waiting.log.hand_on();
        }
        let (end, places) = (waiting.log.written(), &waiting.hosting.copies);
        let (set, members) = (CopySet::new(end, places), places.members.clone());
        let synced = waiting.hosting.spec.durability == Durability::Disk;
        let copying = Copying {
            incarnation,
            waiting: Some(waiting),
            synced,
            set,
            streams: BTreeMap::new(),
            last: 0,
            durable: end,
            checkpoint: None,
            held: VecDeque::new(),
            newest: 0,
        };
        self.table.copying.insert(actor, copying);
        for place in members {
            self.begin_copy(actor, place);
        }
        self.go_on(actor);
    }

    /// Gives an incarnation up that waits for its first copies, or an earlier one. Returns it.
    pub(super) fn give_up_waiting(
        &mut self,
        actor: ActorId,
        life: Incarnation,
    ) -> Option<Box<Hosting>> {
        let copying = self.table.copying.get_mut(&actor);
        let copying = copying.filter(|copying| copying.incarnation <= life)?;
        let waiting = copying.waiting.take()?;
        self.table.copying.remove(&actor);
        Some(waiting.hosting)
    }

    /// An incarnation is over: nobody waits for its copies.
    pub(super) fn end_copies(&mut self, actor: ActorId, life: Incarnation) {
        if self.table.copying.get(&actor).is_some_and(|copying| copying.incarnation == life) {
            self.table.copying.remove(&actor);
        }
    }

    /// The scheduler says where copies are kept from here on.
    pub(super) fn copy_to(&mut self, actor: ActorId, life: Incarnation, places: CopyPlaces) {
        let copying = self.table.copying.get_mut(&actor);
        let Some(copying) = copying.filter(|copying| copying.incarnation == life) else {
            let known = self.table.entries.get(&actor).map(|entry| entry.hosting.incarnation);
            if known.is_none_or(|known| known < life) {
                // Its log is being opened.
                self.table.places.insert(actor, (life, places));
            }
            return;
        };
        let changes = copying.set.assign(places);
        for worker in changes.dropped {
            copying.streams.remove(&worker);
        }
        for place in changes.begun {
            self.begin_copy(actor, place);
        }
        // Whether or not anything changed: what was told before may be lost.
        self.tell_of_copies(actor);
        self.go_on(actor);
    }

    fn begin_copy(&mut self, actor: ActorId, place: CopyPlace) {
        let shared = Arc::clone(self.shared);
        let Table { entries, copying, .. } = &mut *self.table;
        let Some(copying) = copying.get_mut(&actor) else { return };
        let log = match &copying.waiting {
            Some(waiting) => Some(&waiting.log),
            None => entries.get(&actor).and_then(|entry| entry.log.as_ref()),
        };
        let Some(log) = log else { return };
        let (incarnation, worker) = (copying.incarnation, place.worker);
        copying.last += 1;
        let id = StreamId { actor, incarnation, worker, number: copying.last };
        let queue = Arc::new(Queue::new(self.now, log.written()));
        let (newest, synced) = (copying.newest, copying.synced);
        let begun = send::Begun { snapshot: log.snapshot(), newest, synced };
        let sent = send::send(shared, id, place, begun, Arc::clone(&queue));
        let task = self.shared.setup.bulk.spawn(sent);
        copying.streams.insert(worker, Stream { number: id.number, queue, task });
    }

    /// Hands what was written to a log on to its copies.
    pub(super) fn hand_on(&mut self, actor: ActorId) {
        let Table { entries, copying, .. } = &mut *self.table;
        let Some(copying) = copying.get(&actor) else { return };
        let Some(log) = entries.get_mut(&actor).and_then(|entry| entry.log.as_mut()) else {
            return;
        };
        let mut behind = Vec::new();
        for batch in log.take_batches() {
            for (worker, stream) in &copying.streams {
                if !stream.queue.push(self.now, Part::Records(batch.clone())) {
                    behind.push(*worker);
                }
            }
        }
        for worker in behind {
            self.lose_copy(actor, worker, "it is too far behind");
        }
    }

    /// Tells the process something once a record is durable, and what was to be told before has been.
    pub(super) fn say_when_durable(&mut self, actor: ActorId, lsn: u64, order: Order) {
        let copying = self.table.copying.get_mut(&actor);
        match copying.filter(|copying| lsn > copying.durable || !copying.held.is_empty()) {
            Some(copying) => copying.held.push_back((lsn, order)),
            None => self.say_at_once(actor, order),
        }
    }

    /// The process that was to be told something is gone. Returns the calls among that: it has never had them.
    pub(super) fn take_back_held(&mut self, actor: ActorId) -> Vec<RunNo> {
        let copying = self.table.copying.get_mut(&actor);
        let held = copying.map(|copying| std::mem::take(&mut copying.held)).unwrap_or_default();
        let call = |(_, order): (u64, Order)| match order {
            Order::ActorCall(call) => Some(RunNo(call.call)),
            _ => None,
        };
        held.into_iter().filter_map(call).collect()
    }

    /// All records up to this one are durable here.
    pub(super) fn durable_here(&mut self, actor: ActorId, lsn: u64) {
        let Table { entries, copying, .. } = &mut *self.table;
        let Some(copying) = copying.get_mut(&actor) else {
            // One that has copies is over by now: what it has not said yet is for the next.
            if entries.get(&actor).is_none_or(|entry| entry.spec.peers == 0) {
                self.feed_later(actor, Event::Durable { lsn });
            }
            return;
        };
        if copying.waiting.is_none() {
            copying.set.kept_here(lsn);
            self.go_on(actor);
        }
    }

    /// A checkpoint is kept here: the host hears of it when it is kept wherever it has to be.
    pub(super) fn checkpoint_here(
        &mut self,
        actor: ActorId,
        made: Checkpoint,
        callees: Vec<Callee>,
    ) {
        let Table { entries, copying, .. } = &mut *self.table;
        let Some(entry) = entries.get(&actor) else { return };
        let Some(log) = entry.log.as_ref().filter(|_| entry.spec.peers > 0) else {
            return self.checkpoint_kept(actor, made, callees);
        };
        let Some(copying) = copying.get_mut(&actor) else { return };
        (copying.checkpoint, copying.newest) = (Some((made, callees)), made.lsn);
        let mut unread = Vec::new();
        for (worker, stream) in &copying.streams {
            let file: Option<File> = open_checkpoint(log.directory()).ok().flatten();
            let part = file.map(|file| Part::Checkpoint { file, lsn: made.lsn });
            if !part.is_some_and(|part| stream.queue.push(self.now, part)) {
                unread.push(*worker);
            }
        }
        for worker in unread {
            self.lose_copy(actor, worker, "the checkpoint cannot be handed on");
        }
        self.go_on(actor);
    }

    /// A copy tells what it has.
    fn kept_there(&mut self, id: StreamId, kept: Kept) {
        let Some(copying) = self.table.copying_of(id) else { return };
        let Kept { lsn, checkpoint, is_whole } = kept;
        let has = Owed { lsn, checkpoint, whole: is_whole };
        let is_news = copying.set.kept_there(id.worker, lsn, checkpoint, is_whole);
        if let Some(stream) = copying.streams.get(&id.worker) {
            stream.queue.kept(self.now, has);
        }
        if is_news {
            self.tell_of_copies(id.actor);
        }
        self.go_on(id.actor);
    }

    /// The stream of a copy has come to an end.
    fn copy_lost(&mut self, id: StreamId, why: &str) {
        if self.table.copying_of(id).is_some() {
            self.lose_copy(id.actor, id.worker, why);
        }
    }

    fn lose_copy(&mut self, actor: ActorId, worker: WorkerUid, why: &str) {
        let Some(copying) = self.table.copying.get_mut(&actor) else { return };
        copying.streams.remove(&worker);
        if copying.set.fail(worker) {
            tracing::warn!(?actor, ?worker, why, "a copy of an actor's log is left out");
            self.tell_of_copies(actor);
        }
    }

    fn tell_of_copies(&mut self, actor: ActorId) {
        let Some(copying) = self.table.copying.get(&actor) else { return };
        let (incarnation, told) = (copying.incarnation, copying.set.told());
        self.tell(ActorReport::Copied { actor, incarnation, told });
    }

    /// Tells the host what has become durable, or has it begin.
    fn go_on(&mut self, actor: ActorId) {
        let Some(copying) = self.table.copying.get_mut(&actor) else { return };
        let set = &copying.set;
        if let Some(waiting) = copying.waiting.take_if(|_| set.is_ready()) {
            let Waiting { hosting, inputs, log, found } = waiting;
            return self.begin(hosting, inputs, (Some(log), found));
        }
        let lsn = copying.set.durable();
        let is_later = lsn > std::mem::replace(&mut copying.durable, lsn);
        let set = &copying.set;
        let checkpoint = copying.checkpoint.take_if(|(made, _)| set.has_checkpoint(made.lsn));
        let is_due = |(first, _): &(u64, Order)| *first <= lsn;
        let due = copying.held.iter().take_while(|held| is_due(held)).count();
        let due: Vec<_> = copying.held.drain(..due).collect();
        if is_later {
            self.feed_later(actor, Event::Durable { lsn });
        }
        for (_, order) in due {
            self.say_at_once(actor, order);
        }
        if let Some((made, callees)) = checkpoint {
            self.checkpoint_kept(actor, made, callees);
        }
    }
}

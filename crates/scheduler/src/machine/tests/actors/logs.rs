//! Logs of actors and their copies, as far as it takes to see that no answer is forgotten: how many calls are in each, and how
//! many somebody was answered.

use std::collections::BTreeMap;

use bireme_core::ObjectId;
use bireme_core::actor::copies::{CopiesTold, CopyPlaces, CopySet};
use bireme_core::actor::place::HostOrder;
use bireme_core::id::{ActorId, Incarnation, WorkerUid};

/// What a worker has on its disk.
#[derive(Debug, Default)]
struct Disk {
    own: BTreeMap<ActorId, u64>,
    copies: BTreeMap<ActorId, u64>,
    /// Nothing of an earlier incarnation than this is kept, nor of this one where it lives here.
    fence: BTreeMap<ActorId, (Incarnation, bool)>,
}

/// An incarnation that lives somewhere.
#[derive(Debug)]
struct Life {
    incarnation: Incarnation,
    set: CopySet,
    calls: u64,
}

/// All logs.
#[derive(Debug, Default)]
pub(super) struct Logs {
    disks: BTreeMap<WorkerUid, Disk>,
    lives: BTreeMap<(WorkerUid, ActorId), Life>,
    /// How many calls of each actor were answered.
    answered: BTreeMap<ActorId, u64>,
    /// What is in checkpoints that travel.
    baggage: BTreeMap<ObjectId, u64>,
    /// How often an incarnation began elsewhere than the one before, with a copy.
    pub(super) heirs: u64,
}

impl Logs {
    /// An incarnation begins, and all that was answered is there.
    pub(super) fn begin(&mut self, at: WorkerUid, host: &HostOrder) {
        let (actor, incarnation) = (host.actor, host.incarnation);
        let disk = self.disks.entry(at).or_default();
        disk.fence.insert(actor, (incarnation, true));
        let copy = disk.copies.remove(&actor);
        let brought = host.checkpoint.as_ref().map(|input| self.baggage[&input.object]);
        let calls = match (brought, host.restores) {
            (Some(brought), _) => brought,
            (None, false) => 0,
            (None, true) => {
                self.heirs += u64::from(copy.is_some());
                let found = copy.or_else(|| disk.own.get(&actor).copied());
                found.unwrap_or_else(|| panic!("worker {at} has no log of {actor}"))
            }
        };
        let answered = self.answered.get(&actor).copied().unwrap_or_default();
        assert!(
            calls >= answered,
            "{actor}: {answered} calls were answered, {at} begins incarnation {} with {calls}",
            incarnation.0
        );
        disk.own.insert(actor, calls);
        let set = CopySet::new(calls, &host.copies);
        self.lives.insert((at, actor), Life { incarnation, set, calls });
    }

    /// Begins copies in all places of a first list.
    pub(super) fn begin_copies(
        &mut self,
        at: WorkerUid,
        host: &HostOrder,
        reaches: impl FnMut(WorkerUid) -> bool,
    ) -> Option<CopiesTold> {
        let members = host.copies.members.iter().map(|place| place.worker).collect();
        self.copy(at, host.actor, members, reaches)
    }

    /// A later list.
    pub(super) fn assign(
        &mut self,
        at: WorkerUid,
        (actor, incarnation): (ActorId, Incarnation),
        places: CopyPlaces,
        reaches: impl FnMut(WorkerUid) -> bool,
    ) -> Option<CopiesTold> {
        let life = self.lives.get_mut(&(at, actor))?;
        if life.incarnation != incarnation {
            return None;
        }
        let begun = life.set.assign(places).begun;
        self.copy(at, actor, begun.iter().map(|place| place.worker).collect(), reaches)
    }

    fn copy(
        &mut self,
        at: WorkerUid,
        actor: ActorId,
        to: Vec<WorkerUid>,
        mut reaches: impl FnMut(WorkerUid) -> bool,
    ) -> Option<CopiesTold> {
        let life = self.lives.get_mut(&(at, actor))?;
        for worker in to {
            let disk = self.disks.entry(worker).or_default();
            let fence = disk.fence.get(&actor).copied().unwrap_or_default();
            if !reaches(worker) || fence >= (life.incarnation, true) {
                life.set.fail(worker);
                continue;
            }
            disk.fence.insert(actor, (life.incarnation, false));
            disk.copies.insert(actor, life.calls);
            life.set.kept_there(worker, life.calls, 0, true);
        }
        Some(life.set.told())
    }

    /// A call runs and is answered as soon as it may be.
    pub(super) fn call(
        &mut self,
        at: WorkerUid,
        actor: ActorId,
        mut reaches: impl FnMut(WorkerUid) -> bool,
    ) -> Option<CopiesTold> {
        let life = self.lives.get_mut(&(at, actor))?;
        life.calls += 1;
        self.disks.entry(at).or_default().own.insert(actor, life.calls);
        life.set.kept_here(life.calls);
        let mut is_news = false;
        for worker in life.set.told().in_sync {
            let disk = self.disks.entry(worker).or_default();
            let fence = disk.fence.get(&actor).copied().unwrap_or_default();
            if !reaches(worker) || fence != (life.incarnation, false) {
                is_news |= life.set.fail(worker);
                continue;
            }
            disk.copies.insert(actor, life.calls);
            is_news |= life.set.kept_there(worker, life.calls, 0, true);
        }
        let answered = self.answered.entry(actor).or_default();
        *answered = life.set.durable().max(*answered);
        is_news.then(|| life.set.told())
    }

    /// Whether an incarnation has what it waits for before it takes calls.
    pub(super) fn is_ready(&self, at: WorkerUid, actor: ActorId) -> bool {
        self.lives.get(&(at, actor)).is_none_or(|life| life.set.is_ready())
    }

    /// Whether an incarnation may come to rest: nobody waits for an answer.
    pub(super) fn may_rest(&mut self, at: WorkerUid, actor: ActorId) -> bool {
        let life = self.lives.get_mut(&(at, actor));
        life.is_none_or(|life| life.set.durable() == life.calls)
    }

    /// An incarnation has ended; perhaps it left something for the next.
    pub(super) fn end(&mut self, at: WorkerUid, actor: ActorId, left: Option<ObjectId>) {
        let life = self.lives.remove(&(at, actor));
        if let (Some(life), Some(object)) = (life, left) {
            self.baggage.insert(object, life.calls);
        }
    }

    /// A daemon dies. Its disk may be lost with it.
    pub(super) fn crash(&mut self, at: WorkerUid, disk_too: bool) {
        self.lives.retain(|(worker, _), _| *worker != at);
        if disk_too {
            self.disks.remove(&at);
        } else if let Some(disk) = self.disks.get_mut(&at) {
            disk.fence.clear();
        }
    }
}

//! Who goes on with an actor: the worker that has its log, or one whose copy is in step. What cannot be read, or may have been
//! forgotten, is a last resort.

use bireme_core::id::{ActorId, WorkerId, WorkerUid};
use bireme_core::{ErrorClass, TaskError};

use super::{Actor, Copies, Machine, Worker};

impl Machine {
    /// Whether what a worker keeps of an actor may be what the next incarnation begins with.
    pub(in super::super) fn may_begin_at(actor: &Actor, uid: WorkerUid) -> bool {
        let Copies { in_step, before, home_before, struck_off, .. } = &actor.copies;
        [actor.home, *home_before].contains(&Some(uid))
            || [in_step, before, struck_off].iter().any(|some| some.contains(&uid))
    }

    /// A worker that has all that anybody was answered and would take the actor now: its home, or where a copy is in step. The
    /// home goes first and is waited for if it may take the actor in a moment; what was written on a machine that was started
    /// anew goes last, and only when the time to wait is up.
    pub(in super::super) fn heir(&self, actor: &Actor, is_last: bool) -> Option<WorkerId> {
        let home = actor.home.and_then(|home| self.worker_with(home));
        let home = home.and_then(|home| self.workers.get(home));
        let takes = |worker: &&Worker| worker.takes_actor(&actor.spec);
        let has_all = |worker: &&Worker| is_last || actor.copies.are_sound_at(actor, worker);
        if let Some(home) = home.filter(|home| !is_last && has_all(home)) {
            let waits = !home.is_open() && !home.draining;
            if waits || home.takes_actor(&actor.spec) {
                return Some(home).filter(takes).map(|home| home.id);
            }
        }
        let in_step = actor.copies.in_step.iter().filter_map(|uid| self.worker_with(*uid));
        let workers = in_step.filter_map(|worker| self.workers.get(worker));
        let takers = workers.filter(takes).filter(has_all);
        let rank = |worker: &&Worker| {
            let is_doubtful = !actor.copies.are_sound_at(actor, worker);
            let has_failed = actor.copies.written_on.get(&worker.join.uid) == Some(&None);
            (is_doubtful, has_failed, worker.actors.len(), worker.id)
        };
        let chosen = takers.min_by_key(rank).or_else(|| home.filter(|_| is_last).filter(takes));
        chosen.map(|worker| worker.id)
    }

    /// The storage of a worker has failed an actor, or has not what it should have: whether the actor can go on with another
    /// worker's copy, or with what it brought along. What that worker has is a last resort from here on.
    pub(in super::super) fn turns_to_copies(
        &mut self,
        id: ActorId,
        worker: WorkerId,
        cause: Option<&TaskError>,
    ) -> bool {
        if cause.is_none_or(|cause| cause.class != ErrorClass::Store) {
            return false;
        }
        self.take_list_back(id);
        let Some(uid) = self.workers.get(worker).map(|worker| worker.join.uid) else {
            return false;
        };
        let Some(actor) = self.actors.get_mut(id).filter(|actor| actor.has_state) else {
            return false;
        };
        let copies = &actor.copies;
        let is_of_use =
            |other: &WorkerUid| *other != uid && copies.written_on.get(other) != Some(&None);
        let has_copies = copies.in_step.iter().any(is_of_use);
        let has_others = has_copies || actor.home.iter().any(is_of_use);
        // Where a last resort fails others have been waited for.
        let goes_on = actor.baggage.is_some() || has_others && !copies.retried;
        if has_others || copies.retried {
            actor.copies.written_on.insert(uid, None);
        }
        if has_copies {
            self.drop_baggage(id);
        }
        self.index_copies(id);
        goes_on
    }

    /// An actor begins with what copies have, and not with what its last incarnation left for the next.
    pub(in super::super) fn drop_baggage(&mut self, id: ActorId) {
        let baggage = self.actors.get_mut(id).and_then(|actor| actor.baggage.take());
        if let Some(object) = baggage {
            self.drop_value(object);
        }
    }
}

//! How a worker leaves when somebody sends it away.
//!
//! It is given nothing more and asked to give back what has not started. What only it holds is copied to others, a bounded
//! number of values at a time. When nothing runs there and nothing would be lost it is told to go; at the deadline it is told
//! all the same, and what was not copied is made again. Whoever is told to go is to blame for nothing.

use std::collections::{BTreeMap, VecDeque};

use bireme_core::id::{SubmissionId, WorkerId};
use bireme_core::object::ObjectId;
use bireme_core::{Span, Time, limits};

use super::object::Object;
use super::task::{Phase, flag};
use super::view::DrainView;
use super::worker::Errand;
use super::{Machine, Timer};

/// The way out of one worker.
#[derive(Debug)]
pub(super) struct Drain {
    /// For people.
    reason: String,
    /// When it leaves all the same.
    deadline: Option<Time>,
    /// Values that are being copied: where to, and when to try elsewhere.
    copies: BTreeMap<ObjectId, (WorkerId, Time)>,
    /// Values that nobody else had when last looked.
    alone: VecDeque<ObjectId>,
    /// It leaves by itself before long: it is not kept for values that nobody can take.
    insists: bool,
    /// What it was told, once it was told to go: told again on each new stream.
    pub(super) told: Option<Errand>,
}

impl Drain {
    fn new(reason: String) -> Self {
        Self {
            reason,
            deadline: None,
            copies: BTreeMap::new(),
            alone: VecDeque::new(),
            insists: false,
            told: None,
        }
    }

    /// Values that would be lost with the worker, as far as known.
    fn values(&self) -> usize {
        self.copies.len() + self.alone.len()
    }

    pub(super) fn view(&self, now: Time) -> DrainView {
        DrainView {
            reason: self.reason.clone(),
            left: self.deadline.map(|deadline| deadline.since(now)),
            values: self.values(),
            told: self.told.is_some(),
        }
    }
}

/// Which worker each of the latest requests of this kind was about, so that one that comes again means the same worker.
#[derive(Debug, Default)]
pub(super) struct Dismissals {
    workers: BTreeMap<SubmissionId, WorkerId>,
    order: VecDeque<SubmissionId>,
}

impl Dismissals {
    fn remember(&mut self, submission: SubmissionId, worker: WorkerId) {
        if self.workers.insert(submission, worker).is_none() {
            self.order.push_back(submission);
        }
        if self.order.len() > limits::SUBMISSIONS
            && let Some(oldest) = self.order.pop_front()
        {
            self.workers.remove(&oldest);
        }
    }

    pub(super) fn worker(&self, submission: SubmissionId) -> Option<WorkerId> {
        self.workers.get(&submission).copied()
    }
}

impl Machine {
    /// Somebody asks that a worker leave in order. A later request replaces the deadline, unless it names none.
    pub(super) fn on_worker_drain_asked(
        &mut self,
        submission: SubmissionId,
        id: WorkerId,
        deadline: Option<Span>,
        reason: String,
    ) {
        if self.dismissals.worker(submission).is_some() {
            return;
        }
        let now = self.now;
        let Some(worker) = self.workers.get_mut(id) else { return };
        self.dismissals.remember(submission, id);
        let is_new = worker.drain.is_none();
        let drain = worker.drain.get_or_insert_with(|| Box::new(Drain::new(reason)));
        drain.deadline = deadline.map(|deadline| now + deadline).or(drain.deadline);
        worker.draining = true;
        self.drains.insert(id);
        self.touch(id);
        if is_new {
            self.seek_lone_values(id);
            self.move_copies_away(id);
            self.ask_all_back(id);
            self.fleet_changed();
        }
        self.set_drain_timer(id);
    }

    /// A worker leaves by itself, and waits until others have copied what only it holds.
    pub(super) fn help_to_leave(&mut self, id: WorkerId) {
        let Some(worker) = self.workers.get_mut(id) else { return };
        let reason = || Box::new(Drain::new("leaves by itself".to_owned()));
        worker.drain.get_or_insert_with(reason).insists = true;
        self.drains.insert(id);
        self.seek_lone_values(id);
        self.move_copies_away(id);
        self.set_drain_timer(id);
    }

    /// Somebody asks that a worker leave now; running code may go on for `grace`.
    pub(super) fn on_worker_stop_asked(
        &mut self,
        submission: SubmissionId,
        id: WorkerId,
        grace: Span,
        reason: String,
    ) {
        if self.dismissals.worker(submission).is_some() {
            return;
        }
        let Some(worker) = self.workers.get_mut(id) else { return };
        self.dismissals.remember(submission, id);
        worker.draining = true;
        worker.drain.get_or_insert_with(|| Box::new(Drain::new(reason)));
        let order = if grace == Span::ZERO { Errand::Stop } else { Errand::Leave(Some(grace)) };
        self.dismiss(id, order);
        self.touch(id);
        self.fleet_changed();
    }

    /// The worker that an earlier request to drain or stop one was about.
    pub fn dismissed_by(&self, submission: SubmissionId) -> Option<WorkerId> {
        self.dismissals.worker(submission)
    }

    /// Goes on with every worker that is on its way out.
    pub(super) fn step_drains(&mut self) {
        if self.drains.is_empty() {
            return; // As a rule.
        }
        let ids: Vec<WorkerId> = self.drains.iter().copied().collect();
        for id in ids {
            self.step_drain(id);
        }
    }

    fn step_drain(&mut self, id: WorkerId) {
        let now = self.now;
        let Some(drain) = self.workers.get(id).and_then(|worker| worker.drain.as_ref()) else {
            self.drains.remove(&id);
            return;
        };
        if drain.deadline.is_some_and(|deadline| deadline <= now) {
            self.dismiss(id, Errand::Leave(Some(Span::ZERO)));
            return;
        }
        self.move_actors_away(id);
        self.copy_values(id);
        if self.may_go(id) {
            // What ran meanwhile has left values too.
            self.seek_lone_values(id);
            if self.may_go(id) {
                self.dismiss(id, Errand::Leave(None));
            } else {
                self.copy_values(id);
            }
        }
    }

    /// Whether nothing runs on a worker and nothing would be lost with it, or nothing could be saved.
    fn may_go(&self, id: WorkerId) -> bool {
        let Some(worker) = self.workers.get(id) else { return false };
        let Some(drain) = &worker.drain else { return false };
        let others_stay =
            || self.workers.values().any(|other| other.conn.is_some() && !other.draining);
        worker.sent.is_empty()
            && (worker.actors.is_empty() || (drain.insists && !others_stay()))
            && worker.announcing.is_none()
            && !self.hands_copies_over(id)
            && (drain.values() == 0 || (drain.insists && !others_stay()))
    }

    /// Tells a worker to go.
    fn dismiss(&mut self, id: WorkerId, order: Errand) {
        self.drains.remove(&id);
        if let Some(drain) = self.workers.get_mut(id).and_then(|worker| worker.drain.as_mut()) {
            drain.told = Some(order);
            self.errand(id, order);
        }
    }

    /// The stream of a worker that is on its way out is up again: what it was told may have been lost with the old one.
    pub(super) fn resume_drain(&mut self, id: WorkerId) {
        let told = self.workers.get(id).and_then(|worker| Some(worker.drain.as_ref()?.told));
        match told {
            None => {}
            Some(Some(order)) => self.errand(id, order),
            Some(None) => self.ask_all_back(id),
        }
    }

    /// Asks a worker to give back everything that has not started.
    fn ask_all_back(&mut self, id: WorkerId) {
        for task in self.sent_to(id) {
            let record = self.task(task);
            if record.has(flag::STARTED) {
                continue;
            }
            if record.phase == Phase::Prefilled && !record.has(flag::RETRACTING) {
                self.task_mut(task).set(flag::RETRACTING);
                if let Some(worker) = self.workers.get_mut(id) {
                    worker.retracting += 1;
                }
            }
            self.errand(id, Errand::Retract(self.attempt_id(task)));
        }
    }

    /// Lists the values that only workers on their way out hold, this one among them.
    fn seek_lone_values(&mut self, id: WorkerId) {
        let held = self.held_by(id);
        let ids = held.into_iter().filter_map(|no| self.objects.get(no)).map(Object::id);
        let alone: VecDeque<ObjectId> = ids.filter(|object| self.is_alone(*object)).collect();
        if let Some(drain) = self.workers.get_mut(id).and_then(|worker| worker.drain.as_mut()) {
            drain.alone = alone;
            drain.alone.retain(|object| !drain.copies.contains_key(object));
        }
    }

    /// Whether a value would be lost with the workers that are on their way out.
    fn is_alone(&self, id: ObjectId) -> bool {
        let object = self.find_object(id).and_then(|no| self.objects.get(no));
        object.is_some_and(|object| {
            let stays = |holder: &WorkerId| {
                self.workers.get(*holder).is_some_and(|worker| !worker.draining)
            };
            let holders = object.holders();
            !object.has_small() && !holders.is_empty() && !holders.iter().any(stays)
        })
    }

    /// How many values would be lost with a worker if it left at this moment.
    pub fn lone_values(&self, id: WorkerId) -> usize {
        let lone = |no| {
            let object = self.objects.get(no)?;
            (!object.has_small() && object.holders().len() == 1).then_some(())
        };
        self.held_by(id).into_iter().filter_map(lone).count()
    }

    /// Has others copy what only a leaving worker holds, as many values at a time as the limit allows.
    fn copy_values(&mut self, id: WorkerId) {
        let taken = self.workers.get_mut(id).and_then(|worker| worker.drain.as_mut());
        let Some((mut copies, mut alone)) = taken
            .map(|drain| (std::mem::take(&mut drain.copies), std::mem::take(&mut drain.alone)))
        else {
            return;
        };
        copies.retain(|object, _| self.is_alone(*object));
        let mut homes = self.homes(&copies);
        for (object, (home, again)) in &mut copies {
            let waits_too_long = *again <= self.now && self.has_read(*home);
            if waits_too_long || !homes.iter().any(|(_, id)| id == home) {
                let Some(other) = self.next_home(&mut homes, *object, Some(*home)) else { break };
                (*home, *again) = (other, self.now + limits::COPY_AGAIN);
                self.errand(other, Errand::Replicate(*object));
            }
        }
        while copies.len() < limits::DRAIN_COPIES
            && let Some(object) = alone.pop_front()
        {
            if !self.is_alone(object) {
                continue;
            }
            let Some(home) = self.next_home(&mut homes, object, None) else {
                alone.push_front(object);
                break;
            };
            copies.insert(object, (home, self.now + limits::COPY_AGAIN));
            self.errand(home, Errand::Replicate(object));
        }
        if let Some(drain) = self.workers.get_mut(id).and_then(|worker| worker.drain.as_mut()) {
            (drain.copies, drain.alone) = (copies, alone);
        }
    }

    /// Workers that may take copies, with the bytes that each has and is about to get.
    fn homes(&self, copies: &BTreeMap<ObjectId, (WorkerId, Time)>) -> Vec<(u64, WorkerId)> {
        let up = self.workers.values().filter(|worker| worker.is_up());
        let mut homes: Vec<_> =
            up.map(|worker| (worker.heartbeat.stored_bytes, worker.id)).collect();
        for (object, (home, _)) in copies {
            let coming = homes.iter_mut().find(|(_, id)| id == home);
            if let Some((bytes, _)) = coming {
                *bytes = bytes.saturating_add(self.size_of(*object));
            }
        }
        homes
    }

    /// The emptiest of them for a value, but not the one that was tried before unless it is the only one.
    fn next_home(
        &self,
        homes: &mut [(u64, WorkerId)],
        object: ObjectId,
        tried: Option<WorkerId>,
    ) -> Option<WorkerId> {
        let size = self.size_of(object);
        let (bytes, home) =
            homes.iter_mut().min_by_key(|(bytes, id)| (Some(*id) == tried, *bytes, *id))?;
        *bytes = bytes.saturating_add(size.max(1));
        Some(*home)
    }

    /// Whether a worker has been told everything: it is no use to tell one more who does not read.
    fn has_read(&self, id: WorkerId) -> bool {
        self.workers.get(id).is_some_and(|worker| worker.outbox.is_empty())
    }

    fn size_of(&self, id: ObjectId) -> u64 {
        let object = self.find_object(id).and_then(|no| self.objects.get(no));
        object.map_or(0, |object| object.size)
    }

    /// Looks again in a while: at values that could not be copied, and for the deadline.
    fn set_drain_timer(&mut self, id: WorkerId) {
        let drain = self.workers.get(id).and_then(|worker| worker.drain.as_ref());
        if let Some(drain) = drain.filter(|drain| drain.told.is_none()) {
            let look = self.now + limits::DRAIN_LOOK;
            let due = drain.deadline.map_or(look, |deadline| deadline.min(look));
            self.timers.insert((due, Timer::Drain(id)));
        }
    }

    /// Looks for values that were made meanwhile, and goes on.
    pub(super) fn on_drain_timer(&mut self, id: WorkerId) {
        let drain = self.workers.get(id).and_then(|worker| worker.drain.as_ref());
        if drain.is_some_and(|drain| drain.told.is_none() && drain.alone.is_empty()) {
            self.seek_lone_values(id);
        }
        // Before the timer is set anew: at the deadline there must be no further one.
        self.step_drain(id);
        self.set_drain_timer(id);
    }
}

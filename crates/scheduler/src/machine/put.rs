//! Values that sessions put into the stores of workers: nobody can make them again.
//!
//! A session tells of a value when a worker has it. The worker tells too, and may be heard first: what no session has told
//! of yet stays where it is as long as its session lives.

use std::ops::RangeInclusive;

use bireme_core::id::{SessionId, WorkerId};
use bireme_core::limits;
use bireme_core::object::ObjectId;
use bireme_core::reason::{Reason, Refusal};
use bireme_core::session::Put;

use super::Machine;
use super::number::ObjectNo;
use super::object::Object;
use super::session::Outcome;
use super::worker::Errand;

impl Machine {
    /// Takes note of values that a session has put.
    pub(super) fn on_put(&mut self, session: SessionId, objects: &[Put]) -> Outcome {
        for (n, put) in objects.iter().enumerate() {
            self.check_put(session, put).map_err(|(reason, field, message)| {
                Refusal::at(reason, format!("objects[{n}].{field}"), message)
            })?;
        }
        for put in objects {
            let no = self.value_object(session, put.object);
            if let Some(object) = self.objects.get_mut(no) {
                object.size = put.size;
            }
            if let Some(worker) = self.workers.get_mut(put.worker) {
                worker.untold.remove(&put.object);
                if worker.announcing.is_some() {
                    worker.put_meanwhile.insert(put.object);
                }
            }
            self.add_holder(no, put.worker);
        }
        Ok((None, 0))
    }

    fn check_put(
        &self,
        session: SessionId,
        put: &Put,
    ) -> Result<(), (Reason, &'static str, String)> {
        if !is_held_by(put.object, session) {
            let message = format!("{} is not numbered by session {}", put.object, session.0);
            return Err((Reason::ObjectUnknown, "object", message));
        }
        if put.copies > 1 {
            let message =
                format!("{} copies are asked for, a value that is put has one", put.copies);
            return Err((Reason::Unsupported, "copies", message));
        }
        if !self.workers.contains_key(put.worker) {
            let message = format!("there is no worker {}, put it anew", put.worker.0);
            return Err((Reason::WorkerUnknown, "worker", message));
        }
        Ok(())
    }

    /// The number of a value that a session tells of.
    fn value_object(&mut self, session: SessionId, id: ObjectId) -> ObjectNo {
        if let Some(no) = self.held.get(&id) {
            return *no;
        }
        let no = self.objects.insert(Object::new(id));
        self.held.insert(id, no);
        if let (Some(session), ObjectId::Held { n, .. }) = (self.sessions.get_mut(&session), id) {
            session.told.insert(n);
        }
        no
    }

    /// A session gives values up. Those that tasks still take go with the last of these.
    pub(super) fn on_values_released(
        &mut self,
        session: SessionId,
        objects: &[ObjectId],
    ) -> Outcome {
        for (n, object) in objects.iter().enumerate() {
            if !is_held_by(*object, session) {
                let message = format!("{object} is not numbered by session {}", session.0);
                return Err(Refusal::at(Reason::ObjectUnknown, format!("objects[{n}]"), message));
            }
        }
        for object in objects {
            if let Some(no) = self.held.get(object).copied() {
                if let Some(object) = self.objects.get_mut(no) {
                    object.given_up = true;
                }
                self.drop_unwanted_value(no);
            }
        }
        Ok((None, 0))
    }

    /// Drops a value that its session has given up, if no task takes it any more.
    pub(super) fn drop_unwanted_value(&mut self, no: ObjectNo) {
        if let Some(object) = self.objects.get(no)
            && object.given_up
            && object.takers().is_empty()
            && !self.actors.take(object.id())
        {
            let id = object.id();
            self.held.remove(&id);
            self.drop_object(no);
        }
    }

    /// Drops every value that a session has put, for its end.
    pub(super) fn drop_values(&mut self, session: SessionId) {
        let values: Vec<ObjectId> =
            self.held.keys().copied().filter(|object| is_held_by(*object, session)).collect();
        for object in values {
            if let Some(no) = self.held.remove(&object) {
                self.drop_object(no);
            }
        }
        let all = all_of(session);
        let mut untold: Vec<(WorkerId, ObjectId)> = Vec::new();
        for worker in self.workers.values_mut() {
            untold.extend(worker.untold.range(all.clone()).map(|object| (worker.id, *object)));
            worker.untold.retain(|object| !is_held_by(*object, session));
        }
        for (worker, object) in untold {
            self.errand(worker, Errand::Release(object));
        }
    }

    /// How many values of a session are kept, and their bytes.
    pub(super) fn values_of(&self, session: SessionId) -> (u64, u64) {
        let values = self.held.range(all_of(session)).filter_map(|(_, no)| self.objects.get(*no));
        values.fold((0, 0), |(count, bytes), value| (count + 1, bytes + value.size))
    }

    /// The greatest number among the values that a session has put, those among them that it has not told of yet.
    pub(super) fn last_value(&self, session: SessionId) -> u64 {
        let told = self.sessions.get(&session).and_then(|session| session.told.last());
        let untold = self.workers.values().flat_map(|worker| worker.untold.range(all_of(session)));
        let untold = untold.filter_map(|object| match object {
            ObjectId::Held { n, .. } => Some(*n),
            ObjectId::Output { .. } => None,
        });
        untold.chain(told).max().unwrap_or(0)
    }

    /// Whether a session that is here may still tell of a value that a worker has: then the worker is to keep it.
    pub(super) fn awaits_word_of(&mut self, worker: WorkerId, id: ObjectId) -> bool {
        let ObjectId::Held { holder, n } = id else { return false };
        let session = SessionId::of(holder).and_then(|session| self.sessions.get(&session));
        let awaited = session.is_some_and(|session| !session.told.contains(n));
        let Some(worker) = self.workers.get_mut(worker).filter(|_| awaited) else { return false };
        if worker.untold.len() >= limits::UNTOLD_VALUES {
            return false;
        }
        worker.untold.insert(id);
        true
    }
}

/// All values that a session can number.
fn all_of(session: SessionId) -> RangeInclusive<ObjectId> {
    let holder = session.into();
    ObjectId::Held { holder, n: 0 }..=ObjectId::Held { holder, n: u64::MAX }
}

fn is_held_by(object: ObjectId, session: SessionId) -> bool {
    matches!(object, ObjectId::Held { holder, .. } if holder == session.into())
}

/// Numbers, in as many words as there are gaps between them.
#[derive(Clone, Debug, Default)]
pub(super) struct Numbers {
    /// The last of each run, by its first.
    runs: std::collections::BTreeMap<u64, u64>,
}

impl Numbers {
    pub(super) fn contains(&self, n: u64) -> bool {
        self.runs.range(..=n).next_back().is_some_and(|(_, last)| *last >= n)
    }

    /// The greatest of them.
    fn last(&self) -> Option<u64> {
        self.runs.last_key_value().map(|(_, last)| *last)
    }

    pub(super) fn insert(&mut self, n: u64) {
        if self.contains(n) {
            return;
        }
        let before = self.runs.range(..n).next_back().filter(|(_, last)| **last + 1 == n);
        let first = before.map_or(n, |(first, _)| *first);
        let after = n.checked_add(1).and_then(|next| self.runs.remove(&next));
        self.runs.insert(first, after.unwrap_or(n));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_share_a_run() {
        let mut numbers = Numbers::default();
        for n in [1, 2, 9, u64::MAX, 4, 3, 8, 0] {
            assert!(!numbers.contains(n));
            numbers.insert(n);
            numbers.insert(n);
        }
        let runs: Vec<_> = numbers.runs.iter().map(|(first, last)| (*first, *last)).collect();
        assert_eq!(runs, [(0, 4), (8, 9), (u64::MAX, u64::MAX)]);
        assert!(numbers.contains(3) && !numbers.contains(5) && !numbers.contains(7));
    }
}

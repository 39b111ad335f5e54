//! How workers come, stay and go.

use bireme_core::id::WorkerId;
use bireme_core::limits;
use bireme_core::protocol::{Heartbeat, Join};
use bireme_core::reason::{Reason, Refusal};

use super::session::News;
use super::worker::Worker;
use super::{ConnId, Effect, Machine, Timer};

impl Machine {
    pub(super) fn on_worker_joined(&mut self, conn: ConnId, join: Join, effects: &mut Vec<Effect>) {
        let known = self.worker_uids.get(&join.uid).copied();
        let taken = self.worker_names.get(&join.name).is_some_and(|worker| Some(*worker) != known);
        if taken {
            let message =
                format!("a worker named {:?} is there already; choose another --name", join.name);
            let refusal = Refusal::at(Reason::WorkerNameTaken, "join.name", message);
            effects.push(Effect::Disconnect { conn, refusal });
            return;
        }
        if known.is_none() && self.workers.len() >= limits::WORKERS {
            let refusal =
                Refusal::new(Reason::Busy, format!("{} workers, the limit", self.workers.len()));
            effects.push(Effect::Disconnect { conn, refusal });
            return;
        }
        if let Some(id) = known
            && let Some(worker) = self.workers.get(id)
        {
            let believed = worker.join.life;
            if let Some(old) = worker.conn {
                let refusal = Refusal::new(Reason::Superseded, "the worker has connected anew");
                effects.push(Effect::Disconnect { conn: old, refusal });
            }
            if believed == join.life {
                self.resume_worker(id, conn, effects);
                return;
            }
            let seen = join.previous.as_ref().filter(|previous| previous.life == believed);
            self.lose_worker(id, seen, true);
        }
        self.last_worker += 1;
        let id = WorkerId(self.last_worker);
        self.worker_uids.insert(join.uid, id);
        let kind = self.kinds.of(&join);
        self.worker_names.insert(join.name.clone(), id);
        self.workers.insert(id, Worker::new(id, join, kind, self.hasher.clone(), self.now));
        self.resume_worker(id, conn, effects);
        self.timers.insert((self.now + limits::WORKER_LOST, Timer::Worker(id)));
    }

    /// The stream of a worker is up; it announces what it holds before it is given anything.
    fn resume_worker(&mut self, id: WorkerId, conn: ConnId, effects: &mut Vec<Effect>) {
        let now = self.now;
        if let Some(worker) = self.workers.get_mut(id) {
            worker.conn = Some(conn);
            worker.heard = now;
            worker.announcing = Some(Box::default());
            worker.knows.clear();
            worker.strays.clear();
            worker.owed = 0;
            worker.outbox.open();
        }
        effects.push(Effect::WorkerJoined { conn, worker: id });
        self.fleet_changed();
        let sessions: Vec<_> = self.sessions.keys().copied().collect();
        for session in sessions {
            self.tell_session(session, News::Worker(id));
        }
    }

    pub(super) fn on_worker_beat(&mut self, id: WorkerId, heartbeat: Heartbeat) {
        let Some(worker) = self.workers.get_mut(id) else { return };
        worker.heard = self.now;
        let was_paused = std::mem::replace(&mut worker.heartbeat, heartbeat).paused;
        self.touch(id);
        if was_paused != heartbeat.paused {
            self.fleet_changed();
        }
    }

    /// The list of workers, or the state of one, is not what it was.
    pub(super) fn fleet_changed(&mut self) {
        self.actors.stir();
        self.fleet_version += 1;
    }

    /// Counts what happens to the list of workers and their states: equal numbers mean equal lists.
    pub fn fleet_version(&self) -> u64 {
        self.fleet_version
    }

    /// A worker leaves, at once or when its values have been copied.
    pub(super) fn on_draining(&mut self, id: WorkerId, waits: bool) {
        if let Some(worker) = self.workers.get_mut(id) {
            worker.draining = true;
            worker.leaving = true;
        }
        if waits {
            self.help_to_leave(id);
        }
        self.touch(id);
        self.fleet_changed();
    }

    pub(super) fn on_worker_disconnected(&mut self, conn: ConnId, id: WorkerId) {
        let Some(worker) = self.workers.get_mut(id) else { return };
        if worker.conn != Some(conn) {
            return; // A newer stream has taken its place.
        }
        worker.conn = None;
        worker.heard = self.now;
        worker.outbox.close();
        self.fleet_changed();
        self.timers.insert((self.now + limits::WORKER_GRACE, Timer::Worker(id)));
        if self.workers.get(id).is_some_and(|worker| {
            worker.leaving && worker.sent.is_empty() && worker.actors.is_empty()
        }) {
            self.lose_worker(id, None, true);
        }
    }

    /// Looks whether a worker has been silent, or away, for too long. One whose stream is up is told, so that it comes anew.
    pub(super) fn on_worker_timer(&mut self, id: WorkerId, effects: &mut Vec<Effect>) {
        let Some(worker) = self.workers.get(id) else { return };
        let patience =
            if worker.conn.is_some() { limits::WORKER_LOST } else { limits::WORKER_GRACE };
        let due = worker.heard + patience;
        if due > self.now {
            self.timers.insert((due, Timer::Worker(id)));
            return;
        }
        if let Some(conn) = worker.conn {
            let message = format!("the worker was silent for {patience} and counts as lost");
            let refusal = Refusal::new(Reason::WorkerLost, message);
            effects.push(Effect::Disconnect { conn, refusal });
        }
        self.lose_worker(id, None, false);
    }

    /// Cuts a worker off that makes the scheduler keep more for it than there is room for. It can come back.
    pub(super) fn cut_off(&mut self, id: WorkerId, message: String, effects: &mut Vec<Effect>) {
        let Some(conn) = self.workers.get(id).and_then(|worker| worker.conn) else { return };
        effects.push(Effect::Disconnect { conn, refusal: Refusal::new(Reason::Busy, message) });
        self.on_worker_disconnected(conn, id);
    }
}

//! Workers that join, crash and come back.

use bireme_core::Resources;
use bireme_core::error::Exit;
use bireme_core::id::{AttemptId, WorkerId, WorkerLife, WorkerUid};
use bireme_core::object::ObjectId;
use bireme_core::protocol::{Announce, Held, Join, PreviousLife, Report};
use bireme_core::resources::UNITS;

use super::Run;
use crate::machine::view::WorkerView;
use crate::machine::{ConnId, Event};

impl Run {
    pub(super) fn join(&mut self, worker: u32, cpus: u32, others: &[&str]) {
        let functions = others.iter().filter_map(|name| name.strip_prefix("fn:"));
        let functions = functions.map(str::to_owned).collect();
        let runtimes = others.iter().filter_map(|name| name.strip_prefix("runtime:"));
        let runtimes = runtimes.map(str::to_owned).collect();
        let others = others.iter().filter(|name| !name.contains(':'));
        let others = others.map(|name| ((*name).to_owned(), UNITS));
        let join = Join {
            uid: WorkerUid(u128::from(worker)),
            life: WorkerLife(1),
            name: format!("w{worker}"),
            resources: Resources::new(u64::from(cpus) * UNITS, 0).with_others(others).unwrap(),
            labels: Vec::new(),
            addresses: Vec::new(),
            machine: String::new(),
            pid: 0,
            functions,
            runtimes,
            previous: None,
        };
        self.admit(worker, join);
    }

    /// A worker's daemon was killed while tasks were running, in the life that is believed in or so many before; its next
    /// life, which told so, is number `next`.
    pub(super) fn crash(&mut self, worker: u32, next: u32, started: &[&str], before: u128) {
        let find = |view: &WorkerView| view.id == WorkerId(worker);
        let join = self.machine.workers().find(find).expect("the worker is there").join;
        let mut started: Vec<AttemptId> =
            started.iter().map(|key| self.attempt(WorkerId(worker), key)).collect();
        started.sort_unstable();
        let exit = Exit { code: 0, signal: 11 };
        let life = WorkerLife(join.life.0.wrapping_sub(before));
        let previous = Some(PreviousLife { life, exit, started });
        let life = WorkerLife(join.life.0 + 1);
        self.admit(next, Join { life, previous, ..join });
    }

    /// A worker's stream is up again. `what` are keys: `=a` was made there and is held, `a` is held, `+a` runs,
    /// `-a` was given back.
    pub(super) fn come_back(&mut self, worker: u32, what: &[&str]) {
        let id = WorkerId(worker);
        let find = |view: &WorkerView| view.id == id;
        let join = self.machine.workers().find(find).expect("the worker is there").join;
        self.handle(Event::WorkerJoined { conn: ConnId(100 + u64::from(worker)), join });
        let mut announce = Announce { last: true, ..Announce::default() };
        for word in what {
            let key = word.trim_start_matches(['=', '+', '-']);
            let attempt = self.attempt(id, key);
            if word.starts_with('+') {
                announce.attempts.push((attempt, true));
            } else if word.starts_with('-') {
                announce.ended.push(Report::Retracted(attempt));
            } else {
                let made_by = word.starts_with('=').then_some(attempt.no);
                let object = ObjectId::output(attempt.task, 0);
                announce.objects.push(Held { object, size: 1 << 20, made_by });
            }
        }
        announce.sort();
        let digest = |announce: &Announce| {
            let mut all = Vec::new();
            announce.fold_digest(&mut |bytes| all.extend_from_slice(bytes));
            all
        };
        let believed = self.machine.believed(id).expect("an announcement is awaited");
        self.equal = digest(&believed) == digest(&announce);
        self.handle(Event::WorkerAnnounced { worker: id, announce });
    }

    /// Lets a worker in that is about to have this number, and has it announce nothing.
    fn admit(&mut self, worker: u32, join: Join) {
        self.handle(Event::WorkerJoined { conn: ConnId(100 + u64::from(worker)), join });
        let announce = Announce { last: true, ..Announce::default() };
        self.handle(Event::WorkerAnnounced { worker: WorkerId(worker), announce });
        // Heartbeats are not what these scripts are about.
        self.handle(Event::WorkerBeat {
            worker: WorkerId(worker),
            heartbeat: bireme_core::protocol::Heartbeat::default(),
            actors: Vec::new(),
        });
    }
}

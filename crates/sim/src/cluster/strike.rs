//! Lets faults happen.

use bireme_core::Span;
use bireme_core::Time;
use bireme_core::id::{WorkerId, WorkerLife, WorkerUid};
use bireme_core::protocol::Join;

use super::{Cluster, Stage};
use crate::client::Client;
use crate::faults::Fault;
use crate::worker::Worker;
use crate::world::{Item, LifeId, Side, Up, World};

impl Cluster {
    /// The fault with this number happens, unless the work is done.
    pub(super) fn strike(&mut self, number: usize) {
        let Some((_, fault)) = self.faults.get(number).copied() else { return };
        if self.stage == Stage::Closing {
            return;
        }
        let now = self.world.now();
        self.world.coverage.saw(&fault);
        self.world.trace.line(now, || format!("fault {fault:?}"));
        match fault {
            Fault::Crash { worker, back } => self.crash(worker, back),
            Fault::CutWorker { worker, away } => self.with_place(worker, |worker, world| {
                worker.away = now + away;
                worker.conn.into_iter().for_each(|conn| world.sever(conn));
            }),
            Fault::CutSession { session, away } => self.with_client(session, |client, world| {
                client.away = now + away;
                client.conn.into_iter().for_each(|conn| world.sever(conn));
            }),
            Fault::CrashSession { session, away } => self.with_client(session, |client, world| {
                client.away = now + away;
                client.conn.into_iter().for_each(|conn| world.sever(conn));
                client.forget_what_was_heard();
            }),
            Fault::TakeOver { session, away } => self.with_client(session, |client, world| {
                client.away = now + away;
                client.conn.into_iter().for_each(|conn| world.hang(conn));
                client.forget_what_was_heard();
                client.come_by_name();
            }),
            Fault::Drain { worker, .. } => self.with_place(worker, Worker::drain),
            Fault::Dismiss { worker, deadline } => {
                if let Some(id) = self.id_at(worker) {
                    self.scheduler.drain(&mut self.world, number, id, deadline);
                }
            }
            Fault::Stop { worker, grace } => {
                if let Some(id) = self.id_at(worker) {
                    self.scheduler.stop(&mut self.world, number, id, grace);
                }
            }
            Fault::Cut { worker } => self.with_place(worker, Worker::cut_some),
            Fault::Fill { worker, span } => {
                self.with_place(worker, |worker, world| worker.fill(world, span));
            }
            Fault::Lose { worker } => self.with_place(worker, Worker::lose_some),
            Fault::Restart { away } => self.restart(now + away),
            Fault::Abandon { session } => self.abandon(session),
            Fault::Isolate { worker, span } => {
                self.world.isolated.insert(worker, now + span);
            }
            Fault::Impostor { worker } => self.send_impostor(worker),
            Fault::Pause { worker, span } => {
                self.with_place(worker, |worker, world| worker.crowd(world, span));
            }
            Fault::StallWorker { worker, span } => self.with_place(worker, |worker, world| {
                worker.conn.into_iter().for_each(|conn| world.network.stall(conn, now + span));
            }),
            Fault::StallSession { session, span } => self.with_client(session, |client, world| {
                client.conn.into_iter().for_each(|conn| world.network.stall(conn, now + span));
            }),
        }
    }

    fn with_place(&mut self, place: usize, act: impl FnOnce(&mut Worker, &mut World)) {
        if let Some(me) = self.workers.get(place).and_then(Option::as_ref).map(|worker| worker.me) {
            self.with(me, act);
        }
    }

    fn with_client(&mut self, place: usize, act: impl FnOnce(&mut Client, &mut World)) {
        if let Some(client) = self.clients.get_mut(place) {
            act(client, &mut self.world);
        }
    }

    /// A worker's daemon dies, to come back after some time.
    fn crash(&mut self, worker: usize, back: Span) {
        let Some(life) = self.workers.get_mut(worker).and_then(Option::take) else { return };
        // Sometimes the whole machine goes, and its supervisor with it.
        let is_seen = self.world.rng.chance(60);
        if let Some(previous) = self.previous.get_mut(worker) {
            *previous = is_seen.then(|| life.killed());
        }
        life.conn.into_iter().for_each(|conn| self.world.sever(conn));
        self.world.agenda.after(back, Item::Begin(worker));
    }

    /// The number that the scheduler has given a worker, while that is connected.
    fn id_at(&self, place: usize) -> Option<WorkerId> {
        self.workers.get(place)?.as_ref()?.id()
    }

    /// The scheduler dies, and listens again from a time on. Graphs die with it: clients begin them anew when they hear that
    /// their session is a new one.
    fn restart(&mut self, back: Time) {
        self.world.network.all().into_iter().for_each(|conn| self.world.reset(conn));
        self.world.accepted.clear();
        // Only a session that is alone can be given the number that it had. Then ids name what they named before, and
        // attempts of the old life differ from those of the new one by their epoch alone.
        let reuses_numbers = self.clients.len() == 1;
        self.scheduler.restart(reuses_numbers, back);
    }

    /// A session's client is never heard of again, unless other sessions build upon what it has.
    fn abandon(&mut self, session: usize) {
        let mut graphs = self.world.load.sessions.iter().flat_map(|plan| &plan.graphs);
        let others =
            graphs.any(|graph| graph.externals.iter().any(|external| external.session == session));
        if let Some(client) = self.clients.get_mut(session).filter(|_| !others) {
            client.conn.into_iter().for_each(|conn| self.world.sever(conn));
            client.vanish();
        }
    }

    /// Somebody joins under the name of a worker, and is never heard of again.
    fn send_impostor(&mut self, worker: usize) {
        let Some(plan) = self.world.load.workers.get(worker) else { return };
        let join = Join {
            uid: WorkerUid(u128::MAX),
            life: WorkerLife(1),
            name: plan.name.clone(),
            resources: plan.resources.clone(),
            labels: Vec::new(),
            addresses: Vec::new(),
            machine: String::new(),
            pid: 1,
            functions: Vec::new(),
            runtimes: Vec::new(),
            previous: None,
        };
        let nobody = Side::Worker(LifeId { worker, life: 0 });
        let conn = self.world.network.open(&mut self.world.rng, nobody);
        self.world.send_up(conn, Up::Join(Box::new(join)));
    }
}

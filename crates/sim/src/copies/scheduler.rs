//! The scheduler, which is the real one: what it is told, what it orders, and who hears of that when.

use bireme_core::actor::place::ActorReport;
use bireme_core::actor::{ActorSpec, Delivery, Durability, OnSchedulerLoss};
use bireme_core::graph::Runtime;
use bireme_core::id::{Incarnation, SubmissionId, WorkerId, WorkerLife};
use bireme_core::protocol::{Announce, Heartbeat, Held, Join, Order, Report};
use bireme_core::session::Owner;
use bireme_core::{Resources, Span, limits};
use bireme_scheduler::machine::actor::{ActorRequest, Asker};
use bireme_scheduler::machine::{ConnId, Effect, Event, Peer};

use super::{ACTOR, Item, Life, Node, WORKERS, World};

impl World {
    pub(super) fn handle(&mut self, event: Event) {
        let (now, mut effects) = (self.agenda.now(), Vec::new());
        self.machine.handle(now, event, &mut effects);
        assert_eq!(self.machine.check(), Ok(()));
        for effect in effects {
            if let Effect::Disconnect { conn, .. } = effect {
                self.lose_conn(conn);
            }
        }
        self.send_orders();
        if let Some(due) = self.machine.next_timer()
            && self.timer.is_none_or(|timer| due < timer)
        {
            self.timer = Some(due);
            self.agenda.at(due, Item::Timer);
        }
    }

    fn send_orders(&mut self) {
        for at in 0..WORKERS {
            let Some((conn, worker)) = self.nodes[at].conn else { continue };
            let mut orders = Vec::new();
            while self.machine.take_orders(worker, 1 << 20, &mut orders) {}
            for order in orders {
                match order {
                    Order::Actor(order) => {
                        let now = self.agenda.now() + self.rng.span(50, 20_000);
                        let node = &mut self.nodes[at];
                        node.heard = node.heard.max(now);
                        self.agenda.at(node.heard, Item::Heard(conn, Box::new(order)));
                    }
                    Order::Release(object) => drop(self.nodes[at].values.remove(&object)),
                    _ => {}
                }
            }
        }
    }

    /// A worker tells the scheduler something, if it reaches it.
    pub(super) fn tell(&mut self, at: usize, report: ActorReport) {
        let now = self.agenda.now() + self.rng.span(50, 20_000);
        let node = &mut self.nodes[at];
        self.trace.line(self.agenda.now(), || format!("worker {at}: {report:?}"));
        let Some((conn, _)) = node.conn else { return };
        node.reported = node.reported.max(now);
        let report = Box::new(Report::Actor(report));
        self.agenda.at(node.reported, Item::Reported(conn, report));
    }

    pub(super) fn on_reported(&mut self, conn: ConnId, report: Report) {
        let find = |node: &&Node| node.conn.is_some_and(|(own, _)| own == conn);
        let Some((_, worker)) = self.nodes.iter().find(find).and_then(|node| node.conn) else {
            return;
        };
        match &report {
            Report::Actor(ActorReport::Alive(hosted)) => {
                self.come_to_know(worker, hosted.incarnation);
            }
            Report::Actor(ActorReport::Copied { told, .. }) => {
                for at in 0..WORKERS {
                    self.nodes[at].has_failed &= !told.in_sync.contains(&self.nodes[at].uid);
                }
            }
            _ => {}
        }
        self.handle(Event::WorkerReported { worker, report });
    }

    /// The scheduler knows that an incarnation takes calls, and tells callers where, who may go on to call there.
    fn come_to_know(&mut self, worker: WorkerId, incarnation: Incarnation) {
        let place = self.machine.actor_place(ACTOR);
        let is_it =
            place.is_some_and(|it| it.worker == Some(worker) && it.incarnation == incarnation);
        let find = |node: &Node| node.conn.is_some_and(|(_, own)| own == worker);
        if is_it && let Some(at) = self.nodes.iter().position(find) {
            self.nodes[at].has_failed = false;
            self.known.insert((at, self.nodes[at].start));
        }
    }

    pub(super) fn create(&mut self) {
        let mut spec = ActorSpec::new("C", Runtime::Native, "payload");
        (spec.detached, spec.delivery) = (true, Delivery::EffectivelyOnce);
        spec.on_scheduler_loss = OnSchedulerLoss::Stop;
        spec.peers = self.rng.small(1, 2);
        (spec.restart.max_restarts, spec.restart.backoff) = (None, Span::ZERO);
        spec.durability = if self.synced { Durability::Disk } else { Durability::Process };
        let spec = Box::new(spec);
        self.ask(ActorRequest::Create { actor: ACTOR, spec, get_if_exists: false });
    }

    pub(super) fn ask(&mut self, request: ActorRequest) {
        self.last += 1;
        let submission = SubmissionId(self.last.into());
        let asker = Asker { session: None, owner: Owner { key: 0, is_admin: true } };
        self.handle(Event::ActorAsked { submission, asker, request });
    }

    /// A worker's stream is up, anew or again.
    pub(super) fn connect(&mut self, at: usize) {
        let node = &self.nodes[at];
        if !node.up || node.conn.is_some() {
            return;
        }
        self.last += 1;
        let (conn, uid) = (ConnId(self.last), node.uid);
        let join = Join {
            uid,
            life: WorkerLife(node.start.into()),
            name: format!("w{uid}"),
            resources: Resources::new(0, 0),
            labels: Vec::new(),
            addresses: Vec::new(),
            machine: format!("m{at}, started {} times", node.boot),
            pid: 0,
            functions: vec!["actor:C".to_owned()],
            runtimes: Vec::new(),
            previous: None,
        };
        self.handle(Event::WorkerJoined { conn, join });
        let find = self.machine.workers().find(|view| view.join.uid == uid);
        let Some(worker) = find.map(|view| view.id) else { return };
        let node = &mut self.nodes[at];
        let now = self.agenda.now();
        (node.conn, node.heard, node.reported) = (Some((conn, worker)), now, now);
        let hosted = node.life.as_ref().map(Life::hosted);
        let size = |calls: &Vec<u64>| (calls.len() as u64).max(1);
        let objects = node.values.iter().map(|(object, calls)| Held {
            object: *object,
            size: size(calls),
            made_by: None,
        });
        let mut announce = Announce {
            actors: hosted.into_iter().collect(),
            ended: node.ended.iter().cloned().map(Report::Actor).collect(),
            objects: objects.collect(),
            last: true,
            ..Announce::default()
        };
        announce.sort();
        if let Some(alive) = hosted.filter(|hosted| hosted.alive) {
            self.handle(Event::WorkerAnnounced { worker, announce });
            return self.come_to_know(worker, alive.incarnation);
        }
        self.handle(Event::WorkerAnnounced { worker, announce });
    }

    fn lose_conn(&mut self, conn: ConnId) {
        let lost = |node: &Node| node.conn.is_some_and(|(own, _)| own == conn);
        if let Some(at) = self.nodes.iter().position(lost) {
            self.nodes[at].conn = None;
            self.agenda.after(Span::millis(100), Item::Connect(at));
        }
    }

    /// A worker loses sight of the scheduler for some time.
    pub(super) fn disconnect(&mut self, at: usize, span: Span) {
        self.agenda.after(span, Item::Connect(at));
        if let Some((conn, worker)) = self.nodes[at].conn.take() {
            self.handle(Event::Disconnected { conn, peer: Peer::Worker(worker) });
        }
    }

    pub(super) fn beat(&mut self) {
        self.agenda.after(limits::HEARTBEAT, Item::Beat);
        let up: Vec<WorkerId> = self.nodes.iter().filter_map(|node| Some(node.conn?.1)).collect();
        for worker in up {
            let (heartbeat, actors) = (Heartbeat::default(), Vec::new());
            self.handle(Event::WorkerBeat { worker, heartbeat, actors });
        }
    }
}

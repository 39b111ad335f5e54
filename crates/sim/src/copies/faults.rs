//! What goes wrong, as long as somebody in step still has everything.

use std::collections::BTreeSet;

use bireme_core::Span;
use bireme_core::actor::place::EndKind;
use bireme_core::id::{Incarnation, WorkerUid};
use bireme_scheduler::machine::actor::ActorRequest;

use super::disk::Disk;
use super::{ACTOR, Item, Node, WORKERS, World};
use crate::rng::Rng;

/// Something that goes wrong, or that somebody wants.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fault {
    /// A worker does not hear the scheduler.
    Away(usize),
    /// Two workers do not hear each other.
    Cut(usize, usize),
    /// A daemon dies, and is started again.
    Daemon(usize),
    /// A worker is lost with its disk, and another takes its place.
    Disk(usize),
    /// Somebody has the actor move.
    Move,
    /// A machine is started anew.
    Power(usize),
    /// The actor's process dies.
    Process(usize),
    /// What a worker has kept cannot be read.
    Unreadable(usize),
}

impl Fault {
    pub(super) fn draw(rng: &mut Rng) -> Self {
        let (one, step) = (rng.place(WORKERS), rng.place(WORKERS - 1) + 1);
        match rng.below(12) {
            0..3 => Self::Away(one),
            3..5 => Self::Cut(one, (one + step) % WORKERS),
            5..7 => Self::Daemon(one),
            7 => Self::Disk(one),
            8 => Self::Move,
            9 => Self::Power(one),
            10 => Self::Process(one),
            _ => Self::Unreadable(one),
        }
    }
}

impl World {
    pub(super) fn go_wrong(&mut self, fault: Fault) {
        let (now, span) = (self.agenda.now(), self.rng.span(10_000, 20_000_000));
        match fault {
            Fault::Disk(at) | Fault::Power(at) | Fault::Unreadable(at) if !self.may_lose(at) => {
                return;
            }
            _ => self.trace.line(now, || format!("{fault:?} for {} us", span.0)),
        }
        match fault {
            Fault::Away(at) => self.disconnect(at, span),
            Fault::Cut(one, other) => {
                self.cuts.insert((one.min(other), one.max(other)), now + span);
            }
            Fault::Daemon(at) => self.die(at, span),
            Fault::Disk(at) => {
                self.die(at, span);
                self.last += 1;
                let node = &mut self.nodes[at];
                (node.disk, node.uid) = (Disk::default(), WorkerUid(1_000 + u128::from(self.last)));
                node.was.push(node.uid);
                node.settled = Incarnation(0);
            }
            Fault::Move => {
                let (to, quiesce, lose_state) = (None, None, false);
                self.ask(ActorRequest::Move { actor: ACTOR, to, quiesce, lose_state });
            }
            Fault::Power(at) => {
                self.die(at, span);
                let mut rng = self.rng.fork();
                let node = &mut self.nodes[at];
                node.boot += 1;
                node.disk.lose_power(|unsynced| rng.place(unsynced + 1));
            }
            Fault::Process(at) => {
                if self.nodes[at].life.as_ref().is_some_and(|life| life.order.is_none()) {
                    self.end(at, EndKind::Crashed, None);
                }
            }
            Fault::Unreadable(at) => {
                self.die(at, span);
                self.nodes[at].disk = Disk::default();
            }
        }
    }

    /// A daemon dies with all that it has in memory.
    fn die(&mut self, at: usize, span: Span) {
        self.disconnect(at, span);
        let node = &mut self.nodes[at];
        node.start += 1;
        (node.up, node.open, node.life, node.ended) = (false, None, None, None);
        node.values.clear();
        self.agenda.after(span, Item::Back(at));
    }

    /// A daemon is up again, unless it has died once more meanwhile.
    pub(super) fn come_back(&mut self, at: usize) {
        self.nodes[at].up = true;
        self.connect(at);
    }

    /// Whether all that anybody was answered is in step elsewhere, where an incarnation could begin with it.
    fn may_lose(&self, at: usize) -> bool {
        let Some(view) = self.machine.actor(ACTOR) else { return true };
        if self.newest.0 == Incarnation(0) && view.place.worker.is_none() {
            return true;
        }
        let has_all = |node: &Node| {
            let past = node.disk.past().filter(|past| self.synced || !past.is_doubtful);
            let calls = past.map(|past| past.calls.iter().copied().collect());
            calls.is_some_and(|calls: BTreeSet<u64>| self.answered.is_subset(&calls))
        };
        self.nodes.iter().enumerate().any(|(other, node)| {
            let is_host = node.conn.is_some_and(|(_, worker)| view.place.worker == Some(worker))
                && node.life.as_ref().is_some_and(|life| life.is_alive);
            let is_in_step = node.conn.is_some() && view.copies.contains(&format!("w{}", node.uid));
            other != at && (is_host || is_in_step && !node.has_failed) && has_all(node)
        })
    }
}

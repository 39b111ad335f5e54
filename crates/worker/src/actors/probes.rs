//! What processes are asked where calls may wait for each other.

use bireme_core::actor::host::{Event, RunNo};
use bireme_core::actor::probe::Probe;
use bireme_core::id::ActorId;
use bireme_proto::pb::executor_order::{ActorProbe, ActorTakeBack, Order};

use super::Turn;

impl Turn<'_> {
    /// Has a process pass a probe on, if the call that runs waits for one of its own.
    pub(super) fn probe(&mut self, actor: ActorId, run: RunNo, probe: Probe) {
        let (actor_id, probe) = (Some(actor.into()), Some(probe.into()));
        let order = ActorProbe { actor: actor_id, call: run.0, probe };
        self.say_to_process(actor, Order::ActorProbe(order));
    }

    /// Asks a process for a call that it may not have begun.
    pub(super) fn take_back(&mut self, actor: ActorId, run: RunNo) {
        let order = ActorTakeBack { actor: Some(actor.into()), call: run.0 };
        self.say_to_process(actor, Order::ActorTakeBack(order));
    }

    /// A process has given a call back.
    pub(super) fn taken_back(&mut self, actor: ActorId, run: u64) {
        let Some(entry) = self.table.entries.get_mut(&actor) else { return };
        entry.stops.remove(&run);
        let Some(running) = entry.runs.remove(run).filter(|_| entry.over.is_none()) else {
            return;
        };
        entry.tickets.remove(&running.ticket);
        self.feed(actor, Event::TakenBack(RunNo(run)));
    }
}

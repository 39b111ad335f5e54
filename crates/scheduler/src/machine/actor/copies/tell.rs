//! What the host of an actor is told of its copies.

use bireme_core::actor::copies::{CopyPlace, CopyPlaces};
use bireme_core::actor::place::ActorOrder;
use bireme_core::id::ActorId;
use bireme_core::protocol::Order;

use super::Machine;
use crate::machine::actor::record::Phase;

impl Machine {
    /// Where copies of an actor are kept, as its host is told; from here on it knows.
    pub(in super::super) fn copy_places(&mut self, id: ActorId) -> CopyPlaces {
        let Some(actor) = self.actors.get_mut(id) else { return CopyPlaces::default() };
        let unheard = actor.copies.is_awaited && !actor.is_alive();
        actor.copies.told = true;
        actor.copies.struck_off.clear();
        let (version, listed) = (actor.copies.version, actor.copies.listed.clone());
        let members = listed.into_iter().map(|worker| {
            let known = self.worker_with(worker).and_then(|worker| self.workers.get(worker));
            let addresses = known.map(|known| known.join.addresses.clone()).unwrap_or_default();
            CopyPlace { worker, addresses }
        });
        CopyPlaces { version, members: members.collect(), unheard }
    }

    /// Appends where copies are kept and whether the host of an actor was heard of, if it does not know.
    pub(in super::super) fn tell_copies(&mut self, id: ActorId, out: &mut Vec<Order>) -> usize {
        const MEMBER_BYTES: usize = 128;
        let Some(actor) = self.actors.get(id) else { return 0 };
        let has_host = matches!(actor.phase, Phase::Starting { told: true, .. } | Phase::Alive(_));
        let has_copies = actor.spec.peers > 0 || actor.copies.is_awaited;
        if !has_copies || actor.copies.told || !has_host {
            return 0;
        }
        let (incarnation, copies) = (actor.incarnation, self.copy_places(id));
        let size = MEMBER_BYTES * (copies.members.len() + 1);
        out.push(Order::Actor(ActorOrder::Copy { actor: id, incarnation, copies }));
        size
    }
}

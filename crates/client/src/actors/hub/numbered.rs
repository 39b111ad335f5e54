//! Calls of an actor with a call log, numbered so that its log, played again, makes the same calls.

use std::collections::BTreeMap;
use std::sync::Arc;

use bireme_core::actor::call::{CallerId, Who};
use bireme_core::actor::caller::{Config, Event};
use bireme_core::actor::place::ActorPlace;
use bireme_core::id::{ActorId, ClusterId};
use bireme_core::limits;
use tokio::sync::Notify;

use super::{Hub, State};
use crate::peers::Peers;
use crate::session::lock;

/// How such calls are numbered.
#[derive(Debug)]
pub(crate) struct Numbering {
    /// The same in all incarnations of the actor.
    pub(crate) life: u64,
    /// The number of the first call to each actor that was called before.
    pub(crate) first: BTreeMap<ActorId, u64>,
    /// Told whenever a call ends.
    pub(super) ended: Notify,
}

impl Numbering {
    pub(crate) fn new(life: u64, first: BTreeMap<ActorId, u64>) -> Self {
        Self { life, first, ended: Notify::new() }
    }

    pub(super) fn config(
        &self,
        who: Who,
        actor: ActorId,
        place: Option<Box<ActorPlace>>,
    ) -> Config {
        let me = CallerId { who, life: self.life };
        let first = self.first.get(&actor).copied().unwrap_or(1);
        Config { place, first, keeps: true, ..Config::new(me, actor) }
    }
}

impl Hub {
    /// The calls of an actor, which are numbered by what it has called before. They outlive the session.
    pub(crate) fn numbered(
        me: ActorId,
        cluster: Option<ClusterId>,
        peers: Arc<Peers>,
        numbering: Numbering,
    ) -> Arc<Self> {
        Self::start(None, Who::Actor(me), cluster, peers, Some(numbering))
    }

    /// Whether the calls are made again, with the same numbers, after this process.
    pub(crate) fn is_numbered(&self) -> bool {
        self.numbering.is_some()
    }

    /// The actors that were called, with the number of the next call to each.
    pub(crate) fn callees(&self) -> BTreeMap<ActorId, u64> {
        let mut callees = self.numbering.as_ref().map(|own| own.first.clone()).unwrap_or_default();
        let state = lock(&self.state);
        callees.extend(state.talks.iter().map(|(actor, talk)| (*actor, talk.caller.next_seq())));
        callees
    }

    /// What was made of the replies to the calls before these is kept.
    pub(crate) fn kept(self: &Arc<Self>, callees: impl Iterator<Item = (ActorId, u64)>) {
        let mut state = lock(&self.state);
        for (actor, next_seq) in callees {
            self.tell(&mut state, actor, Event::Kept { next_seq });
        }
    }

    /// Whether other actors keep many replies until this one has a checkpoint.
    pub(crate) fn is_owed_much(&self) -> bool {
        let state = lock(&self.state);
        state.talks.values().any(|talk| talk.caller.unacknowledged() >= limits::OWN_CALLS_KEPT)
    }

    /// Waits until every call that was made has ended.
    pub(crate) async fn settled(&self) {
        let Some(numbering) = &self.numbering else { return };
        loop {
            let ended = numbering.ended.notified();
            tokio::pin!(ended);
            // From here on no word of an end is missed.
            ended.as_mut().enable();
            if lock(&self.state).is_settled() {
                return;
            }
            ended.await;
        }
    }
}

impl State {
    fn is_settled(&self) -> bool {
        self.talks.values().all(|talk| talk.caller.pending() == 0)
    }
}

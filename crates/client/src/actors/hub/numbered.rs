//! Calls of an actor with a call log, numbered so that its log, played again, makes the same calls.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use bireme_core::actor::call::{CallerId, Who};
use bireme_core::actor::caller::{Caller, Config, Event};
use bireme_core::actor::place::ActorPlace;
use bireme_core::actor::wire::ToHost;
use bireme_core::id::{ActorId, ClusterId, WorkerId};
use bireme_core::limits;
use bireme_proto::convert::actor::said;
use tokio::sync::Notify;

use super::{Hub, Line, State, Talk};
use crate::peers::Peers;
use crate::session::lock;

/// How such calls are numbered.
#[derive(Debug)]
pub(crate) struct Numbering {
    numbers: Mutex<Numbers>,
    /// Told whenever a call ends.
    pub(super) ended: Notify,
}

/// From where on calls are numbered.
#[derive(Debug)]
struct Numbers {
    /// The same whenever the same calls are made again.
    life: u64,
    /// The number of the first call to each actor that was called before in this life.
    first: BTreeMap<ActorId, u64>,
}

/// A conversation of a life that is over. Its host keeps the replies until a checkpoint is kept that needs them no more.
#[derive(Debug)]
pub(super) struct Retired {
    worker: WorkerId,
    /// The line to there.
    n: u64,
    /// Its number on the line.
    open: u32,
}

impl Numbering {
    pub(crate) fn new(life: u64, first: BTreeMap<ActorId, u64>) -> Self {
        Self { numbers: Mutex::new(Numbers { life, first }), ended: Notify::new() }
    }

    pub(super) fn config(
        &self,
        who: Who,
        actor: ActorId,
        place: Option<Box<ActorPlace>>,
    ) -> Config {
        let numbers = lock(&self.numbers);
        let me = CallerId { who, life: numbers.life };
        let first = numbers.first.get(&actor).copied().unwrap_or(1);
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
        let state = lock(&self.state);
        let first = |own: &Numbering| lock(&own.numbers).first.clone();
        let mut callees = self.numbering.as_ref().map(first).unwrap_or_default();
        callees.extend(state.talks.iter().map(|(actor, talk)| (*actor, talk.caller.next_seq())));
        callees
    }

    /// What was made of the replies to the calls before these is kept.
    pub(crate) fn kept(self: &Arc<Self>, callees: impl Iterator<Item = (ActorId, u64)>) {
        let mut state = self.turn();
        for (actor, next_seq) in callees {
            self.tell(&mut state, actor, Event::Kept { next_seq });
        }
        state.dismiss();
    }

    /// Numbers the calls from here on anew, as those of another life of the caller. None may be without an end. What was
    /// called before goes on being held to its replies, which a replay may need.
    pub(crate) fn renew(&self, life: u64) {
        let Some(numbering) = &self.numbering else { return };
        let mut state = lock(&self.state);
        *lock(&numbering.numbers) = Numbers { life, first: BTreeMap::new() };
        for actor in state.talks.keys().copied().collect::<Vec<_>>() {
            state.retire(actor, |place| Caller::new(numbering.config(self.who, actor, place)));
        }
    }

    /// Whether other actors keep many replies until this one has a checkpoint.
    pub(crate) fn is_owed_much(&self) -> bool {
        let state = lock(&self.state);
        state.talks.values().any(|Talk { caller, .. }| {
            caller.unacknowledged() >= limits::OWN_CALLS_KEPT
                || caller.unacknowledged_bytes() >= limits::OWN_CALLS_KEPT_BYTES
        })
    }

    /// Calls to an actor to whose replies it is held.
    #[cfg(test)]
    pub(crate) fn unacknowledged(&self, actor: ActorId) -> Option<u64> {
        lock(&self.state).talks.get(&actor).map(|talk| talk.caller.unacknowledged())
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

    /// Has another caller speak to an actor from here on.
    fn retire(
        &mut self,
        actor: ActorId,
        successor: impl FnOnce(Option<Box<ActorPlace>>) -> Caller,
    ) {
        let Some(talk) = self.talks.get_mut(&actor) else { return };
        talk.caller = successor(talk.caller.place().cloned().map(Box::new));
        talk.waiting.clear();
        talk.room.notify_waiters();
        if let Some(at) = talk.alarm.take() {
            self.alarms.remove(&(at, actor));
        }
        let (open, worker) = (std::mem::take(&mut talk.open), talk.worker);
        let is_there = |line: &&Line| line.opens.get(&open) == Some(&actor);
        if let Some(worker) = worker
            && let Some(line) = self.lines.get(&worker).filter(is_there)
        {
            self.retired.push(Retired { worker, n: line.n, open });
        }
    }

    /// Tells those who were called in lives that are over to forget them.
    fn dismiss(&mut self) {
        for Retired { worker, n, open } in std::mem::take(&mut self.retired) {
            let Some(line) = self.line(worker, n) else { continue };
            line.outbox.push(said::say(open, ToHost::Close { forget: true }));
            line.opens.remove(&open);
        }
    }
}

//! What people see of actors, and what the scheduler is told of their counters.

use std::sync::Arc;

use bireme_core::actor::host::Status;
use bireme_core::actor::place::Beat;
use bireme_core::actor::{Isolation, Selector};
use bireme_core::id::ActorId;
use bireme_proto::pb;

use super::{Actors, Shared, Turn};

impl Actors {
    /// The counters of actors with which something has happened since this was last asked.
    pub(crate) fn beats(&self) -> Vec<Beat> {
        self.shared.turn().beats()
    }
}

impl Shared {
    /// What its host sees of an actor; nothing if it is not here.
    pub(crate) fn describe(self: &Arc<Self>, selector: &Selector) -> Option<pb::ActorStatus> {
        let turn = self.turn();
        let actor = turn.find(selector)?;
        turn.describe(actor)
    }
}

impl Shared {
    /// The process that an actor lives in with others, if it does.
    pub(crate) fn shared_process_of(self: &Arc<Self>, actor: ActorId) -> Option<u64> {
        let turn = self.turn();
        let entry = turn.table.entries.get(&actor)?;
        entry.process.filter(|_| entry.spec.isolation == Isolation::Shared)
    }
}

impl Turn<'_> {
    fn beats(&mut self) -> Vec<Beat> {
        let counted = std::mem::take(&mut self.table.counted);
        let beats = counted.into_iter().filter_map(|actor| {
            let entry = self.table.entries.get(&actor)?;
            let mut statistics = entry.host.as_ref()?.statistics(self.now);
            statistics.log_bytes = entry.log.as_ref().map_or(0, super::log::Log::bytes);
            Some((actor, entry.hosting.incarnation, statistics))
        });
        beats.collect()
    }

    fn describe(&self, actor: ActorId) -> Option<pb::ActorStatus> {
        let entry = self.table.entries.get(&actor)?;
        let host = entry.host.as_ref()?;
        let Status { state, incarnation, age, lanes, running, callers, replies } =
            host.status(self.now);
        let names: Vec<_> = lanes.iter().map(|lane| lane.name.clone()).collect();
        let mut statistics = host.statistics(self.now);
        statistics.log_bytes = entry.log.as_ref().map_or(0, super::log::Log::bytes);
        let lease = match self.table.unheard {
            Some(since) => (since + entry.spec.lease).since(self.now),
            None => entry.spec.lease,
        };
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let lanes = lanes.into_iter().map(|lane| pb::LaneStatus {
            name: lane.name,
            waiting: count(lane.waiting),
            oldest_us: lane.oldest.0,
            running: count(lane.running),
        });
        let running = running.into_iter().map(|call| pb::RunningCall {
            call: Some(call.id.into()),
            method: call.method,
            lane: names.get(call.lane).cloned().unwrap_or_default(),
            run_us: call.run.0,
            stack: String::new(),
        });
        Some(pb::ActorStatus {
            actor: Some(actor.into()),
            incarnation: incarnation.0,
            state: pb::ActorState::from(state).into(),
            age_us: age.0,
            lease_us: lease.0,
            lanes: lanes.collect(),
            running: running.collect(),
            callers: count(callers),
            replies: replies as u64,
            statistics: Some((actor, incarnation, statistics).into()),
            pid: entry.process.and_then(|number| self.table.crew.pid(number)).unwrap_or(0),
        })
    }
}

//! Probes: how calls that wait for each other are found, though each is known to another host.
//!
//! A call that waits in a lane which runs one call at a time waits for the call that runs there; a call that runs waits for
//! another where its code does nothing but that, without a limit of time. So each waits for at most one, and a deadlock is a
//! circle. What an edge starts from is known where it starts, to the host of a lane or to the process of an actor, and nobody
//! knows them all: a probe goes along them (Chandy, Misra and Haas, 1983).
//!
//! - Where a call has waited for [`DEADLOCK_PROBE_AFTER`](crate::limits::DEADLOCK_PROBE_AFTER) behind one that runs, the host
//!   sends a probe after the call that runs, to the process. It does so again for as long as one waits.
//! - A process that knows the running call to wait for another passes the probe on to the host of that one, over the stream of
//!   the caller. It drops it where the code computes, waits with a time limit, for several things, or in a thread of its own.
//! - A host adds what holds up the call that the probe came for, and sends it after that. It drops it where the lane runs
//!   several calls at a time, as any of them might end, and where the probe has been already.
//! - A probe that comes back to the call that it was sent after has gone round in a circle. The call that it came back by waits
//!   behind that one, has not begun, and ends as a deadlock.
//!
//! **One of a circle ends.** A host drops a probe of a running call that is less than its own, in the order of
//! [`CallId`]s. All calls of a circle that hold up a lane send probes after a while, so that of the greatest, and no other,
//! goes round. Nothing is kept anywhere but by the host that sent it.
//!
//! **None ends without a circle.** A probe looks at one edge after the other, and an edge may go before the last is seen: because
//! a call is cancelled, its time is up, a process dies. (It cannot go because its call ended of itself, which waits.) So the
//! probe is sent round a second time, after it has come back, and all edges must be those of the first time: the same call,
//! run with the same number in the same incarnation, and in the same one of the waits that its process counts. A run and a wait
//! that are over never come back, and a call that waits in a lane for one that runs waits until that has ended. Hence an edge
//! that was there both times was there all the time between, and at the moment at which the first round ended and the
//! second had not begun all of them were: each call waited for the next, and none could have ended without help from outside.
//! Such help, a cancellation while the second round is under way, comes too late for the call that ends; it ended because it
//! did wait for itself. What nobody can see, because a host is fenced or a stream is down, makes no edge.

use crate::actor::call::CallId;
use crate::id::Incarnation;
use crate::limits;

/// What looks for a circle of calls.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Probe {
    /// As the host numbered it that sent it out.
    pub number: u64,
    /// Its way so far; at most [`limits::CALL_CHAIN`].
    pub steps: Vec<Step>,
}

/// A call that runs, and the call that waits for it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Step {
    /// The call that waits: behind `runs` in its lane, or it is `runs`. `None` in the first step.
    pub waits: Option<CallId>,
    /// Name of its method.
    pub waits_method: String,
    /// The call that runs.
    pub runs: CallId,
    /// Name of its method.
    pub runs_method: String,
    /// Name of the actor's class.
    pub class_name: String,
    /// The actor's incarnation.
    pub incarnation: Incarnation,
    /// The host's number for the call that runs, in this incarnation.
    pub run: u64,
    /// Which of its waits the call that runs is in; 0 while that is not known.
    pub wait: u64,
}

impl Step {
    /// Whether both stand for the same call, waiting in the same place for the same run in the same wait.
    fn is_same(&self, other: &Self) -> bool {
        let edge = |step: &Self| (step.waits, step.runs, step.incarnation, step.run, step.wait);
        edge(self) == edge(other)
    }
}

impl Probe {
    /// The same probe, once the process knows in which of its waits the last of its calls is.
    #[must_use]
    pub fn in_wait(mut self, wait: u64) -> Self {
        if let Some(last) = self.steps.last_mut() {
            last.wait = wait;
        }
        self
    }

    /// Whether another has gone the same way, and nothing on it has changed.
    pub(crate) fn is_same_way(&self, other: &[Step]) -> bool {
        let same = |(one, other): (&Step, &Step)| one.is_same(other);
        self.steps.len() == other.len() && self.steps.iter().zip(other).all(same)
    }

    /// Whether it has been where this call runs.
    pub(crate) fn has_seen(&self, call: CallId) -> bool {
        self.steps.iter().any(|step| step.runs == call)
    }

    /// The calls of its way, each waiting for the next.
    pub(crate) fn calls(&self) -> Vec<CallId> {
        let of = |step: &Step| step.waits.into_iter().chain([step.runs]);
        let mut calls: Vec<CallId> = self.steps.iter().flat_map(of).collect();
        calls.dedup();
        calls
    }

    /// The way in words: who calls whom, and behind what that waits.
    pub(crate) fn way(&self) -> String {
        let word = |step: &Step| {
            let Step { class_name, runs_method, waits_method, runs, .. } = step;
            let actor = runs.actor;
            if step.waits == Some(step.runs) {
                return format!("{class_name}.{runs_method} of actor {actor}");
            }
            format!(
                "{class_name}.{waits_method} behind {class_name}.{runs_method} of actor {actor}"
            )
        };
        self.steps.iter().map(word).collect::<Vec<_>>().join(" -> ")
    }
}

/// A name as a probe carries it: not longer than [`limits::PROBE_NAME_BYTES`].
pub(crate) fn short(name: &str) -> String {
    let end = name.floor_char_boundary(limits::PROBE_NAME_BYTES);
    name.get(..end).unwrap_or_default().to_owned()
}

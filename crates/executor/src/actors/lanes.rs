//! The calls of one actor that were given: which of them may run, and who is to run it.
//!
//! Calls of a lane begin in the order in which they were given, as many at a time as the lane lets run. What needs the actor
//! at rest, such as a checkpoint, is a pause: calls given before it end first, and those given after it begin behind it.

use std::collections::VecDeque;
use std::sync::Arc;

use bireme_core::actor::LaneSpec;
use bireme_core::actor::call::CallId;
use tokio::sync::Notify;

use super::Call;
use super::items::Credit;
use crate::stop::Stop;

/// The calls of an actor.
#[derive(Debug)]
pub(super) struct Lanes {
    all: Vec<Lane>,
    running: Vec<Running>,
    /// Pauses that are to come, each with the count of calls given before it.
    pauses: VecDeque<(u64, Pause)>,
    /// Counts calls.
    given: u64,
    /// The actor is not made yet, or makes use of a pause: no call begins.
    rests: bool,
    /// No call begins any more.
    over: bool,
    /// A call that is waited for by one that runs may run beside it.
    reentrant: bool,
}

/// Bounded by the worker, which ends a run that it gave too far ahead itself.
#[derive(Debug)]
struct Lane {
    waiting: VecDeque<Waiting>,
    /// How many calls may run at a time.
    slots: u32,
    running: u32,
    /// Threads that run calls of this lane, and of these the bells of those that wait for one.
    seats: u32,
    idle: Vec<Arc<Notify>>,
}

#[derive(Debug)]
struct Waiting {
    /// Its place among all calls of the actor.
    place: u64,
    call: Box<Call>,
    credit: Arc<Credit>,
}

#[derive(Debug)]
struct Running {
    number: u64,
    /// `None` for one that runs beside its lane.
    lane: Option<usize>,
    id: Option<CallId>,
    stop: Arc<Stop>,
    credit: Arc<Credit>,
}

/// What needs the actor at rest.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Pause {
    /// A checkpoint, with the record of the log up to which it holds.
    Checkpoint(u64),
}

/// Who is to run a call that was given.
#[derive(Debug)]
pub(super) enum Who {
    /// A new thread, beside its lane, this call only.
    Beside(Box<Call>),
    /// A new thread of this lane.
    New(usize),
    /// Whoever is at it, when it is its turn.
    Same,
    /// A thread that waits for one.
    Woken(Arc<Notify>),
}

/// What a thread is to do next.
#[derive(Debug)]
pub(super) enum Next {
    /// Run a call.
    Call(Box<Call>),
    /// End the actor: nothing runs, and nothing will.
    End,
    /// There is nothing more for this thread.
    Leave,
    /// Make use of the pause.
    Pause(Pause),
}

impl Lanes {
    /// Lanes without calls. The first has one thread already: the actor's own.
    pub(super) fn new(specs: &[LaneSpec], reentrant: bool) -> Self {
        let lane = |(n, spec): (usize, &LaneSpec)| Lane {
            waiting: VecDeque::new(),
            slots: spec.concurrency.max(1),
            running: 0,
            seats: u32::from(n == 0),
            idle: Vec::new(),
        };
        Self {
            all: specs.iter().enumerate().map(lane).collect(),
            running: Vec::new(),
            pauses: VecDeque::new(),
            given: 0,
            rests: true,
            over: false,
            reentrant,
        }
    }

    /// Whether at most one call runs at a time, so that calls begin in the order in which they were given.
    pub(super) fn are_one(&self) -> bool {
        !self.reentrant && matches!(self.all.as_slice(), [Lane { slots: 1, .. }])
    }

    /// Takes a call on; it comes back where there is no such lane.
    pub(super) fn give(&mut self, call: Box<Call>, credit: Arc<Credit>) -> Result<Who, Box<Call>> {
        if self.over {
            return Ok(Who::Same);
        }
        let at = call.lane as usize;
        if at >= self.all.len() {
            return Err(call);
        }
        if self.leads_back(&call) {
            self.begin(None, &call, credit);
            return Ok(Who::Beside(call));
        }
        self.given += 1;
        let place = self.given;
        let Some(lane) = self.all.get_mut(at) else { return Err(call) };
        lane.waiting.push_back(Waiting { place, call, credit });
        if let Some(seat) = lane.idle.pop() {
            return Ok(Who::Woken(seat));
        }
        if lane.seats < lane.slots {
            lane.seats += 1;
            return Ok(Who::New(at));
        }
        Ok(Who::Same)
    }

    fn leads_back(&self, call: &Call) -> bool {
        let waits = |running: &Running| running.id.is_some_and(|id| call.chain.contains(&id));
        self.reentrant && self.running.iter().any(waits)
    }

    /// Asks for a pause after the calls that were given.
    pub(super) fn pause(&mut self, pause: Pause) {
        self.pauses.push_back((self.given, pause));
    }

    /// What a thread of a lane is to do next, which it then does; `None` is to wait, and to be woken by `seat`. Only the
    /// `home` thread pauses and ends.
    pub(super) fn next(&mut self, at: usize, home: bool, seat: &Arc<Notify>) -> Option<Next> {
        if self.over {
            return match (home, self.running.is_empty()) {
                (false, _) => Some(Next::Leave),
                (true, true) => Some(Next::End),
                (true, false) => None,
            };
        }
        if home && self.is_at_rest() {
            self.rests = true;
            return self.pauses.pop_front().map(|(_, pause)| Next::Pause(pause));
        }
        let until = self.pauses.front().map_or(u64::MAX, |(given, _)| *given);
        let lane = self.all.get_mut(at)?;
        let may = !self.rests && lane.running < lane.slots;
        let next = lane.waiting.pop_front_if(|waiting| may && waiting.place <= until);
        let Some(Waiting { call, credit, .. }) = next else {
            if !lane.idle.iter().any(|idle| Arc::ptr_eq(idle, seat)) {
                lane.idle.push(Arc::clone(seat));
            }
            return None;
        };
        lane.running += 1;
        lane.idle.retain(|idle| !Arc::ptr_eq(idle, seat));
        self.begin(Some(at), &call, credit);
        Some(Next::Call(call))
    }

    /// Whether the next pause can be made.
    fn is_at_rest(&self) -> bool {
        let Some((until, _)) = self.pauses.front() else { return false };
        let first = |lane: &Lane| lane.waiting.front().is_none_or(|waiting| waiting.place > *until);
        self.running.is_empty() && self.all.iter().all(first)
    }

    fn begin(&mut self, lane: Option<usize>, call: &Call, credit: Arc<Credit>) {
        let stop = Arc::clone(&call.stop);
        self.running.push(Running { number: call.number, lane, id: call.id, stop, credit });
    }

    /// Makes note that a call has ended. Whether the actor's own thread may have something to do now.
    pub(super) fn ended(&mut self, number: u64) -> bool {
        if let Some(at) = self.running.iter().position(|running| running.number == number) {
            let ended = self.running.swap_remove(at);
            if let Some(lane) = ended.lane.and_then(|at| self.all.get_mut(at)) {
                lane.running -= 1;
            }
        }
        self.running.is_empty() && (self.over || !self.pauses.is_empty())
    }

    /// Lets calls begin: the actor is made, or its pause is over. Threads for which there are calls are to be woken.
    pub(super) fn resume(&mut self) -> Vec<Arc<Notify>> {
        self.rests = false;
        let woken = |lane: &mut Lane| {
            let wanted = lane.waiting.len().min(lane.idle.len());
            lane.idle.split_off(lane.idle.len() - wanted)
        };
        self.all.iter_mut().flat_map(woken).collect()
    }

    /// Takes a call that waits away, or asks one that runs to return; `None` is neither.
    pub(super) fn cancel(&mut self, number: u64) -> Option<Box<Call>> {
        let waited = self.take_back(number);
        self.running.iter().filter(|running| running.number == number).for_each(Running::ask);
        waited
    }

    /// Takes a call away, if it waits.
    pub(super) fn take_back(&mut self, number: u64) -> Option<Box<Call>> {
        for lane in &mut self.all {
            if let Some(at) = lane.waiting.iter().position(|one| one.call.number == number) {
                return lane.waiting.remove(at).map(|waiting| waiting.call);
            }
        }
        None
    }

    /// Lets a call send more items.
    pub(super) fn credit(&self, number: u64, items: u32) {
        let waiting = self.all.iter().flat_map(|lane| &lane.waiting);
        let waiting = waiting.filter(|waiting| waiting.call.number == number);
        let running = self.running.iter().filter(|running| running.number == number);
        let credits = waiting.map(|one| &one.credit).chain(running.map(|one| &one.credit));
        credits.for_each(|credit| credit.add(items));
    }

    /// Lets no call begin any more, and asks those that run to return if that is wished. Threads that have nothing to do then
    /// are to be woken. Also returns the numbers of the calls that waited.
    pub(super) fn end(&mut self, ask: bool) -> (Vec<Arc<Notify>>, Vec<u64>) {
        self.over = true;
        self.pauses.clear();
        if ask {
            self.running.iter().for_each(Running::ask);
        }
        let (mut idle, mut undone) = (Vec::new(), Vec::new());
        for lane in &mut self.all {
            undone.extend(lane.waiting.drain(..).map(|waiting| waiting.call.number));
            idle.append(&mut lane.idle);
        }
        (idle, undone)
    }
}

impl Running {
    fn ask(&self) {
        self.stop.ask();
        self.credit.end();
    }
}

#[cfg(test)]
mod tests;

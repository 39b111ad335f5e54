//! Calls that have not ended: those that wait, each in its lane in the order of arrival, and those that were given.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::event::RunNo;
use super::items::Items;
use crate::actor::call::{Call, CallId};
use crate::actor::{Delivery, Journal, LaneSpec};
use crate::limits;
use crate::numbered::Numbered;
use crate::time::{Span, Time};

/// Calls behind one that waits for its inputs that are looked at for one that may overtake it.
const OVERTAKING: usize = 64;

/// A call that has not ended.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) id: CallId,
    pub(super) call: Arc<Call>,
    /// Place of its lane.
    pub(super) lane: usize,
    pub(super) arrived: Time,
    pub(super) deadline: Option<Time>,
    pub(super) delivery: Delivery,
    pub(super) journal: Journal,
    /// Its inputs are not here yet.
    pub(super) gathering: bool,
    /// How many times the process died while it ran.
    pub(super) crashes: u32,
    /// It may have run, at least in part, in an incarnation before.
    pub(super) begun: bool,
    /// It was given in this incarnation, with a record.
    pub(super) logged: bool,
    pub(super) given: Option<Given>,
    /// It comes from the log.
    pub(super) replay: Option<Replay>,
    /// Those of a streaming call.
    pub(super) items: Option<Box<Items>>,
}

/// A call that the process was given.
#[derive(Clone, Copy, Debug)]
pub(super) struct Given {
    pub(super) run: RunNo,
    /// Number of its record; 0 where there is none.
    pub(super) lsn: u64,
    pub(super) at: Time,
    /// It takes up no place in its lane.
    pub(super) beside: bool,
}

/// What the log says of a call that runs again.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Replay {
    pub(super) lsn: u64,
    /// How it ended the last time, if it did.
    pub(super) expected: Option<u64>,
    /// It is not to run any more.
    pub(super) poisoned: bool,
    /// It waited for itself, and never ran.
    pub(super) unrun: bool,
}

impl Live {
    pub(super) fn bytes(&self) -> u64 {
        self.call.bytes() as u64
    }

    /// Number of its record in the log; 0 where there is none, or it was given no more.
    pub(super) fn lsn(&self) -> u64 {
        let given = self.given.map_or(0, |given| given.lsn);
        self.replay.map_or(given, |replay| replay.lsn)
    }
}

#[derive(Debug)]
struct Lane {
    /// By ticket: in the order of arrival, to which a call comes back that has to run again.
    waiting: Numbered<()>,
    /// Given and not ended, those beside not counted.
    running: usize,
    concurrency: usize,
}

/// All calls that have not ended.
#[derive(Debug)]
pub(super) struct Mailbox {
    /// By ticket.
    calls: Numbered<Box<Live>>,
    lanes: Vec<Lane>,
    /// Of calls that wait.
    deadlines: BTreeSet<(Time, u64)>,
    last: u64,
    waiting: usize,
    /// Calls of the log that are still to run again, and what is taken up by replies, are not in here.
    bytes: u64,
    /// How many calls were running when a process died.
    suspects: usize,
    /// The process is given calls before those given earlier have ended.
    ahead: bool,
}

impl Mailbox {
    pub(super) fn new(lanes: &[LaneSpec]) -> Self {
        let one = |spec: &LaneSpec| Lane {
            waiting: Numbered::default(),
            running: 0,
            concurrency: usize::try_from(spec.concurrency.max(1)).unwrap_or(usize::MAX),
        };
        Self {
            calls: Numbered::default(),
            lanes: lanes.iter().map(one).collect(),
            deadlines: BTreeSet::new(),
            last: 0,
            waiting: 0,
            bytes: 0,
            suspects: 0,
            ahead: matches!(lanes, [only] if only.concurrency <= 1),
        }
    }

    pub(super) fn ticket(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// Takes a call in, to wait in its lane. Returns how many are before it there.
    pub(super) fn push(&mut self, ticket: u64, live: Live) -> usize {
        self.bytes += live.bytes();
        let before = self.lanes.get(live.lane).map_or(0, |lane| lane.waiting.len() + lane.running);
        self.wait(ticket, live.lane, live.deadline);
        self.calls.insert(ticket, Box::new(live));
        before
    }

    /// Takes a call of the log in, which waits in no lane.
    pub(super) fn push_replay(&mut self, ticket: u64, live: Live) {
        self.bytes += live.bytes();
        self.suspects += usize::from(live.crashes > 0);
        self.calls.insert(ticket, Box::new(live));
    }

    fn wait(&mut self, ticket: u64, lane: usize, deadline: Option<Time>) {
        if let Some(lane) = self.lanes.get_mut(lane) {
            self.waiting += usize::from(lane.waiting.insert(ticket, ()).is_none());
        }
        if let Some(deadline) = deadline {
            self.deadlines.insert((deadline, ticket));
        }
    }

    fn wait_no_more(&mut self, ticket: u64, lane: usize, deadline: Option<Time>) {
        if let Some(lane) = self.lanes.get_mut(lane) {
            self.waiting -= usize::from(lane.waiting.remove(ticket).is_some());
        }
        if let Some(deadline) = deadline {
            self.deadlines.remove(&(deadline, ticket));
        }
    }

    /// A call is given to the process. Returns it.
    pub(super) fn give(&mut self, ticket: u64, given: Given) -> Option<&mut Live> {
        let live = self.calls.get(ticket)?;
        self.wait_no_more(ticket, live.lane, live.deadline);
        let live = self.calls.get_mut(ticket)?;
        live.given = Some(given);
        live.logged |= given.lsn > 0;
        if let Some(lane) = self.lanes.get_mut(live.lane) {
            lane.running += usize::from(!given.beside);
        }
        Some(live)
    }

    /// A call that was given is not any more, and waits in no lane.
    pub(super) fn set_aside(&mut self, ticket: u64) {
        let given =
            self.calls.get_mut(ticket).and_then(|live| Some((live.lane, live.given.take()?)));
        if let Some((lane, given)) = given {
            self.leave_lane(lane, given);
        }
    }

    fn leave_lane(&mut self, lane: usize, given: Given) {
        if let Some(lane) = self.lanes.get_mut(lane) {
            lane.running -= usize::from(!given.beside);
        }
    }

    /// A call that was given comes back to its place.
    pub(super) fn give_back(&mut self, ticket: u64) {
        self.set_aside(ticket);
        let place = self.calls.get(ticket).map(|live| (live.lane, live.deadline));
        if let Some((lane, deadline)) = place {
            self.wait(ticket, lane, deadline);
        }
    }

    /// A call is no more. It still says how it was given.
    pub(super) fn take(&mut self, ticket: u64) -> Option<Box<Live>> {
        let live = self.calls.remove(ticket)?;
        match live.given {
            Some(given) => self.leave_lane(live.lane, given),
            None => self.wait_no_more(ticket, live.lane, live.deadline),
        }
        self.bytes -= live.bytes();
        self.suspects -= usize::from(live.crashes > 0);
        Some(live)
    }

    /// A call was running when the process died.
    pub(super) fn blame(&mut self, ticket: u64) {
        let Some(live) = self.calls.get_mut(ticket) else { return };
        self.suspects += usize::from(live.crashes == 0);
        live.crashes += 1;
    }

    /// Whether any call was running when a process died.
    pub(super) fn has_suspects(&self) -> bool {
        self.suspects > 0
    }

    pub(super) fn get(&self, ticket: u64) -> Option<&Live> {
        self.calls.get(ticket).map(Box::as_ref)
    }

    pub(super) fn get_mut(&mut self, ticket: u64) -> Option<&mut Live> {
        self.calls.get_mut(ticket).map(Box::as_mut)
    }

    /// The next call of a lane that may begin, by the order of the lane alone.
    pub(super) fn next(&self, lane: usize) -> Option<u64> {
        let lane = self.lanes.get(lane)?;
        let room = if self.ahead { limits::CALLS_AHEAD } else { lane.concurrency };
        if lane.running >= room {
            return None;
        }
        let is_here = |live: &Live| !live.gathering;
        let first = lane.waiting.first()?;
        if self.get(first).is_some_and(is_here) {
            return Some(first);
        }
        let overtakes = |live: &Live| is_here(live) && live.call.unordered;
        let mut behind = lane.waiting.numbers().take(OVERTAKING);
        behind.find(|ticket| self.get(*ticket).is_some_and(overtakes))
    }

    /// How many calls of a lane run at a time.
    pub(super) fn concurrency(&self, lane: usize) -> usize {
        self.lanes.get(lane).map_or(1, |lane| lane.concurrency)
    }

    /// The first call that waits in a lane.
    pub(super) fn first_waiting(&self, lane: usize) -> Option<u64> {
        self.lanes.get(lane)?.waiting.first()
    }

    /// How many calls there are.
    pub(super) fn len(&self) -> usize {
        self.calls.len()
    }

    pub(super) fn lanes(&self) -> usize {
        self.lanes.len()
    }

    /// How many calls of a lane wait, since when the first of them does, and how many were given.
    pub(super) fn lane(&self, lane: usize) -> (usize, Option<Time>, usize) {
        self.lanes.get(lane).map_or((0, None, 0), |lane| {
            let first = lane.waiting.first().and_then(|ticket| self.calls.get(ticket));
            (lane.waiting.len(), first.map(|live| live.arrived), lane.running)
        })
    }

    /// The process is given calls before those given earlier have ended, one at a time running.
    pub(super) fn gives_ahead(&self) -> bool {
        self.ahead
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, &Live)> {
        self.calls.iter().map(|(ticket, live)| (ticket, live.as_ref()))
    }

    pub(super) fn waiting_len(&self) -> usize {
        self.waiting
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How long the oldest call that waits has waited.
    pub(super) fn oldest(&self, now: Time) -> Span {
        let firsts = (0..self.lanes.len()).filter_map(|lane| self.lane(lane).1);
        firsts.min().map_or(Span::ZERO, |since| now.since(since))
    }

    pub(super) fn next_deadline(&self) -> Option<Time> {
        self.deadlines.first().map(|(time, _)| *time)
    }

    /// The first call that waits and whose time is up.
    pub(super) fn overdue(&self, now: Time) -> Option<u64> {
        self.deadlines.first().filter(|(time, _)| *time <= now).map(|(_, ticket)| *ticket)
    }

    /// Recounts what is kept as a count.
    pub(super) fn check(&self) -> Result<(), String> {
        let bytes: u64 = self.calls.values().map(|live| live.bytes()).sum();
        let waiting: usize = self.lanes.iter().map(|lane| lane.waiting.len()).sum();
        let suspects = self.calls.values().filter(|live| live.crashes > 0).count();
        if (bytes, waiting, suspects) != (self.bytes, self.waiting, self.suspects) {
            return Err(format!("mailbox: {bytes} bytes and {waiting} calls, kept as {self:?}"));
        }
        for (n, lane) in self.lanes.iter().enumerate() {
            let runs =
                |live: &&Live| live.lane == n && live.given.is_some_and(|given| !given.beside);
            let running = self.calls.values().map(Box::as_ref).filter(runs).count();
            let room = if self.ahead { limits::CALLS_AHEAD } else { lane.concurrency };
            if running != lane.running || running > room.max(1) {
                return Err(format!("lane {n}: {running} run, {} counted", lane.running));
            }
            let odd =
                |ticket: &u64| self.calls.get(*ticket).is_none_or(|live| live.given.is_some());
            if let Some(odd) = lane.waiting.numbers().find(odd) {
                return Err(format!("lane {n}: {odd} does not wait"));
            }
        }
        Ok(())
    }
}

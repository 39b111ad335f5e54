//! The actor's process: what it has run, what it runs, and what it was given ahead.

use std::collections::{BTreeMap, VecDeque};

use bireme_core::actor::call::CallId;
use bireme_core::actor::host::{Reached, Run, RunNo};

use crate::rng::mix;

/// The actor: the calls that it has run, in their order.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct State {
    /// With what chance gave to each.
    pub(super) applied: Vec<(CallId, u64)>,
    pub(super) hash: u64,
}

impl State {
    /// Runs a call. Its reply tells how many there were, and of all of them in their order.
    pub(super) fn apply(&mut self, id: CallId, chance: u64) -> (usize, u64) {
        self.applied.push((id, chance));
        self.hash = mix(self.hash ^ chance, mix(id.seq, super::callers::number(id.caller)));
        (self.applied.len(), self.hash)
    }
}

/// A call that runs.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) run: Run,
    /// What it will reply.
    pub(super) reply: (usize, u64),
    pub(super) stopped: bool,
    /// Items given and items that may be given.
    pub(super) items: u64,
    pub(super) credit: u64,
    /// It waits for a call of its own to this user.
    pub(super) waits: bool,
}

/// A process of an incarnation.
#[derive(Debug)]
pub(super) struct Process {
    /// Tells it from the others of its daemon.
    pub(super) number: u64,
    pub(super) alive: bool,
    pub(super) state: State,
    /// Given, in the order of their lanes.
    waiting: BTreeMap<u32, VecDeque<Run>>,
    pub(super) running: BTreeMap<RunNo, Running>,
    /// The last call that was begun.
    started: Option<RunNo>,
    /// It takes no more calls: it has asked to end.
    pub(super) exiting: bool,
    /// The incarnation's calls, in the order in which they began.
    pub(super) order: Vec<CallId>,
}

impl Process {
    pub(super) fn new(number: u64, state: State) -> Self {
        Self {
            number,
            alive: false,
            state,
            waiting: BTreeMap::new(),
            running: BTreeMap::new(),
            started: None,
            exiting: false,
            order: Vec::new(),
        }
    }

    /// A call is given.
    pub(super) fn give(&mut self, run: Run) {
        self.waiting.entry(run.lane).or_default().push_back(run);
    }

    /// The next call that may begin, where so many run in a lane at a time.
    pub(super) fn next(&mut self, concurrency: impl Fn(u32) -> u32) -> Option<Run> {
        if self.exiting {
            return None;
        }
        let running = |lane: u32| {
            let in_lane = |running: &&Running| running.run.lane == lane && !running.run.beside;
            self.running.values().filter(in_lane).count()
        };
        let may = |(lane, queue): (&u32, &VecDeque<Run>)| {
            if let Some(at) = queue.iter().position(|run| run.beside) {
                return Some((*lane, at));
            }
            let room = running(*lane) < concurrency(*lane) as usize;
            (room && !queue.is_empty()).then_some((*lane, 0))
        };
        let (lane, at) = self.waiting.iter().find_map(may)?;
        let run = self.waiting.get_mut(&lane)?.remove(at)?;
        self.started = Some(run.run);
        Some(run)
    }

    /// Begins no further call. Returns those that it was given.
    pub(super) fn leave_undone(&mut self) -> Vec<RunNo> {
        self.exiting = true;
        let undone = std::mem::take(&mut self.waiting);
        undone.into_values().flatten().map(|run| run.run).collect()
    }

    /// Takes a call back that has not begun.
    pub(super) fn unqueue(&mut self, run: RunNo) -> bool {
        let before: usize = self.waiting.values().map(VecDeque::len).sum();
        self.waiting.values_mut().for_each(|queue| queue.retain(|queued| queued.run != run));
        self.waiting.values().map(VecDeque::len).sum::<usize>() < before
    }

    /// A streaming call may give more items, also one that has not begun. Whether it runs.
    pub(super) fn credit(&mut self, no: RunNo, n: u32) -> bool {
        let mut queued = self.waiting.values_mut().flatten();
        if let Some(run) = queued.find(|run| run.run == no) {
            run.credit = run.credit.saturating_add(n);
        }
        let running = self.running.get_mut(&no);
        running.is_some_and(|running| {
            running.credit = running.credit.saturating_add(u64::from(n));
            true
        })
    }

    /// The mark that it leaves behind.
    pub(super) fn mark(&self) -> Reached {
        let started = self.started.unwrap_or_default();
        Reached { started, runs: self.running.contains_key(&started) }
    }
}

//! Processes of actors: calls run one after the other in their lanes, and each computes, calls others and waits as chance has
//! it.

use std::collections::{BTreeMap, VecDeque};

use bireme_core::Span;
use bireme_core::actor::call::CallId;
use bireme_core::actor::host::{Event, Run as Given, RunEnd, RunNo};

use super::lines::Run;
use super::{Item, Order, PIPE, World, done};

/// Most calls in a row that one leads to.
const DEPTH: u32 = 3;

/// A process of an incarnation.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) number: u64,
    pub(super) alive: bool,
    /// Given and not begun, by lane.
    waiting: BTreeMap<u32, VecDeque<Given>>,
    running: BTreeMap<RunNo, Running>,
    /// Counts waits.
    waits: u64,
}

#[derive(Debug)]
struct Running {
    given: Given,
    /// How many steps it takes.
    steps: usize,
    /// How far it is.
    at: usize,
    wait: Option<Wait>,
}

#[derive(Clone, Copy, Debug)]
struct Wait {
    number: u64,
    on: CallId,
    /// It ends by itself.
    is_limited: bool,
}

impl Process {
    pub(super) fn new(number: u64) -> Self {
        let (waiting, running) = (BTreeMap::new(), BTreeMap::new());
        Self { number, alive: true, waiting, running, waits: 0 }
    }

    pub(super) fn die(&mut self) {
        self.alive = false;
        self.waiting.clear();
        self.running.clear();
    }

    fn unqueue(&mut self, run: RunNo) -> Option<CallId> {
        self.waiting.values_mut().find_map(|queue| {
            let at = queue.iter().position(|given| given.run == run)?;
            queue.remove(at).map(|given| given.id)
        })
    }

    fn in_lane(&self, lane: u32) -> impl Iterator<Item = &Running> {
        let is_there = move |it: &&Running| it.given.lane == lane && !it.given.beside;
        self.running.values().filter(is_there)
    }

    fn next(&mut self, concurrency: impl Fn(u32) -> u32) -> Option<Given> {
        let lanes: Vec<u32> = self.waiting.keys().copied().collect();
        lanes.into_iter().find_map(|lane| {
            let has_room = self.in_lane(lane).count() < concurrency(lane) as usize;
            let queue = self.waiting.get_mut(&lane)?;
            let beside = queue.iter().position(|given| given.beside);
            let at = beside.or_else(|| (has_room && !queue.is_empty()).then_some(0))?;
            queue.remove(at)
        })
    }

    /// The call that a call waits for that runs, if it does nothing but wait.
    pub(super) fn waits_for(&self, call: CallId) -> Option<CallId> {
        let running = self.running.values().find(|running| running.given.id == call)?;
        running.wait.filter(|wait| !wait.is_limited).map(|wait| wait.on)
    }

    pub(super) fn runs(&self, call: CallId) -> bool {
        self.running.values().any(|running| running.given.id == call)
    }

    /// The call that runs in a lane.
    pub(super) fn runs_in(&self, lane: u32) -> Option<CallId> {
        self.in_lane(lane).next().map(|running| running.given.id)
    }
}

impl World {
    pub(super) fn on_order(&mut self, actor: usize, process: u64, order: Order) {
        let it = &mut self.actor(actor).process;
        if it.number != process || !it.alive {
            return;
        }
        match order {
            Order::Probe(run, probe) => {
                let wait = it.running.get(&run).and_then(|running| running.wait);
                if let Some(wait) = wait.filter(|wait| !wait.is_limited) {
                    self.say_probe(wait.on, probe.in_wait(wait.number));
                }
            }
            Order::Run(given) => {
                it.waiting.entry(given.lane).or_default().push_back(*given);
                self.pump(actor);
            }
            Order::Stop(run) => {
                if it.unqueue(run).is_some() {
                    let end = RunEnd::Cancelled;
                    self.report(actor, Event::Ended { run, end, took: Span(1) });
                }
            }
            Order::TakeBack(run) => {
                if let Some(call) = it.unqueue(run) {
                    self.calls.get_mut(&call).expect("it was made").taken_back = true;
                    self.report(actor, Event::TakenBack(run));
                }
            }
        }
    }

    fn report(&mut self, actor: usize, event: Event) {
        let process = self.actor(actor).process.number;
        self.agenda.after(PIPE, Item::Report { actor, process, event });
    }

    /// Begins what may begin.
    fn pump(&mut self, actor: usize) {
        loop {
            let spec = std::sync::Arc::clone(&self.actor(actor).spec);
            let concurrency =
                |lane: u32| spec.lanes.get(lane as usize).map_or(1, |lane| lane.concurrency.max(1));
            let process = &mut self.actor(actor).process;
            let number = process.number;
            let Some(given) = process.next(concurrency) else { return };
            self.calls.get_mut(&given.id).expect("it was made").has_begun = true;
            let steps = self.rng.place(4) + 1;
            let run = given.run;
            let running = Running { given, steps, at: 0, wait: None };
            self.actor(actor).process.running.insert(run, running);
            self.go_on(Run { actor, process: number, no: run }, 0);
        }
    }

    /// A call comes to its next step after it has computed for a while.
    fn go_on(&mut self, run: Run, at: usize) {
        let long = if self.rng.chance(8) { 2_500_000 } else { 20_000 };
        let after = self.rng.span(10, long);
        let Run { actor, process, no: run } = run;
        self.agenda.after(after, Item::Go { actor, process, run, at });
    }

    pub(super) fn on_step(&mut self, actor: usize, process: u64, run: RunNo, at: usize) {
        let it = &mut self.actor(actor).process;
        if it.number != process || !it.alive {
            return;
        }
        let Some(running) = it.running.get_mut(&run) else { return };
        if running.at != at {
            return; // It heard before its time was up.
        }
        (running.at, running.wait) = (at + 1, None);
        if running.at >= running.steps {
            it.running.remove(&run);
            self.report(actor, Event::Ended { run, end: done(), took: Span(1) });
            return self.pump(actor);
        }
        let by = Run { actor, process, no: run };
        self.take_step(by, at + 1);
    }

    /// Calls somebody and waits, or does not; or only computes.
    fn take_step(&mut self, by: Run, at: usize) {
        let id = self.running(by).given.id;
        let depth = self.calls.get(&id).map_or(0, |asked| asked.depth) + 1;
        if depth > DEPTH || self.rng.chance(20) {
            return self.go_on(by, at);
        }
        let on = self.ask(Some(by), depth);
        let is_limited = self.rng.chance(15);
        if self.rng.chance(20) {
            return self.go_on(by, at);
        }
        let process = &mut self.actor(by.actor).process;
        process.waits += 1;
        let number = process.waits;
        self.running(by).wait = Some(Wait { number, on, is_limited });
        if is_limited {
            let Run { actor, process, no: run } = by;
            let after = self.rng.span(1_000, 4_000_000);
            self.agenda.after(after, Item::Go { actor, process, run, at });
        }
    }

    fn running(&mut self, by: Run) -> &mut Running {
        self.actor(by.actor).process.running.get_mut(&by.no).expect("it runs")
    }

    /// A call has ended that a run may wait for.
    pub(super) fn on_reply(&mut self, by: Run, call: CallId) {
        let it = &mut self.actor(by.actor).process;
        if it.number != by.process || !it.alive {
            return;
        }
        let Some(running) = it.running.get_mut(&by.no) else { return };
        if running.wait.is_none_or(|wait| wait.on != call) {
            return;
        }
        running.wait = None;
        let at = running.at;
        self.on_step(by.actor, by.process, by.no, at);
    }
}

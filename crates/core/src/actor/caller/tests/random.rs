//! A caller against a model of hosts that crash, move and lose streams, at random but the same each time.
//!
//! Whatever happens: every call ends once; none that must not run twice does; they run in order; a call that is said not to
//! have run has not, and one that is said to have a value has.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use super::super::{Caller, Config, Effect, Event};
use super::{ACTOR, a_call, a_place, me, reply};
use crate::actor::call::{CallCode, CallFailure, Outcome};
use crate::actor::place::{ActorPlace, ActorState};
use crate::actor::wire::{OnUnknown, Opened, ToCaller, ToHost};
use crate::actor::{Delivery, OnFull};
use crate::id::{Incarnation, WorkerId};
use crate::time::{Span, Time};
use crate::value::Value;

const CALLS: u64 = 40;

#[test]
fn every_call_ends_once_and_none_runs_twice_that_must_not() {
    let mut endings = BTreeMap::new();
    for seed in 0..1_500 {
        let delivery = match seed % 3 {
            0 => Delivery::AtMostOnce,
            1 => Delivery::AtLeastOnce,
            _ => Delivery::EffectivelyOnce,
        };
        for (_, end) in World::new(seed, delivery).live() {
            *endings.entry((delivery, end)).or_insert(0) += 1;
        }
    }
    // The model is of no use if it does not bring about what it is to check.
    for code in [CallCode::Unknown, CallCode::Cancelled, CallCode::Deadline, CallCode::NotRun] {
        assert!(endings.contains_key(&(Delivery::AtMostOnce, Some(code))), "{endings:?}");
    }
    assert!(
        !endings.contains_key(&(Delivery::EffectivelyOnce, Some(CallCode::Unknown))),
        "{endings:?}"
    );
    assert!(
        !endings.contains_key(&(Delivery::AtLeastOnce, Some(CallCode::Unknown))),
        "{endings:?}"
    );
}

/// What a host knows of the caller.
#[derive(Clone, Default)]
struct Memory {
    used_up_to: u64,
    used: BTreeSet<u64>,
    mailbox: VecDeque<u64>,
    replies: BTreeMap<u64, Option<CallCode>>,
}

impl Memory {
    /// Marks a number as used; `false` if it was.
    fn use_up(&mut self, seq: u64) -> bool {
        let fresh = seq > self.used_up_to && self.used.insert(seq);
        while self.used.remove(&(self.used_up_to + 1)) {
            self.used_up_to += 1;
        }
        fresh
    }

    fn settle(&mut self, up_to: u64) {
        (self.used_up_to + 1..=up_to).for_each(|seq| _ = self.use_up(seq));
        self.replies.retain(|seq, _| *seq > up_to);
    }
}

struct World {
    random: u64,
    now: Time,
    caller: Caller,
    effects: Vec<Effect>,
    delivery: Delivery,
    // The actor.
    worker: u32,
    incarnation: u32,
    remembers_from: u32,
    memory: Memory,
    // The stream of the conversation.
    stream: Option<u32>,
    open: bool,
    to_host: VecDeque<ToHost>,
    to_caller: VecDeque<ToCaller>,
    // What the driver was asked for.
    reaching: Option<u32>,
    resolving: bool,
    // What is checked.
    made: u64,
    runs: Vec<u64>,
    ends: BTreeMap<u64, Option<CallCode>>,
}

impl World {
    fn new(seed: u64, delivery: Delivery) -> Self {
        let mut config = Config::new(me(), ACTOR);
        config.on_unknown =
            if seed.is_multiple_of(2) { OnUnknown::Continue } else { OnUnknown::Stop };
        Self {
            random: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) + 1,
            now: Time(0),
            caller: Caller::new(config),
            effects: Vec::new(),
            delivery,
            worker: 1,
            incarnation: 1,
            remembers_from: 1,
            memory: Memory::default(),
            stream: None,
            open: false,
            to_host: VecDeque::new(),
            to_caller: VecDeque::new(),
            reaching: None,
            resolving: false,
            made: 0,
            runs: Vec::new(),
            ends: BTreeMap::new(),
        }
    }

    /// One run: calls and faults, then no more faults until all calls have ended.
    fn live(mut self) -> BTreeMap<u64, Option<CallCode>> {
        while self.made < CALLS {
            self.step(true);
        }
        for _ in 0..20_000 {
            if self.ends.len() as u64 == self.made {
                break;
            }
            self.step(false);
        }
        assert_eq!(self.ends.len() as u64, self.made, "a call hangs: {:?}", self.caller);
        for (seq, end) in &self.ends {
            let runs = self.runs.iter().filter(|run| *run == seq).count();
            match end {
                None => assert!(runs >= 1, "call {seq} has a value and did not run"),
                Some(CallCode::NotRun) => assert_eq!(runs, 0, "call {seq} did run"),
                Some(_) => {}
            }
        }
        if self.delivery != Delivery::AtLeastOnce {
            assert!(self.runs.is_sorted_by(|a, b| a < b), "twice or out of order: {:?}", self.runs);
        }
        self.ends
    }

    fn below(&mut self, n: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % n
    }

    fn step(&mut self, faults: bool) {
        match self.below(if faults { 24 } else { 16 }) {
            0..=4 => self.deliver_to_host(),
            5..=8 => self.deliver_to_caller(),
            9 | 10 => self.run_one(),
            11 => self.answer_reach(),
            12 | 13 => self.answer_resolve(faults),
            14 | 15 => self.let_time_pass(),
            16..=19 => self.make_call(),
            20 => self.tell(Event::Cancelled { seq: self.made, grace: None }),
            21 => self.break_stream(),
            22 => self.crash_process(),
            _ => match self.below(2) {
                0 => self.crash_daemon(),
                _ => self.relocate(),
            },
        }
        self.carry_out();
    }

    fn tell(&mut self, event: Event) {
        self.caller.handle(self.now, event, &mut self.effects);
        assert_eq!(self.caller.check(), Ok(()));
    }

    fn make_call(&mut self) {
        let options: &[&str] = if self.below(8) == 0 { &["deadline=30"] } else { &[] };
        let call = Arc::new(a_call("a", options));
        let seq = self.caller.call(self.now, Ok(call), &mut self.effects);
        self.made += 1;
        assert_eq!(seq, Some(self.made));
    }

    fn carry_out(&mut self) {
        for effect in std::mem::take(&mut self.effects) {
            match effect {
                Effect::Ended { seq, ending } => {
                    let before = self.ends.insert(seq, ending.outcome.code());
                    assert_eq!(before, None, "call {seq} ended twice");
                }
                Effect::Reach(place) => self.reaching = place.worker.map(|worker| worker.0),
                Effect::Resolve { .. } => self.resolving = true,
                Effect::Say(ToHost::Close { .. }) => self.hang_up(),
                Effect::Say(word) if self.stream.is_some() => self.to_host.push_back(word),
                Effect::Say(_) | Effect::Item { .. } | Effect::Room => {}
            }
        }
    }

    fn hang_up(&mut self) {
        self.stream = None;
        self.open = false;
        self.to_host.clear();
        self.to_caller.clear();
    }

    fn break_stream(&mut self) {
        if let Some(worker) = self.stream {
            self.hang_up();
            self.tell(Event::StreamDown(WorkerId(worker)));
        }
    }

    fn answer_reach(&mut self) {
        let Some(worker) = self.reaching.take() else { return };
        self.hang_up();
        if self.below(4) == 0 {
            return self.tell(Event::StreamDown(WorkerId(worker)));
        }
        self.stream = Some(worker);
        self.tell(Event::StreamUp(WorkerId(worker)));
    }

    fn answer_resolve(&mut self, faults: bool) {
        if !std::mem::take(&mut self.resolving) {
            return;
        }
        if faults && self.below(4) == 0 {
            return self.tell(Event::Unresolved);
        }
        let place = self.place();
        self.tell(Event::Resolved(Ok(Box::new(place))));
    }

    fn place(&self) -> ActorPlace {
        let mut place = a_place(&["restarting"]);
        place.state = ActorState::Alive;
        place.worker = Some(WorkerId(self.worker));
        place.incarnation = Incarnation(self.incarnation);
        place
    }

    fn let_time_pass(&mut self) {
        self.now = self.now + Span::millis(5);
        if self.caller.next_timer().is_some_and(|at| at <= self.now) {
            self.tell(Event::TimerDue);
        }
    }

    fn deliver_to_caller(&mut self) {
        if let Some(word) = self.to_caller.pop_front() {
            self.tell(Event::Said(word));
        }
    }

    fn say(&mut self, word: ToCaller) {
        if self.open {
            self.to_caller.push_back(word);
        }
    }

    fn say_opened(&mut self) {
        self.say(ToCaller::Opened(Box::new(Opened {
            incarnation: Incarnation(self.incarnation),
            next_seq: self.memory.used_up_to + 1,
            delivery: self.delivery,
            methods: Vec::new(),
            lanes: Vec::new(),
            window: 4,
            on_full: OnFull::Wait,
            lease: None,
            forgotten: false,
            remembers_from: Incarnation(self.remembers_from),
        })));
        for (seq, code) in self.memory.replies.clone() {
            self.say(answer(seq, code));
        }
    }

    fn deliver_to_host(&mut self) {
        let Some(word) = self.to_host.pop_front() else { return };
        if let ToHost::Open(open) = word {
            return self.on_open(open.incarnation.0, open.processed_up_to);
        }
        if !self.open {
            return;
        }
        match word {
            ToHost::Call { seq, .. } if self.memory.use_up(seq) => {
                assert!(self.memory.mailbox.len() < 4, "the window was not kept");
                self.memory.mailbox.push_back(seq);
            }
            ToHost::Cancel { seq, .. } => {
                self.memory.use_up(seq);
                if self.memory.mailbox.contains(&seq) {
                    self.memory.mailbox.retain(|own| *own != seq);
                    self.end(seq, Some(CallCode::Cancelled));
                }
            }
            ToHost::Ack { processed_up_to } => self.memory.settle(processed_up_to),
            _ => {}
        }
    }

    fn on_open(&mut self, incarnation: u32, processed_up_to: u64) {
        if self.stream != Some(self.worker) || incarnation > self.incarnation {
            let failure = Box::new(CallFailure::new(CallCode::Fenced, "the lease is over"));
            let word = match self.below(2) {
                0 => ToCaller::OpenRefused(failure),
                _ => ToCaller::Redirect {
                    incarnation: Incarnation(self.incarnation),
                    place: Some(Box::new(self.place())),
                },
            };
            self.to_caller.push_back(word);
            return;
        }
        self.memory.settle(processed_up_to);
        self.open = true;
        self.say_opened();
    }

    fn end(&mut self, seq: u64, code: Option<CallCode>) {
        self.memory.replies.insert(seq, code);
        self.say(answer(seq, code));
    }

    fn run_one(&mut self) {
        if let Some(seq) = self.memory.mailbox.pop_front() {
            self.runs.push(seq);
            self.end(seq, None);
        }
    }

    /// The queue is kept; the call that ran is lost, run again, or has run once, as was promised.
    fn crash_process(&mut self) {
        if self.delivery == Delivery::AtMostOnce
            && let Some(seq) = self.memory.mailbox.pop_front()
        {
            if self.below(2) == 0 {
                self.runs.push(seq);
            }
            self.end(seq, Some(CallCode::Unknown));
        }
        self.incarnation += 1;
        self.say_opened();
    }

    /// Everything is lost that is not in the log.
    fn crash_daemon(&mut self) {
        let log = std::mem::take(&mut self.memory);
        if self.delivery == Delivery::EffectivelyOnce {
            self.memory = log;
            let waiting = std::mem::take(&mut self.memory.mailbox);
            let first = waiting.front().copied().unwrap_or(self.memory.used_up_to + 1);
            self.memory.used_up_to = self.memory.used_up_to.min(first - 1);
            self.memory.used.retain(|seq| !waiting.contains(seq));
            self.memory.used.extend(self.memory.replies.keys().filter(|seq| **seq >= first));
        }
        self.incarnation += 1;
        self.remembers_from = self.incarnation;
        self.worker = self.worker % 3 + 1;
        self.break_stream();
    }

    /// The actor moves with all that it knows.
    fn relocate(&mut self) {
        self.incarnation += 1;
        self.worker = self.worker % 3 + 1;
        let place = Some(Box::new(self.place()));
        self.say(ToCaller::Redirect { incarnation: Incarnation(self.incarnation), place });
        self.open = false;
    }
}

fn answer(seq: u64, code: Option<CallCode>) -> ToCaller {
    match code {
        None => reply(seq, Outcome::Value(Box::new(Value::text("ok")))),
        Some(code) => reply(seq, Outcome::failure(code, "the model says so")),
    }
}

//! Random orders and accidents against a model of the executors, the store and the scheduler.

mod actors;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bireme_core::id::{
    ActorId, AttemptId, AttemptNo, Epoch, GraphId, HolderId, Incarnation, TaskId, WorkerId,
};
use bireme_core::protocol::{Input, Order, Output, Report, Start, Timing};
use bireme_core::resources::UNITS;
use bireme_core::{ErrorClass, ObjectId, Resources, Span, TaskError, Time, Value};
use smallvec::SmallVec;

use super::script::{machine, start};
use crate::machine::{Effect, Event, Execution, Machine};

const TASKS: u64 = 24;

/// A tiny generator: `SplitMix64`.
struct Rng(u64);

impl Rng {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }

    fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.below(len as u64)).unwrap()
    }
}

/// The worker's machine, and everything around it.
struct World {
    rng: Rng,
    now: Time,
    machine: Machine,
    /// Effects that the executors have not seen yet, in order.
    towards: VecDeque<Effect>,
    /// Ends of attempts, in order, that the machine has not seen yet.
    ends: VecDeque<Event>,
    /// Answers to recalls, likewise; they overtake ends and are overtaken.
    answers: VecDeque<Event>,
    running: Vec<Execution>,
    followers: VecDeque<Execution>,
    started: BTreeSet<AttemptId>,
    killed: BTreeSet<AttemptId>,
    /// Attempts that have given their cpus back; those that have asked for them again are `true`.
    away: BTreeMap<AttemptId, bool>,
    /// Attempts that began in the place of one that was away: nobody has promised them cpus.
    uncounted: BTreeSet<AttemptId>,
    fetches: Vec<(ObjectId, SmallVec<[WorkerId; 2]>)>,
    store: BTreeSet<ObjectId>,
    /// Attempts ordered that are the latest of their task, and what was told of each.
    latest: BTreeMap<TaskId, AttemptId>,
    told: BTreeMap<AttemptId, Vec<&'static str>>,
    asked_back: BTreeSet<AttemptId>,
    drained: bool,
    left: u32,
    /// How many objects clients have put.
    puts: u64,
    /// Actors that the driver has.
    hosted: BTreeMap<ActorId, Incarnation>,
    /// The number given last, to an incarnation or to a gathering.
    incarnations: u32,
    /// Calls whose arguments are gathered.
    gathering: BTreeSet<u64>,
}

impl World {
    fn new(seed: u64) -> Self {
        Self {
            rng: Rng(seed),
            now: Time(0),
            machine: machine(2),
            towards: VecDeque::new(),
            ends: VecDeque::new(),
            answers: VecDeque::new(),
            running: Vec::new(),
            followers: VecDeque::new(),
            started: BTreeSet::new(),
            killed: BTreeSet::new(),
            away: BTreeMap::new(),
            uncounted: BTreeSet::new(),
            fetches: Vec::new(),
            store: BTreeSet::new(),
            latest: BTreeMap::new(),
            told: BTreeMap::new(),
            asked_back: BTreeSet::new(),
            drained: false,
            left: 0,
            puts: 0,
            hosted: BTreeMap::new(),
            incarnations: 0,
            gathering: BTreeSet::new(),
        }
    }

    fn handle(&mut self, event: Event) {
        let mut effects = Vec::new();
        self.machine.handle(self.now, event, &mut effects);
        self.towards.extend(effects);
    }

    fn order(&mut self, order: Order) {
        self.handle(Event::Ordered(order));
    }

    /// Carries out the oldest effect.
    fn carry_out(&mut self) {
        let Some(effect) = self.towards.pop_front() else { return };
        match effect {
            Effect::Drop(object) => {
                let needs = |execution: &Execution| execution.inputs.contains(&object);
                assert!(
                    !self.running.iter().chain(&self.followers).any(needs),
                    "{object} is needed"
                );
                self.store.remove(&object);
            }
            Effect::Execute { execution, follow } => {
                for input in &execution.inputs {
                    assert!(
                        self.store.contains(input),
                        "{} starts without {input}",
                        execution.attempt
                    );
                }
                if follow { self.followers.push_back(*execution) } else { self.run(*execution) }
            }
            Effect::Fetch { object, holders, .. } => {
                assert!(
                    !self.fetches.iter().any(|(other, _)| *other == object),
                    "{object} is fetched twice"
                );
                assert!(!holders.is_empty());
                self.fetches.push((object, holders));
            }
            Effect::Keep(object, _) => {
                self.store.insert(object);
            }
            Effect::Kill { attempt, .. } => {
                self.killed.insert(attempt);
            }
            Effect::Leave => self.left += 1,
            Effect::Promote(attempt) => {
                if let Some(execution) =
                    self.take_follower(|execution| execution.attempt == attempt)
                {
                    self.run(execution);
                }
            }
            Effect::Recall(attempt) => {
                let taken_back =
                    self.take_follower(|execution| execution.attempt == attempt).is_some();
                self.answers.push_back(Event::Recalled { attempt, taken_back });
            }
            Effect::Rejoined(attempt) => {
                self.away.remove(&attempt);
            }
            Effect::Actor(_) | Effect::Gathered { .. } | Effect::Host(_) => self.on_actor(effect),
            Effect::Peers(_) | Effect::Wake => {}
        }
    }

    fn take_follower(&mut self, is_it: impl Fn(&Execution) -> bool) -> Option<Execution> {
        let at = self.followers.iter().position(is_it)?;
        self.followers.remove(at)
    }

    fn run(&mut self, execution: Execution) {
        assert!(self.started.insert(execution.attempt), "{} runs twice", execution.attempt);
        let same_task = |other: &Execution| other.attempt.task == execution.attempt.task;
        assert!(!self.running.iter().any(same_task), "two attempts of one task run");
        self.running.push(execution);
        let counts =
            |attempt| !self.away.contains_key(attempt) && !self.uncounted.contains(attempt);
        let cpus = self.running.iter().filter(|execution| counts(&execution.attempt));
        let cpus: u64 = cpus.map(|execution| execution.resources.cpu_units).sum();
        assert!(cpus <= 2 * UNITS, "more runs than there are cpus");
        self.check_pieces();
    }

    /// No piece is used by more than fit on it, and what runs holds just what it asked for.
    fn check_pieces(&self) {
        let mut used = BTreeMap::<_, u64>::new();
        for Execution { attempt, held, resources, .. } in &self.running {
            let pieces: Vec<_> = held.iter().flat_map(|(_, pieces)| pieces).collect();
            let sum: u64 = pieces.iter().map(|piece| piece.units).sum();
            assert_eq!(sum, resources.other("gpu"), "{attempt} holds {held:?}");
            let shares = pieces.iter().filter(|piece| piece.units < UNITS).count();
            assert!(shares <= 1, "{attempt} is spread over {held:?}");
            for piece in pieces {
                *used.entry(piece.number).or_default() += piece.units;
            }
        }
        assert!(used.iter().all(|(n, units)| *n < 2 && *units <= UNITS), "pieces in use: {used:?}");
    }

    /// Ends an attempt that runs; its thread goes on with a follower.
    fn end_one(&mut self) {
        if self.running.is_empty() {
            return;
        }
        let at = self.rng.index(self.running.len());
        let ended = self.running.swap_remove(at);
        let attempt = ended.attempt;
        let failed = if self.killed.contains(&attempt) {
            self.rng.below(4) > 0
        } else {
            self.rng.below(4) == 0
        };
        let outcome = if failed {
            Err(Box::new(TaskError::new(ErrorClass::User, "USER_ERROR", "no")))
        } else {
            let outputs: SmallVec<[Output; 1]> =
                (0..ended.outputs).map(|_| Output { size: 3, value: None }).collect();
            self.store
                .extend((0..ended.outputs).map(|output| ObjectId::output(attempt.task, output)));
            Ok(outputs)
        };
        let next = self.take_follower(|execution| {
            (&execution.resources, &execution.runtime) == (&ended.resources, &ended.runtime)
        });
        let event = Event::Ended {
            attempt,
            outcome,
            timing: Timing::default(),
            next: next.as_ref().map(|execution| execution.attempt),
        };
        self.ends.push_back(event);
        let was_away = self.away.remove(&attempt).is_some() || self.uncounted.contains(&attempt);
        if let Some(execution) = next {
            if was_away {
                self.uncounted.insert(execution.attempt);
            }
            self.run(execution);
        }
    }

    /// An attempt that runs begins to wait, or wants to go on.
    fn prepare(&mut self) {
        if self.running.is_empty() {
            return;
        }
        let attempt = self.running[self.rng.index(self.running.len())].attempt;
        let event = if self.rng.below(2) == 0 { Event::Prepares } else { Event::Prepared };
        self.ends.push_back(event(attempt));
    }

    fn secede_or_rejoin(&mut self) {
        if self.running.is_empty() {
            return;
        }
        let at = self.rng.index(self.running.len());
        let attempt = self.running[at].attempt;
        match self.away.get_mut(&attempt) {
            None => {
                self.away.insert(attempt, false);
                self.ends.push_back(Event::Seceded(attempt));
            }
            Some(asked) => {
                if !std::mem::replace(asked, true) {
                    self.ends.push_back(Event::Rejoining(attempt));
                }
            }
        }
    }

    fn end_fetch(&mut self, must_succeed: bool) {
        if self.fetches.is_empty() {
            return;
        }
        let at = self.rng.index(self.fetches.len());
        let (object, asked) = self.fetches.swap_remove(at);
        if !must_succeed && self.rng.below(3) == 0 {
            self.handle(Event::FetchFailed { object, asked });
        } else {
            self.store.insert(object);
            self.handle(Event::Fetched { object, size: 3 });
        }
    }

    /// A client puts an object; one that was put before may be released.
    fn put(&mut self) {
        self.puts += 1;
        let object = |n| ObjectId::Held { holder: HolderId(1), n };
        self.store.insert(object(self.puts));
        self.handle(Event::Stored { object: object(self.puts), size: 3 });
        assert_eq!(self.machine.holds(object(self.puts)), Some(3));
        let n = self.rng.below(2 * self.puts);
        self.order(Order::Release(object(n)));
    }

    fn deliver_end(&mut self) {
        if let Some(event) = self.ends.pop_front() {
            self.handle(event);
        }
    }

    fn deliver_answer(&mut self) {
        if let Some(event) = self.answers.pop_front() {
            self.handle(event);
        }
    }

    fn random_task(&mut self) -> TaskId {
        TaskId { graph: GraphId(1), index: u32::try_from(self.rng.below(TASKS)).unwrap() }
    }

    fn random_input(&mut self) -> Input {
        let object = ObjectId::output(self.random_task(), 0);
        let holders =
            (0..self.rng.below(3)).map(|n| WorkerId(u32::try_from(n).unwrap() + 2)).collect();
        let value = (self.rng.below(6) == 0).then(|| Box::new(Value::raw("123")));
        Input { object, holders, size: 3, value, made_by: None }
    }

    fn random_start(&mut self) -> Start {
        let task = self.random_task();
        let known = self.latest.get(&task).map_or(0, |attempt| attempt.no.n);
        let is_here = self
            .latest
            .get(&task)
            .is_some_and(|attempt| self.machine.attempts.find(*attempt).is_some());
        let n = if is_here && self.rng.below(8) == 0 { known } else { known + 1 };
        let attempt = AttemptId { task, no: AttemptNo { epoch: Epoch(1), n } };
        self.latest.insert(task, attempt);
        let inputs = (0..self.rng.below(3)).map(|_| self.random_input());
        // An attempt cannot need what it makes.
        let inputs = inputs.filter(|input| input.object.task() != Some(task)).collect();
        let memory = if self.rng.below(4) == 0 { 60 } else { 0 };
        let cpus = [0, UNITS / 2, UNITS, UNITS, 2 * UNITS][self.rng.index(5)];
        let gpus = [0, 0, 0, UNITS / 2, UNITS / 3, UNITS, UNITS * 3 / 2, 2 * UNITS];
        let gpus = Some(gpus[self.rng.index(8)]).filter(|units| *units > 0);
        let gpus = gpus.map(|units| ("gpu".to_owned(), units));
        Start {
            inputs,
            resources: Resources::new(cpus, memory).with_others(gpus).unwrap(),
            outputs: u16::try_from(self.rng.below(3)).unwrap(),
            timeout: (self.rng.below(5) == 0).then_some(Span(20)),
            rank: self.rng.below(4),
            ahead: self.rng.below(2) == 0,
            ..start(attempt)
        }
    }

    fn random_latest(&mut self) -> Option<AttemptId> {
        let at = self.rng.index(self.latest.len().max(1));
        self.latest.values().nth(at).copied()
    }

    /// One order of the scheduler.
    fn random_order(&mut self) {
        let known = self.random_latest();
        let order = match (self.rng.below(12), known) {
            (0..6, _) => Order::Start(self.random_start()),
            (6, Some(attempt)) => {
                self.asked_back.insert(attempt);
                Order::Retract(attempt)
            }
            (7, Some(attempt)) => {
                self.asked_back.insert(attempt);
                Order::Cancel { attempt, grace: Span(self.rng.below(9)) }
            }
            (8, _) => Order::Release(ObjectId::output(self.random_task(), 0)),
            (9, _) => Order::Replicate(vec![self.random_input()]),
            (10, Some(attempt)) if self.told.contains_key(&attempt) => Order::Settle(attempt),
            _ => Order::Places(vec![self.random_input(), self.random_input()]),
        };
        self.order(order);
    }

    fn take_reports(&mut self, budget: usize) {
        let mut reports = Vec::new();
        self.machine.take_reports(budget, &mut reports);
        for report in reports {
            let Some(attempt) = report.ended() else { continue };
            let kind = match report {
                Report::Failed { .. } => "failed",
                Report::Finished { .. } => "finished",
                Report::Actor(_)
                | Report::Draining { .. }
                | Report::InputMissing { .. }
                | Report::Rejoined(_)
                | Report::ReplicaAdded { .. }
                | Report::ReplicaLost(_)
                | Report::Retracted(_)
                | Report::Seceded(_)
                | Report::Started(_) => "retracted",
            };
            let told = self.told.entry(attempt).or_default();
            if told.is_empty() {
                assert!(
                    kind != "retracted" || !self.started.contains(&attempt),
                    "{attempt} had started"
                );
                assert!(
                    kind != "finished" || self.started.contains(&attempt),
                    "{attempt} never ran"
                );
            } else {
                // What crossed an order to give back or cancel is answered, and ignored.
                assert!(
                    kind == "retracted" && self.asked_back.contains(&attempt),
                    "{attempt}: {told:?}, then {kind}"
                );
            }
            told.push(kind);
        }
    }

    /// The scheduler learns that what is not announced has ended.
    fn hear_announcement(&mut self) {
        let parts = self.machine.announce();
        let accepted: BTreeSet<_> =
            parts.iter().flat_map(|part| &part.attempts).map(|(attempt, _)| *attempt).collect();
        for attempt in self.latest.values().filter(|attempt| !accepted.contains(attempt)) {
            self.told.entry(*attempt).or_insert_with(|| vec!["announced"]);
        }
    }

    fn step(&mut self, disconnects: bool) {
        match self.rng.below(32) {
            0..5 => self.random_order(),
            5..12 => self.carry_out(),
            12..15 => self.end_one(),
            15..18 => self.deliver_end(),
            18..20 => self.deliver_answer(),
            20..22 => self.end_fetch(false),
            26 => self.put(),
            27..29 => self.secede_or_rejoin(),
            29 => self.prepare(),
            30..32 => self.act(),
            22 => {
                let budget = [100, usize::MAX][self.rng.index(2)];
                self.take_reports(budget);
            }
            23 => {
                let paused = self.rng.below(3) == 0;
                self.handle(Event::Paused(paused));
            }
            24 if disconnects && self.rng.below(8) == 0 => {
                self.handle(Event::Disconnected);
                self.handle(Event::Connected);
                self.hear_announcement();
                self.handle(Event::AnnounceReplied { equal: false });
            }
            _ => {
                self.now = self.now + Span(self.rng.below(5));
                if self.machine.next_timer().is_some_and(|due| due <= self.now) {
                    self.handle(Event::TimerDue);
                }
            }
        }
    }

    /// Lets everything come to its end: no accident, and every input can be had.
    fn settle_down(&mut self) {
        self.handle(Event::Paused(false));
        self.end_actors();
        for _ in 0..10_000 {
            let everything = 0..u32::try_from(TASKS).unwrap();
            let tasks = everything.map(|index| TaskId { graph: GraphId(1), index });
            let places = tasks.map(|task| Input {
                object: ObjectId::output(task, 0),
                holders: SmallVec::from_iter([WorkerId(9)]),
                size: 3,
                value: None,
                made_by: None,
            });
            if !self.machine.objects.sought.is_empty()
                && self.fetches.is_empty()
                && self.towards.is_empty()
            {
                self.order(Order::Places(places.collect()));
            }
            while !self.towards.is_empty() {
                self.carry_out();
            }
            self.secede_or_rejoin();
            self.end_one();
            self.end_fetch(true);
            self.deliver_answer();
            self.deliver_end();
            let idle = self.towards.is_empty() && self.ends.is_empty() && self.answers.is_empty();
            if idle
                && self.running.is_empty()
                && self.fetches.is_empty()
                && self.machine.attempts.is_empty()
                && self.machine.actors.is_empty()
            {
                break;
            }
        }
        self.take_reports(usize::MAX);
    }
}

fn run(seed: u64, disconnects: bool) {
    let mut world = World::new(seed);
    world.handle(Event::Connected);
    for step in 0..500 {
        if step == 450 && seed.is_multiple_of(3) {
            world.drained = true;
            world.order(Order::Drain { deadline: None });
        }
        world.step(disconnects);
    }
    world.settle_down();
    assert!(world.machine.attempts.is_empty(), "stuck: {:?}", world.machine);
    assert!(world.machine.pool.balances(std::iter::empty()));
    assert_eq!(world.left, u32::from(world.drained));
    let stored: BTreeSet<_> = world.machine.objects.stored.keys().copied().collect();
    assert!(stored.is_subset(&world.store), "the machine counts on what the store does not have");
    assert_eq!(stored, world.store, "the store has what the machine does not know");
    if !disconnects {
        let missing = world.latest.values().find(|attempt| !world.told.contains_key(attempt));
        assert_eq!(missing, None, "its end was never told");
    }
    let announced: BTreeSet<_> = world
        .machine
        .announce()
        .iter()
        .flat_map(|part| part.ended.clone())
        .filter_map(|end| end.ended())
        .collect();
    for attempt in world.latest.values() {
        let has_output = world.machine.holds(ObjectId::output(attempt.task, 0)).is_some();
        let is_told = world.told.contains_key(attempt) || announced.contains(attempt);
        // An output that was finished and released in between is told by nothing; the scheduler knew it to release it.
        assert!(is_told || has_output || world.started.contains(attempt), "{attempt} is lost");
    }
}

#[test]
fn every_accepted_attempt_is_told_to_have_ended_once() {
    for seed in 0..300 {
        run(seed, false);
    }
}

#[test]
fn no_attempt_is_lost_with_a_stream() {
    for seed in 300..400 {
        run(seed, true);
    }
}

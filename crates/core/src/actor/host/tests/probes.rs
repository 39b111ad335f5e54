//! Probes: when they are sent, what is added to those of others, and which call ends.

use super::*;
use crate::actor::LaneSpec;
use crate::actor::probe::{Probe, Step};
use crate::limits::{CALL_CHAIN, DEADLOCK_PROBE_AFTER};

impl Rig {
    /// Something happens; the probes that the host sends.
    fn probes(&mut self, event: Event) -> Vec<Probe> {
        let (now, mut effects) = (self.now, Vec::new());
        self.host().handle(now, event, &mut effects);
        let probes = effects.into_iter().filter_map(|effect| match effect {
            Effect::Probe { probe, .. } => Some(*probe),
            _ => None,
        });
        probes.collect()
    }

    /// The probe that is sent once a call has waited for long.
    fn sent(&mut self) -> Probe {
        self.now = self.now + DEADLOCK_PROBE_AFTER;
        let [probe] = self.probes(Event::TimerDue).try_into().unwrap();
        probe
    }
}

/// A probe is back, by the first call over a line.
fn back(line: u64, probe: Probe) -> Event {
    let word = ToHost::Probe { seq: 1, probe: Box::new(probe) };
    Event::Said { line: Line(line), word }
}

/// A probe on its way through another actor: the call that was waited for, and the one behind which that waits.
fn around(probe: Probe, wait: u64) -> Probe {
    let mut probe = probe.in_wait(wait);
    let other = |n| CallId { actor: ActorId(8), ..id(n, 1) };
    probe.steps.push(Step {
        waits: Some(other(90)),
        waits_method: "answer".to_owned(),
        runs: other(91),
        runs_method: "ask".to_owned(),
        class_name: "Other".to_owned(),
        incarnation: Incarnation(3),
        run: 5,
        wait: wait + 1,
    });
    probe
}

/// A probe that was sent after a call of another actor.
fn from(runs: CallId) -> Probe {
    let step = Step {
        waits: None,
        waits_method: String::new(),
        runs,
        runs_method: "ask".to_owned(),
        class_name: "Other".to_owned(),
        incarnation: Incarnation(1),
        run: 1,
        wait: 1,
    };
    Probe { number: 1, steps: vec![step] }
}

fn of_other(n: u32) -> CallId {
    CallId { actor: ActorId(8), ..id(n, 1) }
}

fn times(n: u64) -> Span {
    Span(n * DEADLOCK_PROBE_AFTER.0)
}

#[test]
fn a_probe_is_sent_after_a_second_and_each_second_after_that() {
    let mut rig = Rig::at_most_once(2);
    rig.call(1, 1, "a");
    assert!(rig.wait(times(3)).is_empty(), "nobody waits");
    rig.call(2, 1, "a");
    let second = DEADLOCK_PROBE_AFTER;
    assert!(rig.wait(Span(second.0 - 1)).is_empty());
    assert_eq!(rig.wait(second), ["probe 1 as 1"]);
    assert_eq!(rig.wait(times(2)), ["probe 1 as 2", "probe 1 as 3"]);
    rig.returns(1, "x");
    assert!(rig.wait(times(3)).is_empty(), "nobody waits any more");
}

#[test]
fn a_call_that_a_probe_comes_back_by_twice_ends_as_a_deadlock() {
    let mut rig = Rig::at_most_once(2);
    rig.call(1, 1, "a");
    rig.call(2, 1, "b");
    let probe = rig.sent();
    let word = back(2, around(probe, 1));
    let [again] = rig.probes(word).try_into().unwrap();
    assert_eq!((again.number, again.steps.len()), (2, 1));
    let word = back(2, around(again, 1));
    assert_eq!(rig.on(word), ["take back 2"], "it was given ahead");
    let mut effects = Vec::new();
    let now = rig.now;
    rig.host().handle(now, Event::TakenBack(RunNo(2)), &mut effects);
    let Some(Effect::Say { word: ToCaller::Reply { ending, .. }, .. }) = effects.first() else {
        panic!("{effects:?}");
    };
    let Outcome::Failure(failure) = &ending.outcome else { panic!("{ending:?}") };
    assert_eq!(failure.code, CallCode::Deadlock);
    assert_eq!(failure.cycle, [id(2, 1), id(1, 1), of_other(90), of_other(91)]);
    let text = &failure.message;
    assert!(text.contains("Counter.b behind Counter.a of actor 0"), "{text}");
    assert!(text.contains("-> Other.answer behind Other.ask of actor 0"), "{text}");
    assert_eq!(rig.returns(1, "x"), ["1: 1 = x"], "the others go on");
}

#[test]
fn nothing_ends_where_a_wait_was_another_the_second_time() {
    let mut rig = Rig::at_most_once(2);
    rig.call(1, 1, "a");
    rig.call(2, 1, "b");
    let probe = rig.sent();
    let word = back(2, around(probe.clone(), 1));
    let [again] = rig.probes(word).try_into().unwrap();
    let late = back(2, around(probe, 1));
    assert!(rig.on(late).is_empty(), "of the first round");
    let word = back(2, around(again, 2));
    assert!(rig.on(word).is_empty());
}

#[test]
fn nothing_ends_that_has_ended_or_runs_by_the_time_the_probe_is_back() {
    let mut rig = Rig::at_most_once(3);
    rig.call(1, 1, "a");
    rig.call(2, 1, "b");
    rig.call(3, 1, "c");
    let probe = rig.sent();
    let word = back(2, around(probe, 1));
    let [again] = rig.probes(word).try_into().unwrap();
    rig.returns(1, "x");
    let word = back(2, around(again.clone(), 1));
    assert_eq!(rig.on(word), ["probe 2 as 2"], "it runs, and may wait for another");
    rig.returns(2, "x");
    let word = back(2, around(again, 1));
    assert!(rig.on(word).is_empty(), "it has ended");
}

#[test]
fn of_a_circle_the_probe_of_the_greatest_call_goes_on() {
    let mut rig = Rig::at_most_once(6);
    rig.call(5, 1, "a");
    rig.call(2, 1, "b");
    let word = back(2, from(of_other(4)));
    assert!(rig.on(word).is_empty(), "that of call 5 will come back");
    let word = back(2, from(of_other(6)));
    assert_eq!(rig.on(word), ["probe 1 as 1"]);
    let word = back(5, from(of_other(4)));
    assert_eq!(rig.on(word), ["probe 1 as 1"], "nobody need wait for one that runs");
    let mut long = from(of_other(6));
    let step = long.steps[0].clone();
    let steps = (10..).map(|n| Step { runs: of_other(n), ..step.clone() });
    long.steps.extend(steps.take(CALL_CHAIN - 1));
    let word = back(5, long);
    assert!(rig.on(word).is_empty(), "it has been far enough");
}

#[test]
fn any_of_several_calls_of_a_lane_may_end() {
    let mut wide = spec(Delivery::AtMostOnce);
    wide.lanes = vec![LaneSpec { name: "wide".to_owned(), concurrency: 2 }];
    let mut rig = Rig::new(wide, 3);
    for line in 1..=3 {
        rig.call(line, 1, "a");
    }
    assert!(rig.wait(times(3)).is_empty());
    let word = back(3, from(of_other(9)));
    assert!(rig.on(word).is_empty());
    let word = back(2, from(of_other(9)));
    assert_eq!(rig.on(word), ["probe 2 as 1"], "one that runs waits for nobody's turn");
}

#[test]
fn a_deadlock_is_in_the_log_and_the_same_when_it_is_played_again() {
    let mut rig = Rig::effectively_once(2);
    rig.call(1, 1, "a");
    rig.call(2, 1, "b");
    let probe = rig.sent();
    let word = back(2, around(probe, 1));
    let [again] = rig.probes(word).try_into().unwrap();
    let word = back(2, around(again, 1));
    assert_eq!(rig.on(word), ["take back 2"]);
    let told = rig.on(Event::TakenBack(RunNo(2)));
    assert_eq!(told, ["log 4 not 3", "2: 1 = DEADLOCK"]);
    assert_eq!(rig.call(2, 2, "c"), ["log 5 s2#2", "run 3 s2#2"]);
    assert_eq!(rig.restarts(false), ["log 6 life 2", "run 1 s1#1 again"]);
    assert!(rig.open(2, 2, 0).len() == 1);
    let told = rig.returns(1, "x");
    assert!(told.contains(&"2: 1 = DEADLOCK".to_owned()), "{told:?}");
    assert!(told.contains(&"run 2 s2#2 again".to_owned()), "{told:?}");
}

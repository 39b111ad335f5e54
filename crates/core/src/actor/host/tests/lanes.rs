//! Lanes: what runs beside what, and what waits for what.

use super::*;
use crate::actor::LaneSpec;
use crate::limits::CALLS_AHEAD;

fn lanes(concurrency: [u32; 2]) -> ActorSpec {
    let lane = |name: &str, concurrency| LaneSpec { name: name.to_owned(), concurrency };
    let mut spec = spec(Delivery::AtMostOnce);
    spec.lanes = vec![lane("work", concurrency[0]), lane("look", concurrency[1])];
    spec
}

fn in_lane(lane: u32) -> Call {
    Call { lane: Some(lane), ..call("a") }
}

#[test]
fn each_lane_has_its_own_turn() {
    let mut rig = Rig::new(lanes([1, 2]), 1);
    assert_eq!(rig.send(1, 1, in_lane(0)), ["run 1 s1#1"]);
    assert!(rig.send(1, 2, in_lane(0)).is_empty(), "with two lanes none is given ahead");
    assert_eq!(rig.send(1, 3, in_lane(1)), ["run 2 s1#3"]);
    assert_eq!(rig.send(1, 4, in_lane(1)), ["run 3 s1#4"]);
    let receipt = Call { receipt: true, ..in_lane(1) };
    assert_eq!(rig.send(1, 5, receipt), ["1: accepted 5 at 2"]);
    assert_eq!(rig.returns(2, "x"), ["1: 3 = x", "run 4 s1#5"]);
    let status = rig.host().status(Time(3));
    assert_eq!(status.lanes.iter().map(|lane| lane.waiting).collect::<Vec<_>>(), [1, 0]);
    assert_eq!(status.running.len(), 3);
    assert_eq!(rig.returns(1, "y"), ["1: 1 = y", "run 5 s1#2"]);
}

#[test]
fn with_one_lane_calls_are_given_ahead_up_to_a_limit() {
    let mut rig = Rig::at_most_once(1);
    let (most, next) = (CALLS_AHEAD, CALLS_AHEAD + 1);
    let given: usize = (1..=2 * most as u64).map(|seq| rig.call(1, seq, "a").len()).sum();
    assert_eq!(given, most);
    assert_eq!(rig.returns(1, "x"), ["1: 1 = x".to_owned(), format!("run {next} s1#{next}")]);
}

#[test]
fn what_may_be_to_blame_runs_alone() {
    let mut wide = spec(Delivery::AtLeastOnce);
    wide.lanes[0].concurrency = 4;
    let mut rig = Rig::new(wide, 1);
    for seq in 1..=4 {
        rig.call(1, seq, "a");
    }
    rig.dies(None);
    rig.call(1, 5, "a");
    assert_eq!(rig.succeeds(), ["1: opened 2 next 6 since 1", "run 1 s1#1"]);
    assert_eq!(rig.dies(None), ["1: 1 = POISONED", "over Crashed"]);
    assert_eq!(rig.succeeds(), ["1: opened 3 next 6 since 1", "run 1 s1#2"]);
    assert_eq!(rig.returns(1, "x"), ["1: 2 = x", "run 2 s1#3"]);
    rig.returns(2, "x");
    assert_eq!(rig.returns(3, "x"), ["1: 4 = x", "run 4 s1#5"]);
}

#[test]
fn a_call_back_into_another_lane_runs_though_the_actor_is_to_rest() {
    let mut rig = Rig::new(lanes([1, 1]), 2);
    rig.send(1, 1, in_lane(0));
    rig.send(1, 2, in_lane(1));
    assert!(rig.on(Event::CheckpointAsked { request: 3 }).is_empty(), "calls run");
    assert!(rig.send(2, 1, in_lane(1)).is_empty());
    let back = Call { chain: vec![id(1, 1)], ..in_lane(1) };
    assert!(rig.send(2, 2, back).is_empty(), "its lane is busy");
    assert_eq!(rig.returns(2, "x"), ["1: 2 = x", "run 3 s2#1"], "the one before it");
    assert_eq!(rig.returns(3, "x"), ["2: 1 = x", "run 4 s2#2"]);
    assert_eq!(rig.returns(4, "x"), ["2: 2 = x"]);
    assert_eq!(rig.returns(1, "x"), ["1: 1 = x", "checkpoint 0"]);
    assert_eq!(rig.kept(), ["made 3 at 0"]);
}

#[test]
fn a_lane_that_does_not_exist_is_the_first() {
    let mut rig = Rig::at_most_once(1);
    assert_eq!(rig.send(1, 1, in_lane(77)), ["run 1 s1#1"]);
}

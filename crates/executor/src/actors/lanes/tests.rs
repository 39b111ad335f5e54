//! Calls in, turns out.

use bireme_core::actor::call::{CallId, CallerId, ReplyKind, Who as Caller};
use bireme_core::id::{ActorId, SessionId};

use super::super::items::Items;
use super::*;

fn id(seq: u64) -> CallId {
    let caller = CallerId { who: Caller::Session(SessionId(1)), life: 1 };
    CallId { caller, actor: ActorId(1), seq }
}

fn call(number: u64, lane: u32, chain: Vec<CallId>) -> (Box<Call>, Arc<Credit>) {
    let credit = Arc::new(Credit::new(0));
    let items = Items::new((ActorId(1), number), std::sync::Weak::new(), Arc::clone(&credit));
    let call = Call {
        actor: ActorId(1),
        number,
        method: "m".to_owned(),
        arguments: bytes::Bytes::new(),
        inputs: Vec::new(),
        lane,
        reply: ReplyKind::Value,
        deadline: None,
        replay: false,
        lsn: 0,
        left_out: 0,
        traceparent: String::new(),
        id: Some(id(number)),
        chain,
        stop: Arc::default(),
        items,
    };
    (Box::new(call), credit)
}

/// Lanes of an actor that is made.
fn lanes(concurrencies: &[u32], reentrant: bool) -> Lanes {
    let spec = |concurrency: &u32| LaneSpec { name: String::new(), concurrency: *concurrency };
    let specs: Vec<_> = concurrencies.iter().map(spec).collect();
    let mut lanes = Lanes::new(&specs, reentrant);
    assert!(lanes.resume().is_empty());
    lanes
}

fn give(lanes: &mut Lanes, number: u64, lane: u32) -> Who {
    let (call, credit) = call(number, lane, Vec::new());
    lanes.give(call, credit).unwrap()
}

/// What the thread of a lane does next: the number of a call, 0 for a pause, or nothing.
fn next(lanes: &mut Lanes, at: usize, home: bool, seat: &Arc<Notify>) -> Option<u64> {
    Some(match lanes.next(at, home, seat)? {
        Next::Call(call) => call.number,
        Next::Pause(Pause::Checkpoint(_)) => 0,
        Next::End | Next::Leave => u64::MAX,
    })
}

#[test]
fn calls_of_a_lane_run_one_after_the_other() {
    let (mut lanes, home) = (lanes(&[1], false), Arc::default());
    assert!(lanes.are_one());
    assert_eq!(next(&mut lanes, 0, true, &home), None);
    assert!(matches!(give(&mut lanes, 1, 0), Who::Woken(seat) if Arc::ptr_eq(&seat, &home)));
    assert!(matches!(give(&mut lanes, 2, 0), Who::Same), "it is woken already");
    assert_eq!(next(&mut lanes, 0, true, &home), Some(1));
    assert_eq!(next(&mut lanes, 0, true, &home), None, "one at a time");
    assert!(!lanes.ended(1));
    assert_eq!(next(&mut lanes, 0, true, &home), Some(2));
    let (call, credit) = call(3, 1, Vec::new());
    assert_eq!(lanes.give(call, credit).unwrap_err().number, 3, "there is no such lane");
}

#[test]
fn a_lane_gets_threads_as_it_needs_them() {
    let (mut lanes, home) = (lanes(&[1, 2], false), Arc::default());
    assert!(!lanes.are_one());
    assert!(matches!(give(&mut lanes, 1, 1), Who::New(1)));
    assert!(matches!(give(&mut lanes, 2, 1), Who::New(1)));
    assert!(matches!(give(&mut lanes, 3, 1), Who::Same), "it has as many as it may have");
    let (one, two) = (Arc::default(), Arc::default());
    assert_eq!(next(&mut lanes, 1, false, &one), Some(1));
    assert_eq!(next(&mut lanes, 1, false, &two), Some(2));
    assert_eq!(next(&mut lanes, 0, true, &home), None);
    lanes.ended(2);
    assert_eq!(next(&mut lanes, 1, false, &two), Some(3));
    lanes.ended(1);
    assert_eq!(next(&mut lanes, 1, false, &one), None);
    assert!(matches!(give(&mut lanes, 4, 1), Who::Woken(seat) if Arc::ptr_eq(&seat, &one)));
}

#[test]
fn a_pause_comes_between_the_calls_before_and_those_behind_it() {
    let (mut lanes, home, other) = (lanes(&[1, 1], false), Arc::default(), Arc::default());
    give(&mut lanes, 1, 1);
    give(&mut lanes, 2, 0);
    lanes.pause(Pause::Checkpoint(9));
    give(&mut lanes, 3, 1);
    assert_eq!(next(&mut lanes, 0, true, &home), Some(2));
    assert!(!lanes.ended(2) || next(&mut lanes, 0, true, &home).is_none(), "1 has not run");
    assert_eq!(next(&mut lanes, 1, false, &other), Some(1));
    assert_eq!(next(&mut lanes, 1, false, &other), None, "3 was given behind the pause");
    assert!(lanes.ended(1), "its own thread is to look");
    assert_eq!(next(&mut lanes, 0, true, &home), Some(0));
    assert_eq!(next(&mut lanes, 1, false, &other), None, "the pause goes on");
    let woken = lanes.resume();
    assert!(matches!(woken.as_slice(), [seat] if Arc::ptr_eq(seat, &other)));
    assert_eq!(next(&mut lanes, 1, false, &other), Some(3));
}

#[test]
fn a_call_that_is_waited_for_runs_beside_its_lane() {
    let (mut lanes, home) = (lanes(&[1], true), Arc::default());
    give(&mut lanes, 1, 0);
    assert_eq!(next(&mut lanes, 0, true, &home), Some(1));
    lanes.pause(Pause::Checkpoint(9));
    let (stranger, credit) = call(2, 0, vec![id(7)]);
    assert!(matches!(lanes.give(stranger, credit), Ok(Who::Same)));
    let (inner, credit) = call(3, 0, vec![id(7), id(1)]);
    assert!(matches!(lanes.give(inner, credit), Ok(Who::Beside(call)) if call.number == 3));
    lanes.ended(1);
    assert_eq!(next(&mut lanes, 0, true, &home), None, "3 runs still");
    assert!(lanes.ended(3));
    assert_eq!(next(&mut lanes, 0, true, &home), Some(0));
}

#[test]
fn what_waits_is_taken_away_and_what_runs_is_asked() {
    let (mut lanes, home) = (lanes(&[1], false), Arc::default());
    let (first, credit) = call(1, 0, Vec::new());
    let stop = Arc::clone(&first.stop);
    lanes.give(first, credit).unwrap();
    give(&mut lanes, 2, 0);
    assert_eq!(next(&mut lanes, 0, true, &home), Some(1));
    assert_eq!(lanes.cancel(2).map(|call| call.number), Some(2));
    assert!(lanes.cancel(1).is_none());
    assert!(stop.is_asked());
    lanes.ended(1);
    assert_eq!(next(&mut lanes, 0, true, &home), None);
}

#[test]
fn an_actor_ends_when_its_running_calls_have() {
    let (mut lanes, home, other) = (lanes(&[1, 1], false), Arc::default(), Arc::default());
    give(&mut lanes, 1, 0);
    assert_eq!(next(&mut lanes, 1, false, &other), None);
    assert_eq!(next(&mut lanes, 0, true, &home), Some(1));
    give(&mut lanes, 2, 0);
    lanes.pause(Pause::Checkpoint(9));
    let (idle, undone) = lanes.end(false);
    assert_eq!(undone, [2]);
    assert!(matches!(idle.as_slice(), [seat] if Arc::ptr_eq(seat, &other)));
    assert!(matches!(lanes.next(1, false, &other), Some(Next::Leave)));
    assert!(lanes.next(0, true, &home).is_none());
    assert!(lanes.ended(1));
    assert!(matches!(lanes.next(0, true, &home), Some(Next::End)));
    assert!(matches!(give(&mut lanes, 3, 0), Who::Same), "nothing begins any more");
}

//! What slots remember, and in how many bytes.

use bireme_core::graph::{GraphOptions, TaskSpec};
use smallvec::smallvec;

use super::*;

/// Three tasks, of which the last takes the outputs of the others and the second is listed.
fn slots(outputs: Outputs, watch: Watch) -> Slots {
    let mut graph = GraphBuilder::new(GraphOptions { outputs, watch, ..GraphOptions::default() });
    graph.task(TaskSpec::default()).unwrap();
    graph.task(TaskSpec::default()).unwrap();
    let deps = smallvec![0.into(), 1.into()];
    graph.task(TaskSpec { deps, ..TaskSpec::default() }).unwrap();
    graph.keep(1);
    Slots::new(&graph)
}

fn expected(outputs: Outputs, watch: Watch) -> Vec<bool> {
    let slots = slots(outputs, watch);
    (0..slots.len()).map(|task| slots.look(task, 0) == Look::Pending { expected: true }).collect()
}

#[test]
fn a_pending_task_takes_four_bytes_and_a_small_result_fewer_than_sixty() {
    assert_eq!(size_of::<Slot>(), 4);
    assert!(size_of::<Slot>() + size_of::<Entry>() < 60, "{}", size_of::<Entry>());
}

#[test]
fn only_kept_outputs_are_expected() {
    assert_eq!(expected(Outputs::Sinks, Watch::Outputs), [false, false, true]);
    assert_eq!(expected(Outputs::All, Watch::Outputs), [true, true, true]);
    assert_eq!(expected(Outputs::Listed, Watch::Outputs), [false, true, false]);
    assert_eq!(expected(Outputs::None, Watch::Outputs), [false, false, false]);
    assert_eq!(expected(Outputs::All, Watch::Graph), [false, false, false]);
}

#[test]
fn an_end_is_asked_for_once() {
    let mut slots = slots(Outputs::Sinks, Watch::Outputs);
    assert!(slots.expect(0));
    assert!(!slots.expect(0) && !slots.expect(2) && !slots.expect(99));
}

#[test]
fn whoever_comes_back_says_what_has_ended_and_what_was_asked_for() {
    let mut slots = Slots::unasked(1_000);
    assert!([3, 4, 6].into_iter().all(|task| slots.expect(task)));
    slots.finish(4, smallvec![Entry::of(Value::none())]);
    let range = |first, count| IndexRange { first, count };
    assert_eq!(slots.asked(), [range(3, 1), range(6, 1)]);
    assert_eq!(slots.ended(), [range(4, 1)]);
    for task in (0..1_000).filter(|task| task % 3 > 0) {
        slots.finish(task, smallvec![Entry::of(Value::text("x"))]);
    }
    slots.finish(900, smallvec![]);
    let ended = slots.ended();
    assert_eq!((ended.len(), ended[0]), (limits::KNOWN_RANGES, range(898, 5)));
}

#[test]
fn outputs_are_found_by_number() {
    let mut slots = slots(Outputs::All, Watch::Outputs);
    slots.finish(0, smallvec![Entry::of(Value::text("a"))]);
    let place = Place { holders: smallvec![WorkerId(1)], size: 1 << 20 };
    slots.finish(1, smallvec![Entry::of(Value::none()), Entry::Placed(place.clone())]);
    assert_eq!(slots.look(0, 0), Look::Value(Value::text("a")));
    assert_eq!(slots.look(0, 1), Look::NotKept);
    assert_eq!(slots.look(1, 0), Look::Value(Value::none()));
    assert_eq!(slots.look(1, 1), Look::Placed(place));
    assert_eq!(slots.look(3, 0), Look::NoTask);
}

#[test]
fn a_result_of_nothing_needs_no_entry() {
    let mut slots = slots(Outputs::All, Watch::Outputs);
    slots.finish(0, smallvec![Entry::of(Value::none())]);
    assert_eq!((slots.look(0, 0), slots.entries.len()), (Look::Value(Value::none()), 0));
}

#[test]
fn a_value_with_a_type_hint_keeps_it() {
    let mut slots = slots(Outputs::All, Watch::Outputs);
    let value = Value { type_hint: "Vec<u8>".into(), ..Value::raw("x") };
    slots.finish(0, smallvec![Entry::of(value.clone())]);
    assert_eq!(slots.look(0, 0), Look::Value(value));
}

#[test]
fn a_task_that_ends_again_takes_its_old_entry() {
    let mut slots = slots(Outputs::All, Watch::Outputs);
    let error = Box::new(TaskError::new(ErrorClass::User, "USER_ERROR", "no"));
    slots.fail(0, error.clone());
    assert_eq!(slots.look(0, 3), Look::Failed(error));
    slots.finish(0, smallvec![Entry::of(Value::raw("yes"))]);
    assert_eq!(slots.look(0, 0), Look::Value(Value::raw("yes")));
    assert_eq!(slots.entries.len(), 1);
}

#[test]
fn what_is_released_is_gone_but_a_failure_stays() {
    let mut slots = slots(Outputs::All, Watch::Outputs);
    slots.finish(0, smallvec![Entry::of(Value::raw("x"))]);
    let error = Box::new(TaskError::new(ErrorClass::User, "USER_ERROR", "no"));
    slots.fail(1, error.clone());
    slots.release(IndexRange { first: 0, count: 99 });
    assert_eq!(slots.failures().collect::<Vec<_>>(), [(1, (*error).clone())]);
    assert_eq!(slots.look(0, 0), Look::NotKept);
    assert_eq!(slots.look(1, 0), Look::Failed(error));
    assert_eq!(slots.look(2, 0), Look::Pending { expected: true });
}

//! What the scheduler is told.

use bireme_core::protocol::{Order, Report};
use bireme_core::{Time, Value};
use expect_test::expect;

use super::script::{attempt, check, ended, machine, start};
use crate::machine::{Effect, Event};

#[test]
fn one_task_runs_and_its_end_is_told() {
    check(
        "up | start 1 | told | at 3 | end 1 | told | announce",
        expect![[r"
        up                       ->
        start 1                  -> wake, run 1
        told                     -> started 1
        at 3                     ->
        end 1                    -> wake
        told                     -> finished 1 after 0 us
        announce                 -> 1 of 8
    "]],
    );
}

#[test]
fn only_the_end_is_told_of_what_ended_before_anybody_asked() {
    check(
        "up | start 1 | end 1 | start 2 | told",
        expect![[r"
        up                       ->
        start 1                  -> wake, run 1
        end 1                    ->
        start 2                  -> run 2
        told                     -> finished 1 after 0 us, started 2
    "]],
    );
}

#[test]
fn starts_alone_may_wait_and_nothing_else_may() {
    let (mut machine, mut effects) = (machine(2), Vec::new());
    assert!(!machine.has_only_starts(), "there is nothing to tell");
    machine.handle(Time(0), Event::Connected, &mut effects);
    for id in ["1", "2"].map(attempt) {
        machine.handle(Time(0), Event::Ordered(Order::Start(start(id))), &mut effects);
    }
    assert!(machine.has_only_starts());
    machine.handle(Time(0), ended(attempt("1"), None), &mut effects);
    assert!(!machine.has_only_starts());
}

#[test]
fn work_goes_on_without_a_scheduler_and_everything_is_announced() {
    check(
        "start 1 | start 2 | start 3 in=1,8@2 | start 4 | end 1 | end 2 failed | start 5 | end 4 empty | lacking 8@2 | told \
         | up | announce | told | replied | told | down | end 5 | up | told | announce",
        expect![[r"
            start 1                  -> run 1
            start 2                  -> run 2
            start 3 in=1,8@2         -> fetch 8@2
            start 4                  -> follow 4
            end 1                    -> promote 4
            end 2 failed             ->
            start 5                  -> run 5
            end 4 empty              ->
            lacking 8@2              ->
            told                     ->
            up                       ->
            announce                 -> 1 of 8, 3, 5 started, failed 2 User USER_ERROR, finished 4 after 0 us
            told                     ->
            replied                  -> wake
            told                     -> missing 8@2
            down                     ->
            end 5                    ->
            up                       ->
            told                     ->
            announce                 -> 1 of 8, 5 of 8, 3, failed 2 User USER_ERROR, finished 4 after 0 us
        "]],
    );
}

#[test]
fn reports_are_taken_by_their_size() {
    let mut worker = machine(0);
    let mut effects = Vec::new();
    worker.handle(Time(0), Event::Connected, &mut effects);
    for n in 1..=3 {
        let id = attempt(&n.to_string());
        worker.handle(Time(0), Event::Ordered(Order::Start(start(id))), &mut effects);
        worker.handle(Time(0), ended(id, Some(Value::raw(vec![0; 1_000]))), &mut effects);
    }
    assert_eq!(effects.iter().filter(|effect| matches!(effect, Effect::Wake)).count(), 1);
    let mut reports = Vec::new();
    assert!(worker.take_reports(1_500, &mut reports), "one is left");
    assert_eq!(reports.len(), 2);
    assert!(!worker.take_reports(1_500, &mut reports));
    assert!(reports.iter().all(|report| matches!(report, Report::Finished { .. })));
}

#[test]
fn a_large_announcement_comes_in_parts() {
    let mut worker = machine(0);
    let mut effects = Vec::new();
    for n in 1..=10_000 {
        let id = attempt(&n.to_string());
        worker.handle(Time(0), Event::Ordered(Order::Start(start(id))), &mut effects);
        worker.handle(Time(0), ended(id, None), &mut effects);
    }
    let parts = worker.announce();
    assert!(parts.len() > 1);
    let objects: Vec<_> = parts.iter().flat_map(|part| &part.objects).collect();
    assert!(objects.len() == 10_000 && objects.is_sorted());
    assert!(parts.iter().rev().map(|part| part.last).eq((0..parts.len()).map(|at| at == 0)));
}

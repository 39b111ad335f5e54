//! Who runs next, and who follows whom.

use bireme_core::protocol::{Order, Start};
use bireme_core::resources::UNITS;
use bireme_core::{Resources, Time, limits};
use expect_test::expect;

use super::script::{attempt, check, ended, machine, start};
use crate::machine::{Effect, Event, Machine, Phase};

#[test]
fn the_smaller_rank_runs_first() {
    check(
        "pause | start 1 rank=9 | start 2 rank=5 | start 3 rank=5 | start 4 rank=1 | resume | end 4 next=3 | end 2",
        expect![[r"
            pause                    ->
            start 1 rank=9           ->
            start 2 rank=5           ->
            start 3 rank=5           ->
            start 4 rank=1           ->
            resume                   -> run 4, run 2, follow 3, follow 1
            end 4 next=3             ->
            end 2                    -> promote 1
        "]],
    );
}

#[test]
fn what_does_not_fit_is_passed_and_nothing_follows_past_it() {
    check(
        "start 1 | start 2 cpus=2 | start 3 | start 4 | end 1 | end 3 | end 4",
        expect![[r"
            start 1                  -> run 1
            start 2 cpus=2           ->
            start 3                  -> run 3
            start 4                  ->
            end 1                    -> run 4
            end 3                    ->
            end 4                    -> run 2
        "]],
    );
}

#[test]
fn attempts_follow_only_their_own_kind_and_never_with_memory() {
    check(
        "start 1 command cpus=2 | start 2 command cpus=2 | start 3 cpus=2 | start 4 memory=60 cpus=2 | end 1 next=2 | end 2 | end 3",
        expect![[r"
            start 1 command cpus=2   -> run 1
            start 2 command cpus=2   -> follow 2
            start 3 cpus=2           ->
            start 4 memory=60 cpus=2 ->
            end 1 next=2             ->
            end 2                    -> run 3
            end 3                    -> run 4
        "]],
    );
}

#[test]
fn gpus_are_handed_out_by_number() {
    check(
        "start 1 gpu=1 cpus=0 | start 2 gpu=1 cpus=0 | end 1 | start 3 gpu=0.5 cpus=0 | start 4 gpu=0.5 cpus=0 | end 2 | start 5 gpu=1.0",
        expect![[r"
            start 1 gpu=1 cpus=0     -> run 1 gpu:0
            start 2 gpu=1 cpus=0     -> run 2 gpu:1
            end 1                    ->
            start 3 gpu=0.5 cpus=0   -> run 3 gpu:0
            start 4 gpu=0.5 cpus=0   -> run 4 gpu:0
            end 2                    ->
            start 5 gpu=1.0          -> run 5 gpu:1
        "]],
    );
}

#[test]
fn a_whole_gpu_does_not_fit_two_half_free_ones() {
    check(
        "start 1 gpu=0.6 cpus=0 | start 2 gpu=0.6 cpus=0 | start 3 gpu=0.7 cpus=0 | start 4 gpu=0.4 cpus=0 | end 1 | end 4",
        expect![[r"
            start 1 gpu=0.6 cpus=0   -> run 1 gpu:0
            start 2 gpu=0.6 cpus=0   -> run 2 gpu:1
            start 3 gpu=0.7 cpus=0   ->
            start 4 gpu=0.4 cpus=0   -> run 4 gpu:0
            end 1                    ->
            end 4                    -> run 3 gpu:0
        "]],
    );
}

#[test]
fn what_waits_for_a_whole_gpu_is_not_passed_for_ever() {
    let (mut machine, mut effects) = (machine(2), Vec::new());
    let with_gpus = |n: u32, units| {
        Order::Start(Start {
            resources: Resources::none().with_others([("gpu".to_owned(), units)]).unwrap(),
            ..start(attempt(&n.to_string()))
        })
    };
    for n in [1, 2] {
        machine.handle(Time(0), Event::Ordered(with_gpus(n, UNITS * 6 / 10)), &mut effects);
    }
    machine.handle(Time(0), Event::Ordered(with_gpus(3, UNITS)), &mut effects);
    let mut passed = 0;
    for n in 4.. {
        effects.clear();
        machine.handle(Time(0), Event::Ordered(with_gpus(n, UNITS * 4 / 10)), &mut effects);
        if effects.is_empty() {
            break;
        }
        passed += 1;
        machine.handle(Time(0), ended(attempt(&n.to_string()), None), &mut effects);
    }
    assert_eq!(passed, limits::PASSES);
    machine.handle(Time(0), ended(attempt("1"), None), &mut effects);
    let runs = |effect: &Effect| matches!(effect, Effect::Execute { execution, .. } if execution.attempt == attempt("3"));
    assert!(effects.iter().any(runs), "{effects:?}");
}

#[test]
fn what_needs_nothing_starts_at_once() {
    check(
        "start 1 cpus=2 | start 2 cpus=2 | start 3 cpus=0 | end 3",
        expect![[r"
        start 1 cpus=2           -> run 1
        start 2 cpus=2           -> follow 2
        start 3 cpus=0           -> run 3
        end 3                    ->
    "]],
    );
}

#[test]
fn what_can_never_fit_fails_at_once() {
    check(
        "up | start 1 cpus=3 | start 2 memory=101 | told | announce | settle 1 | announce",
        expect![[r"
            up                       ->
            start 1 cpus=3           -> wake
            start 2 memory=101       ->
            told                     -> failed 1 Reschedule NO_WORKER, failed 2 Reschedule NO_WORKER
            announce                 -> failed 1 Reschedule NO_WORKER, failed 2 Reschedule NO_WORKER
            settle 1                 ->
            announce                 -> failed 2 Reschedule NO_WORKER
        "]],
    );
}

#[test]
fn a_follower_takes_over_without_asking() {
    check(
        "up | start 1 | start 2 | start 3 | start 4 | start 5 | at 3 | end 1 next=3 | end 2 next=4 | end 3 next=5 | end 4 | end 5 | told",
        expect![[r"
            up                       ->
            start 1                  -> wake, run 1
            start 2                  -> run 2
            start 3                  -> follow 3
            start 4                  -> follow 4
            start 5                  ->
            at 3                     ->
            end 1 next=3             -> follow 5
            end 2 next=4             ->
            end 3 next=5             ->
            end 4                    ->
            end 5                    ->
            told                     -> finished 1 after 0 us, finished 2 after 0 us, finished 3 after 3.000 ms, finished 4 after 3.000 ms, finished 5 after 3.000 ms
        "]],
    );
}

#[test]
fn followers_that_nobody_took_are_promoted_before_others_start() {
    check(
        "start 1 | start 2 | start 3 | start 4 | start 5 rank=0 | end 1 | end 2 next=4",
        expect![[r"
            start 1                  -> run 1
            start 2                  -> run 2
            start 3                  -> follow 3
            start 4                  -> follow 4
            start 5 rank=0           ->
            end 1                    -> promote 3, follow 5
            end 2 next=4             ->
        "]],
    );
}

#[test]
fn a_follower_that_was_promoted_and_taken_holds_its_resources_once() {
    check(
        "start 1 | start 2 | start 3 | end 1 | end 2 next=3 | start 4 | end 3 | end 4",
        expect![[r"
            start 1                  -> run 1
            start 2                  -> run 2
            start 3                  -> follow 3
            end 1                    -> promote 3
            end 2 next=3             ->
            start 4                  -> run 4
            end 3                    ->
            end 4                    ->
        "]],
    );
}

#[test]
fn a_follower_is_retracted_if_it_can_be_taken_back() {
    check(
        "up | start 1 cpus=2 | start 2 cpus=2 | retract 2 | retract 2 | recalled 2 back | end 1 | told",
        expect![[r"
            up                       ->
            start 1 cpus=2           -> wake, run 1
            start 2 cpus=2           -> follow 2
            retract 2                -> recall 2
            retract 2                ->
            recalled 2 back          ->
            end 1                    ->
            told                     -> retracted 2, finished 1 after 0 us
        "]],
    );
}

#[test]
fn a_retracted_follower_that_had_started_runs_on() {
    check(
        "up | start 1 cpus=2 | start 2 cpus=2 | retract 2 | end 1 next=2 | recalled 2 started | end 2 | told",
        expect![[r"
            up                       ->
            start 1 cpus=2           -> wake, run 1
            start 2 cpus=2           -> follow 2
            retract 2                -> recall 2
            end 1 next=2             ->
            recalled 2 started       ->
            end 2                    ->
            told                     -> finished 1 after 0 us, finished 2 after 0 us
        "]],
    );
    check(
        "up | start 1 cpus=2 | start 2 cpus=2 | retract 2 | recalled 2 started | announce | end 1 next=2 | end 2 | told",
        expect![[r"
            up                       ->
            start 1 cpus=2           -> wake, run 1
            start 2 cpus=2           -> follow 2
            retract 2                -> recall 2
            recalled 2 started       ->
            announce                 -> 1 started, 2 started
            end 1 next=2             ->
            end 2                    ->
            told                     -> finished 1 after 0 us, finished 2 after 0 us
        "]],
    );
}

#[test]
fn a_cancelled_follower_that_had_started_is_killed_once() {
    check(
        "up | start 1 cpus=2 | start 2 cpus=2 | cancel 2 | end 1 next=2 | recalled 2 started | end 2 failed | told",
        expect![[r"
            up                       ->
            start 1 cpus=2           -> wake, run 1
            start 2 cpus=2           -> follow 2
            cancel 2                 -> recall 2
            end 1 next=2             -> kill 2 in 7.000 ms
            recalled 2 started       ->
            end 2 failed             ->
            told                     -> finished 1 after 0 us, failed 2 Cancelled CANCELLED
        "]],
    );
    check(
        "up | start 1 cpus=2 | start 2 cpus=2 | cancel 2 | recalled 2 started | end 1 next=2 | end 2 failed | told",
        expect![[r"
            up                       ->
            start 1 cpus=2           -> wake, run 1
            start 2 cpus=2           -> follow 2
            cancel 2                 -> recall 2
            recalled 2 started       -> kill 2 in 7.000 ms
            end 1 next=2             ->
            end 2 failed             ->
            told                     -> finished 1 after 0 us, failed 2 Cancelled CANCELLED
        "]],
    );
}

#[test]
fn a_follower_that_is_asked_back_is_not_promoted() {
    check(
        "up | start 1 cpus=2 | start 2 cpus=2 | cancel 2 | end 1 | recalled 2 back | told",
        expect![[r"
            up                       ->
            start 1 cpus=2           -> wake, run 1
            start 2 cpus=2           -> follow 2
            cancel 2                 -> recall 2
            end 1                    ->
            recalled 2 back          ->
            told                     -> finished 1 after 0 us, failed 2 Cancelled CANCELLED
        "]],
    );
}

#[test]
fn patience_ends() {
    let mut worker = machine(0);
    let (mut effects, mut names) = (Vec::new(), 1_u32..);
    let mut next = || attempt(&names.next().unwrap().to_string());
    let mut give = |worker: &mut Machine, cpus: u64, effects: &mut Vec<Effect>| {
        let resources = Resources::new(cpus * UNITS, 0);
        let order = Start { resources, ..start(next()) };
        let id = order.attempt;
        worker.handle(Time(0), Event::Ordered(Order::Start(order)), effects);
        id
    };
    give(&mut worker, 1, &mut effects);
    let wide = give(&mut worker, 2, &mut effects);
    let is_running =
        |worker: &Machine, id| worker.attempts().any(|found| found == (id, Phase::Running));
    for _ in 0..limits::PASSES {
        let narrow = give(&mut worker, 1, &mut effects);
        assert!(is_running(&worker, narrow));
        worker.handle(Time(0), ended(narrow, None), &mut effects);
    }
    let late = give(&mut worker, 1, &mut effects);
    assert!(!is_running(&worker, late), "it would pass once too often");
    worker.handle(Time(0), ended(attempt("1"), None), &mut effects);
    assert!(is_running(&worker, wide) && !is_running(&worker, late));
}

#[test]
fn a_paused_worker_starts_nothing() {
    check(
        "up | start 1 | start 2 | start 3 | told | pause | recalled 3 back | end 1 | start 4 | told | resume",
        expect![[r"
            up                       ->
            start 1                  -> wake, run 1
            start 2                  -> run 2
            start 3                  -> follow 3
            told                     -> started 1, started 2
            pause                    -> recall 3
            recalled 3 back          -> wake
            end 1                    ->
            start 4                  ->
            told                     -> retracted 3, finished 1 after 0 us
            resume                   -> wake, run 4
        "]],
    );
}

#[test]
fn nothing_new_starts_before_followers_that_follow_nobody() {
    check(
        "start 1 half | start 2 half | start 3 | start 4 half | start 5 half | start 6 | end 3 | start 7 half | end 1 \
         | start 8 cpus=0 | end 2 | end 4",
        expect![[r"
            start 1 half             -> run 1
            start 2 half             -> run 2
            start 3                  -> run 3
            start 4 half             -> follow 4
            start 5 half             -> follow 5
            start 6                  -> follow 6
            end 3                    -> promote 4, promote 5
            start 7 half             ->
            end 1                    ->
            start 8 cpus=0           -> run 8
            end 2                    -> promote 6, follow 7
            end 4                    -> promote 7
        "]],
    );
}

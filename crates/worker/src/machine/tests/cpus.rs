//! Who gives cpus back while it waits, and who gets them then.

use bireme_core::protocol::{Order, Start};
use bireme_core::resources::UNITS;
use bireme_core::{Resources, Time, limits};
use expect_test::expect;

use super::script::{attempt, check, ended, machine, start};
use crate::machine::{Effect, Event};

#[test]
fn an_attempt_that_waits_makes_room_for_those_it_waits_for() {
    check(
        "up | start 1 cpus=2 | start 2 | start 3 | secede 1 | told | end 2 | rejoin 1 | told | end 3 | told",
        expect![[r"
            up                       ->
            start 1 cpus=2           -> wake, run 1
            start 2                  ->
            start 3                  ->
            secede 1                 -> run 2, run 3
            told                     -> started 1, seceded 1, started 2, started 3
            end 2                    -> wake
            rejoin 1                 ->
            told                     -> finished 2 after 0 us, rejoined 1
            end 3                    -> wake, rejoined 1
            told                     -> finished 3 after 0 us
        "]],
    );
}

#[test]
fn who_has_run_goes_before_who_has_not() {
    check(
        "start 1 | start 2 | secede 1 | secede 2 | start 3 | start 4 | start 5 rank=0 | rejoin 2 | rejoin 1 | end 4 | recalled 5 back | end 3 | start 6 | end 1",
        expect![[r"
            start 1                  -> run 1
            start 2                  -> run 2
            secede 1                 ->
            secede 2                 ->
            start 3                  -> run 3
            start 4                  -> run 4
            start 5 rank=0           ->
            rejoin 2                 ->
            rejoin 1                 ->
            end 4                    -> rejoined 2
            recalled 5 back          ->
            end 3                    -> rejoined 1, follow 5
            start 6                  -> follow 6
            end 1                    -> promote 5
        "]],
    );
}

#[test]
fn only_cpus_are_given_back() {
    check(
        "start 1 gpu=2 memory=60 | secede 1 | start 2 gpu=1 | start 3 memory=60 | start 4 | start 5 | rejoin 1 | end 4 | end 1",
        expect![[r"
            start 1 gpu=2 memory=60  -> run 1 gpu:0,1
            secede 1                 ->
            start 2 gpu=1            ->
            start 3 memory=60        ->
            start 4                  -> run 4
            start 5                  -> run 5
            rejoin 1                 ->
            end 4                    -> rejoined 1
            end 1                    -> run 2 gpu:0
        "]],
    );
}

#[test]
fn the_end_of_one_that_waits_frees_nothing_twice() {
    check(
        "start 1 cpus=2 | secede 1 | start 2 cpus=2 | end 1 failed | end 2 | start 3 cpus=2 | secede 3 | start 4 cpus=2 | rejoin 3 | cancel 3 | end 3 failed | start 5 | end 4",
        expect![[r"
            start 1 cpus=2           -> run 1
            secede 1                 ->
            start 2 cpus=2           -> run 2
            end 1 failed             ->
            end 2                    ->
            start 3 cpus=2           -> run 3
            secede 3                 ->
            start 4 cpus=2           -> run 4
            rejoin 3                 ->
            cancel 3                 -> kill 3 in 7.000 ms
            end 3 failed             ->
            start 5                  ->
            end 4                    -> run 5
        "]],
    );
}

#[test]
fn a_follower_that_began_in_the_place_of_one_that_waits_gets_cpus_first() {
    check(
        "up | start 1 cpus=2 | start 2 cpus=2 | pause | recalled 2 no | secede 1 | resume | start 3 cpus=2 | end 1 next=2 | start 4 | told | end 3 | told | end 2",
        expect![[r"
            up                       ->
            start 1 cpus=2           -> wake, run 1
            start 2 cpus=2           -> follow 2
            pause                    -> recall 2
            recalled 2 no            ->
            secede 1                 ->
            resume                   ->
            start 3 cpus=2           -> run 3
            end 1 next=2             ->
            start 4                  ->
            told                     -> started 3, started 2, rejoined 2, finished 1 after 0 us
            end 3                    -> wake, rejoined 2
            told                     -> finished 3 after 0 us
            end 2                    -> wake, run 4
        "]],
    );
}

#[test]
fn one_that_waits_is_told_of_again_when_the_scheduler_comes_back() {
    check(
        "up | start 1 | start 2 | secede 1 | secede 2 | rejoin 2 | told | down | rejoin 1 | up | replied | told",
        expect![[r"
            up                       ->
            start 1                  -> wake, run 1
            start 2                  -> run 2
            secede 1                 ->
            secede 2                 ->
            rejoin 2                 -> rejoined 2
            told                     -> started 1, started 2, seceded 1, rejoined 2
            down                     ->
            rejoin 1                 -> rejoined 1
            up                       ->
            replied                  -> wake
            told                     -> rejoined 1, rejoined 2
        "]],
    );
}

#[test]
fn one_that_gives_up_to_rejoin_is_not_in_the_way() {
    check(
        "start 1 cpus=2 | secede 1 | start 2 | start 3 | rejoin 1 | secede 1 | end 2 | start 4 | rejoin 1 | end 3 | end 4",
        expect![[r"
            start 1 cpus=2           -> run 1
            secede 1                 ->
            start 2                  -> run 2
            start 3                  -> run 3
            rejoin 1                 ->
            secede 1                 ->
            end 2                    ->
            start 4                  -> run 4
            rejoin 1                 ->
            end 3                    ->
            end 4                    -> rejoined 1
        "]],
    );
}

#[test]
fn time_that_passes_while_it_wants_cpus_is_not_its_own() {
    check(
        "start 1 cpus=2 timeout=10 | at 2 | secede 1 | start 2 cpus=2 | at 5 | rejoin 1 | at 20 | end 2 | at 24 | at 25",
        expect![[r"
            start 1 cpus=2 timeout=10 -> run 1
            at 2                     ->
            secede 1                 ->
            start 2 cpus=2           -> run 2
            at 5                     ->
            rejoin 1                 ->
            at 20                    ->
            end 2                    -> rejoined 1
            at 24                    ->
            at 25                    -> kill 1 in 1.000 s timed out
        "]],
    );
}

#[test]
fn time_begins_when_there_is_what_it_runs_in() {
    check(
        "start 1 timeout=10 cpus=2 | prepares 1 | at 50 | prepared 1 | prepared 1 | at 59 | at 60 | start 2 timeout=10 cpus=2 | prepares 2 | end 1 next=2 | at 90 | prepared 2 | at 99 | at 100",
        expect![[r"
            start 1 timeout=10 cpus=2 -> run 1
            prepares 1               ->
            at 50                    ->
            prepared 1               ->
            prepared 1               ->
            at 59                    ->
            at 60                    -> kill 1 in 1.000 s timed out
            start 2 timeout=10 cpus=2 -> follow 2
            prepares 2               ->
            end 1 next=2             ->
            at 90                    ->
            prepared 2               ->
            at 99                    ->
            at 100                   -> kill 2 in 1.000 s timed out
        "]],
    );
}

#[test]
fn nothing_follows_while_somebody_waits_but_what_he_waits_for() {
    check(
        "start 1 rank=5 cpus=2 | start 4 rank=5 cpus=2 | start 5 rank=5 cpus=2 | start 2 rank=5 | start 3 rank=5 | secede 1 | end 2 | recalled 4 back | recalled 5 back | start 6 rank=4 | start 7 rank=4 | start 8 rank=5 | start 9 rank=5 | end 3 | end 6",
        expect![[r"
            start 1 rank=5 cpus=2    -> run 1
            start 4 rank=5 cpus=2    -> follow 4
            start 5 rank=5 cpus=2    -> follow 5
            start 2 rank=5           ->
            start 3 rank=5           ->
            secede 1                 -> recall 4, recall 5, run 2, run 3
            end 2                    ->
            recalled 4 back          ->
            recalled 5 back          ->
            start 6 rank=4           -> run 6
            start 7 rank=4           -> follow 7
            start 8 rank=5           ->
            start 9 rank=5           ->
            end 3                    -> promote 7
            end 6                    -> run 8
        "]],
    );
}

/// What is passed too often goes first, but not before those that have to end for it to have room.
#[test]
fn patience_does_not_keep_those_from_running_that_are_waited_for() {
    let mut machine = machine(0);
    let mut handle = |event| {
        let mut effects = Vec::new();
        machine.handle(Time(0), event, &mut effects);
        assert_eq!(machine.check(), Ok(()));
        effects
    };
    let gpus = |name, units| {
        let gpus = [("gpu".to_owned(), units)];
        let resources = Resources::new(UNITS, 0).with_others(gpus).unwrap();
        Event::Ordered(Order::Start(Start { resources, ..start(attempt(name)) }))
    };
    handle(gpus("0", UNITS));
    handle(gpus("1", 2 * UNITS));
    handle(Event::Seceded(attempt("0")));
    for n in 2..2 * limits::PASSES {
        let name = n.to_string();
        let effects = handle(Event::Ordered(Order::Start(start(attempt(&name)))));
        assert!(matches!(effects[..], [Effect::Execute { .. }]), "{n}: {effects:?}");
        handle(ended(attempt(&name), None));
    }
    handle(Event::Rejoining(attempt("0")));
    let effects = handle(ended(attempt("0"), None));
    assert!(
        matches!(&effects[..], [Effect::Execute { execution, .. }] if execution.attempt == attempt("1"))
    );
}

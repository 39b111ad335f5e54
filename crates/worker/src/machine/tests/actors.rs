//! Actors: what they hold, what they wait for, and what is told of them.

use expect_test::expect;

use super::script::check;

#[test]
fn an_actor_holds_its_resources_for_life() {
    check(
        "up | host 7 cpus=2 gpu=1 | start 1 | alive 7 | told | announce | over 7 | told | announce | settle-actor 7 | announce",
        expect![[r"
            up                       ->
            host 7 cpus=2 gpu=1      -> host 7#1 gpu:0
            start 1                  ->
            alive 7                  -> wake
            told                     -> alive 7#1
            announce                 -> 1, actor 7#1 alive
            over 7                   -> wake, run 1
            told                     -> 7#1 crashed, started 1
            announce                 -> 1 started, 7#1 crashed
            settle-actor 7           ->
            announce                 -> 1 started
        "]],
    );
}

#[test]
fn an_actor_goes_before_tasks_that_would_take_what_it_waits_for() {
    check(
        "up | start 1 | start 2 | start 3 | host 7 cpus=2 | end 1 | recalled 3 back | end 2 | over 7 | told",
        expect![[r"
            up                       ->
            start 1                  -> wake, run 1
            start 2                  -> run 2
            start 3                  -> follow 3
            host 7 cpus=2            -> recall 3
            end 1                    ->
            recalled 3 back          ->
            end 2                    -> host 7#1
            over 7                   ->
            told                     -> finished 1 after 0 us, retracted 3, finished 2 after 0 us, 7#1 crashed
        "]],
    );
}

#[test]
fn an_actor_that_waits_for_who_waits_holds_nobody_up() {
    check(
        "up | start 1 gpu=2 | secede 1 | host 7 gpu=1 | host 8 cpus=1 | start 2 | rejoin 1 | end 2 | end 1",
        expect![[r"
            up                       ->
            start 1 gpu=2            -> wake, run 1 gpu:0,1
            secede 1                 ->
            host 7 gpu=1             ->
            host 8 cpus=1            -> host 8#1
            start 2                  -> run 2
            rejoin 1                 ->
            end 2                    -> rejoined 1
            end 1                    -> host 7#1 gpu:0
        "]],
    );
}

#[test]
fn what_an_actor_begins_with_is_fetched_first() {
    check(
        "up | host 7 in=1@3,2! checkpoint=4@5 | fetched 1 | announce | fetched 4 | release 1 | over 7",
        expect![[r"
            up                       ->
            host 7 in=1@3,2! checkpoint=4@5 -> fetch 1@3, keep 2, fetch 4@5
            fetched 1                -> wake
            announce                 -> 1 of 8, 2 of 5, actor 7#1
            fetched 4                -> host 7#1
            release 1                -> drop 1
            over 7                   ->
        "]],
    );
}

#[test]
fn what_was_gathered_and_is_lost_is_gathered_again() {
    check(
        "up | start 9 cpus=2 | host 7 cpus=1 in=1@3 | fetched 1 | lose 1 | end 9 | told | places 1@4 | fetched 1",
        expect![[r"
            up                       ->
            start 9 cpus=2           -> wake, run 9
            host 7 cpus=1 in=1@3     -> fetch 1@3
            fetched 1                ->
            lose 1                   ->
            end 9                    ->
            told                     -> lost 1, missing 1, finished 9 after 0 us
            places 1@4               -> fetch 1@4
            fetched 1                -> wake, host 7#1
        "]],
    );
}

#[test]
fn a_later_incarnation_takes_the_place_of_an_earlier_one() {
    check(
        "up | host 7 cpus=2 | host 7 | host 7#3 cpus=1 | over 7 | alive 7 | alive 7#3 | told | host 7#2 | told | over 7#3 | host 7#3 | told | host 7#4 | announce",
        expect![[r"
            up                       ->
            host 7 cpus=2            -> host 7#1
            host 7                   -> wake
            host 7#3 cpus=1          -> end 7#1
            over 7                   -> host 7#3
            alive 7                  ->
            alive 7#3                ->
            told                     -> alive 7#3, alive 7#3
            host 7#2                 -> wake
            told                     -> alive 7#3
            over 7#3                 -> wake
            host 7#3                 ->
            told                     -> 7#3 crashed, 7#3 crashed
            host 7#4                 -> host 7#4
            announce                 -> actor 7#4
        "]],
    );
}

#[test]
fn an_order_heard_again_after_all_is_settled_begins_nothing() {
    check(
        "up | host 7 | over 7 | told | settle-actor 7 | host 7 | told | host 7#2 | settle-actor 7 | alive 7#2 | told",
        expect![[r"
            up                       ->
            host 7                   -> host 7#1
            over 7                   -> wake
            told                     -> 7#1 crashed
            settle-actor 7           ->
            host 7                   -> wake
            told                     -> 7#1 crashed
            host 7#2                 -> host 7#2
            settle-actor 7           ->
            alive 7#2                -> wake
            told                     -> alive 7#2
        "]],
    );
}

#[test]
fn an_incarnation_that_is_not_hosted_is_ended_all_the_same() {
    check(
        "up | end-actor 7#2 forget | told | host 7#2 | told | start 1 cpus=2 | host 8 cpus=1 | end-actor 8 | told | checkpoint 8 | told",
        expect![[r"
            up                       ->
            end-actor 7#2 forget     -> end 7#2 for good, wake
            told                     -> 7#2 killed
            host 7#2                 -> wake
            told                     -> 7#2 killed
            start 1 cpus=2           -> wake, run 1
            host 8 cpus=1            ->
            end-actor 8              -> end 8#1
            told                     -> started 1, 8#1 killed
            checkpoint 8             -> wake
            told                     -> checkpoint 1 of 8 is not made
        "]],
    );
}

#[test]
fn a_worker_that_leaves_hosts_nothing_new_and_stays_for_those_it_has() {
    check(
        "up | host 7 | leave | host 8 | told | over 7 | told | settle-actor 7 | settle-actor 8",
        expect![[r"
        up                       ->
        host 7                   -> host 7#1
        leave                    -> wake
        host 8                   ->
        told                     -> wants to leave, 8#1 moved
        over 7                   -> wake
        told                     -> 7#1 crashed
        settle-actor 7           ->
        settle-actor 8           -> leave
    "]],
    );
}

#[test]
fn calls_whose_arguments_will_not_be_had_end_at_once() {
    check(
        "up | gather 1 1 2 | gather 2 2 | told | gone 1 | places 2! | gone 2 | gone 9",
        expect![[r"
            up                       ->
            gather 1 1 2             -> wake
            gather 2 2               ->
            told                     -> missing 1, missing 2
            gone 1                   -> gave 1 up for 1
            places 2!                -> keep 2, wake, gathered 2
            gone 2                   ->
            gone 9                   ->
        "]],
    );
}

#[test]
fn arguments_of_calls_are_gathered_or_given_up() {
    check(
        "up | stored 1 | gather 1 1 | gather 2 1 2 3 | told | places 2@4 | fetched 2 | at 1000 | told | places 3! | gather 3 5 | ungather 3 | gather 4 5 | at 2000 | at 601000 | told",
        expect![[r"
            up                       ->
            stored 1                 -> wake
            gather 1 1               -> gathered 1
            gather 2 1 2 3           ->
            told                     -> replica 1 of 8, missing 2, missing 3
            places 2@4               -> fetch 2@4
            fetched 2                -> wake
            at 1000                  ->
            told                     -> replica 2 of 8, missing 3
            places 3!                -> keep 3, wake, gathered 2
            gather 3 5               ->
            ungather 3               ->
            gather 4 5               ->
            at 2000                  ->
            at 601000                -> gave 4 up for 5
            told                     -> replica 3 of 5
        "]],
    );
}

#[test]
fn what_could_never_be_held_is_refused() {
    check(
        "up | host 7 cpus=3 | told | announce",
        expect![[r"
        up                       ->
        host 7 cpus=3            -> wake
        told                     -> 7#1 failed
        announce                 -> 7#1 failed
    "]],
    );
}

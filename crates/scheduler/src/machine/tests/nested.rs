//! Attempts that wait for tasks of their own.

use expect_test::expect;

use super::harness::check;

#[test]
fn cpus_that_were_given_back_are_for_others() {
    check(
        "join 1 1 | submit a b | started 1 a | inside 1 a | submit c | seceded 1 a | started 1 c | finish 1 c | rejoined 1 a | finish 1 a",
        &expect![[r"
            join 1 1     ->
            submit a b   -> 1: start a.1 | 1: start b.1
            started 1 a  ->
            inside 1 a   ->
            submit c     -> 1: start c.1
            seceded 1 a  ->
            started 1 c  ->
            finish 1 c   -> inner: finished c | inner: done
            rejoined 1 a ->
            finish 1 a   -> 1: release c | client: finished a
        "]],
    );
}

#[test]
fn who_wants_cpus_again_goes_before_what_waits() {
    check(
        "join 1 1 | submit a | started 1 a | seceded 1 a | submit b c d e f g | started 1 b | rejoined 1 a | submit h | finish 1 b | finish 1 a | finish 1 c",
        &expect![[r"
            join 1 1           ->
            submit a           -> 1: start a.1
            started 1 a        ->
            seceded 1 a        ->
            submit b c d e f g -> 1: start b.1 | 1: start c.1 | 1: start d.1 | 1: start e.1 | 1: start f.1
            started 1 b        ->
            rejoined 1 a       ->
            submit h           ->
            finish 1 b         -> client: finished b
            finish 1 a         -> client: finished a | client: done
            finish 1 c         -> client: finished c
        "]],
    );
}

#[test]
fn the_innermost_tasks_go_first() {
    check(
        "join 1 1 | submit a b c d e f g h | started 1 a | inside 1 a | submit i j k l | seceded 1 a | started 1 i | inside 1 i | submit m n o p | seceded 1 i | finish 1 m | finish 1 n",
        &expect![[r"
            join 1 1               ->
            submit a b c d e f g h -> 1: start a.1 | 1: start b.1 | 1: start c.1 | 1: start d.1 | 1: start e.1
            started 1 a            ->
            inside 1 a             ->
            submit i j k l         ->
            seceded 1 a            -> 1: start i.1
            started 1 i            ->
            inside 1 i             ->
            submit m n o p         ->
            seceded 1 i            -> 1: start m.1
            finish 1 m             -> inner: finished m
            finish 1 n             -> 1: settle n.1 | 1: release n
        "]],
    );
}

#[test]
fn a_session_ends_with_its_attempt_and_those_inside_with_it() {
    check(
        "join 1 4 | submit a b | inside 1 a | submit c d | inside 1 c | submit e | outside | fail 1 a | inside 1 c",
        &expect![[r"
            join 1 4   ->
            submit a b -> 1: start a.1 | 1: start b.1
            inside 1 a ->
            submit c d -> 1: start c.1 | 1: start d.1
            inside 1 c ->
            submit e   -> 1: start e.1
            outside    ->
            fail 1 a   -> 1: settle a.1 | 1: cancel c.1 | 1: cancel d.1 | 1: cancel e.1 | client: failed a
            inside 1 c -> TASK_UNKNOWN: attempt 2.2/0#1.1 does not run any more: only code of a running attempt opens a session of its own
        "]],
    );
}

#[test]
fn what_a_cancelled_task_asked_for_is_cancelled() {
    check(
        "join 1 4 | submit a | inside 1 a | submit c d | outside | cancel a",
        &expect![[r"
            join 1 4   ->
            submit a   -> 1: start a.1
            inside 1 a ->
            submit c d -> 1: start c.1 | 1: start d.1
            outside    ->
            cancel a   -> 1: cancel a.1 | 1: cancel c.1 | 1: cancel d.1 | client: cancelled a | client: done
        "]],
    );
}

#[test]
fn nobody_waits_for_what_needs_what_he_holds() {
    check(
        "join 1 4 gpu | class gpu | submit a | started 1 a | inside 1 a | submit c | error c | class plain | submit d | finish 1 d",
        &expect![[r#"
            join 1 4 gpu ->
            class gpu    ->
            submit a     -> 1: start a.1
            started 1 a  ->
            inside 1 a   ->
            submit c     -> inner: failed c | inner: done
            error c      -> WOULD_DEADLOCK: the task takes cpus=1 gpu=1, which attempts hold that wait for it: "a"; ask for less there, or add workers
            class plain  ->
            submit d     -> 1: start d.1
            finish 1 d   -> inner: finished d | inner: done
        "#]],
    );
}

#[test]
fn another_worker_has_what_is_held_here() {
    check(
        "join 1 4 gpu | class gpu | submit a | join 2 1 gpu | started 1 a | inside 1 a | submit c | finish 2 c",
        &expect![[r"
            join 1 4 gpu ->
            class gpu    ->
            submit a     -> 1: start a.1
            join 2 1 gpu ->
            started 1 a  ->
            inside 1 a   ->
            submit c     -> 2: start c.1
            finish 2 c   -> inner: finished c | inner: done
        "]],
    );
}

#[test]
fn what_cannot_run_for_long_keeps_none_of_those_that_are_waited_for() {
    check(
        "join 1 1 gpu | class gpu | submit a b c | started 1 a | seceded 1 a | inside 1 a | class plain | submit d | finish 1 d | submit e | finish 1 e | rejoined 1 a | finish 1 a",
        &expect![[r"
            join 1 1 gpu ->
            class gpu    ->
            submit a b c -> 1: start a.1 | 1: start b.1 | 1: start c.1
            started 1 a  ->
            seceded 1 a  ->
            inside 1 a   ->
            class plain  ->
            submit d     -> 1: start d.1
            finish 1 d   -> inner: finished d | inner: done
            submit e     -> 1: start e.1
            finish 1 e   -> inner: finished e | inner: done
            rejoined 1 a ->
            finish 1 a   -> 1: release d | 1: release e | client: finished a
        "]],
    );
}

#[test]
fn a_suspect_that_waits_is_no_longer_alone() {
    check(
        "join 1 1 | submit a | started 1 a | crash 1 as 2 a | started 2 a | seceded 2 a | inside 2 a | submit c | finish 2 c | finish 2 a",
        &expect![[r"
            join 1 1       ->
            submit a       -> 1: start a.1
            started 1 a    ->
            crash 1 as 2 a -> 2: start a.2
            started 2 a    ->
            seceded 2 a    ->
            inside 2 a     ->
            submit c       -> 2: start c.1
            finish 2 c     -> inner: finished c | inner: done
            finish 2 a     -> 2: release c | client: finished a | client: done
        "]],
    );
}

#[test]
fn one_that_waits_is_lost_with_its_worker_and_its_session_with_it() {
    check(
        "join 1 1 | join 2 1 | submit a | started 1 a | seceded 1 a | inside 1 a | submit c d | lose 1 | started 2 a",
        &expect![[r"
            join 1 1    ->
            join 2 1    ->
            submit a    -> 1: start a.1
            started 1 a ->
            seceded 1 a ->
            inside 1 a  ->
            submit c d  -> 1: start c.1 | 2: start d.1
            lose 1      -> 2: cancel d.1 | 2: start a.2
            started 2 a ->
        "]],
    );
}

#[test]
fn a_worker_that_comes_back_tells_who_has_cpus_again() {
    check(
        "join 1 1 | submit a | started 1 a | seceded 1 a | submit b | away 1 | back 1 +a +b | rejoined 1 a | finish 1 b | finish 1 a",
        &expect![[r"
            join 1 1     ->
            submit a     -> 1: start a.1
            started 1 a  ->
            seceded 1 a  ->
            submit b     -> 1: start b.1
            away 1       ->
            back 1 +a +b ->
            rejoined 1 a ->
            finish 1 b   -> client: finished b | client: done
            finish 1 a   -> client: finished a | client: done
        "]],
    );
}

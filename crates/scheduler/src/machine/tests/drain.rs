//! Workers that are sent away.

use expect_test::expect;

use super::harness::check;

#[test]
fn what_has_not_started_comes_back_and_what_runs_ends() {
    check(
        "join 1 1 | submit a b:a c | started 1 a | drain 1 | retracted 1 b | retracted 1 c | join 2 1 | finish 1 a | replica 2 a | finish 2 c | finish 2 b",
        &expect![[r"
            join 1 1       ->
            submit a b:a c -> 1: start a.1 | 1: start b.1 ahead | 1: start c.1
            started 1 a    ->
            drain 1        -> 1: retract b.1 | 1: retract c.1
            retracted 1 b  -> 1: settle b.1
            retracted 1 c  -> 1: settle c.1
            join 2 1       -> 2: start c.2
            finish 1 a     -> 2: start b.2 | 2: copy a
            replica 2 a    -> 1: leave
            finish 2 c     -> client: finished c
            finish 2 b     -> 1: release a | 2: release a | client: finished b | client: done
        "]],
    );
}

#[test]
fn nothing_is_lost_with_a_worker_that_leaves() {
    check(
        "join 1 2 | submit a b | finish 1 a | finish 1 b | drain 1 | join 2 1 | replica 2 a | replica 2 b | gone 1 | drain 2",
        &expect![[r"
            join 1 2    ->
            submit a b  -> 1: start a.1 | 1: start b.1
            finish 1 a  -> client: finished a
            finish 1 b  -> client: finished b | client: done
            drain 1     ->
            join 2 1    -> 2: copy a | 2: copy b
            replica 2 a ->
            replica 2 b -> 1: leave
            gone 1      ->
            drain 2     ->
        "]],
    );
}

#[test]
fn one_that_leaves_by_itself_is_told_when_others_have_what_it_has() {
    check(
        "join 1 1 | join 2 1 | submit a b | finish 1 a | leaves 1 | replica 2 a | finish 2 b | leaves 2",
        &expect![[r"
            join 1 1    ->
            join 2 1    ->
            submit a b  -> 1: start a.1 | 2: start b.1
            finish 1 a  -> client: finished a
            leaves 1    -> 2: copy a
            replica 2 a -> 1: leave
            finish 2 b  -> client: finished b | client: done
            leaves 2    -> 2: leave
        "]],
    );
}

#[test]
fn one_that_leaves_by_itself_is_not_kept_when_nobody_stays() {
    check(
        "crashes 0 | join 1 1 | join 2 1 | submit a b | finish 1 a | finish 2 b | leaves 1 | leaves 2",
        &expect![[r"
            crashes 0  ->
            join 1 1   ->
            join 2 1   ->
            submit a b -> 1: start a.1 | 2: start b.1
            finish 1 a -> client: finished a
            finish 2 b -> client: finished b | client: done
            leaves 1   -> 2: copy a
            leaves 2   -> 1: leave | 2: leave
        "]],
    );
}

#[test]
fn a_copy_that_does_not_come_is_made_elsewhere() {
    check(
        "join 1 1 | join 2 1 | join 3 1 | submit a | finish 1 a | drain 1 | lose 2 | replica 3 a",
        &expect![[r"
            join 1 1    ->
            join 2 1    ->
            join 3 1    ->
            submit a    -> 1: start a.1
            finish 1 a  -> client: finished a | client: done
            drain 1     -> 2: copy a
            lose 2      -> 3: copy a
            replica 3 a -> 1: leave
        "]],
    );
}

#[test]
fn at_the_deadline_it_leaves_all_the_same_and_is_to_blame_for_nothing() {
    check(
        "crashes 0 | join 1 2 | submit a b:a c | finish 1 a | started 1 c | drain 1 by 3000 | retracted 1 b | tick 3000 | lose 1 | join 2 2 | finish 2 a | finish 2 b",
        &expect![[r"
            crashes 0       ->
            join 1 2        ->
            submit a b:a c  -> 1: start a.1 | 1: start b.1 ahead | 1: start c.1
            finish 1 a      ->
            started 1 c     ->
            drain 1 by 3000 -> 1: retract b.1
            retracted 1 b   -> 1: settle b.1
            tick 3000       -> 1: leave within 0 us
            lose 1          ->
            join 2 2        -> 2: start a.2 | 2: start b.2 ahead | 2: start c.2
            finish 2 a      ->
            finish 2 b      -> 2: release a | client: finished b
        "]],
    );
}

#[test]
fn a_drain_goes_on_after_a_lost_connection() {
    check(
        "join 1 2 | submit a b | started 1 b | finish 1 a | join 2 1 | drain 1 | away 1 | back 1 =a +b | replica 2 a | finish 1 b | replica 2 b | away 1 | back 1 =a =b",
        &expect![[r"
            join 1 2     ->
            submit a b   -> 1: start a.1 | 1: start b.1
            started 1 b  ->
            finish 1 a   -> client: finished a
            join 2 1     ->
            drain 1      -> 2: copy a
            away 1       ->
            back 1 =a +b -> no news
            replica 2 a  ->
            finish 1 b   -> 2: copy b | client: finished b | client: done
            replica 2 b  -> 1: leave
            away 1       ->
            back 1 =a =b -> no news | 1: leave
        "]],
    );
}

#[test]
fn a_worker_that_is_stopped_is_told_at_once() {
    check(
        "crashes 0 | join 1 1 | submit a | started 1 a | stop 1 | reschedule 1 a | gone 1 | join 2 1 | finish 2 a",
        &expect![[r"
            crashes 0      ->
            join 1 1       ->
            submit a       -> 1: start a.1
            started 1 a    ->
            stop 1         -> 1: stop
            reschedule 1 a -> 1: settle a.1
            gone 1         ->
            join 2 1       -> 2: start a.2
            finish 2 a     -> client: finished a | client: done
        "]],
    );
}

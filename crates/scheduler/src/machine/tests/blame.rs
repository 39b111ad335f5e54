//! Who is blamed when workers and processes die, and what becomes of those.

use expect_test::expect;

use super::harness::check;

#[test]
fn only_what_had_started_is_blamed_for_a_crash() {
    check(
        "crashes 0 | join 1 2 | submit a b c | started 1 a | started 1 b | crash 1 as 2 b | error b",
        &expect![[r"
            crashes 0      ->
            join 1 2       ->
            submit a b c   -> 1: start a.1 | 1: start b.1 | 1: start c.1
            started 1 a    ->
            started 1 b    ->
            crash 1 as 2 b -> 2: start a.2 | 2: start c.2 | client: failed b
            error b        -> CRASHED_TOO_OFTEN: was running when its worker w1 (its daemon was killed by signal 11) was lost (on w1)
        "]],
    );
}

#[test]
fn a_suspect_runs_alone_and_is_trusted_once_it_has_ended() {
    check(
        "join 1 2 | submit a b c | crash 1 as 2 a | finish 2 b | finish 2 c | submit d | finish 2 a",
        &expect![[r"
            join 1 2       ->
            submit a b c   -> 1: start a.1 | 1: start b.1 | 1: start c.1
            crash 1 as 2 a -> 2: start a.2
            finish 2 b     -> 2: settle b.1 | 2: release b
            finish 2 c     -> 2: settle c.1 | 2: release c
            submit d       ->
            finish 2 a     -> 2: start b.2 | 2: start c.2 | client: finished a
        "]],
    );
}

#[test]
fn a_suspect_waits_for_the_worker_that_is_empty_first() {
    check(
        "join 1 1 | join 2 1 | submit a b c | crash 1 as 3 a | finish 3 c | finish 3 a",
        &expect![[r"
            join 1 1       ->
            join 2 1       ->
            submit a b c   -> 1: start a.1 | 1: start c.1 | 2: start b.1
            crash 1 as 3 a -> 3: start c.2
            finish 3 c     -> client: finished c
            finish 3 a     -> 3: settle a.1 | 3: release a
        "]],
    );
}

#[test]
fn whoever_kills_every_worker_fails_in_the_end() {
    check(
        "crashes 1 | join 1 1 | submit a b:a | crash 1 as 2 a | crash 2 as 3 a | error a | error b",
        &expect![[r#"
            crashes 1      ->
            join 1 1       ->
            submit a b:a   -> 1: start a.1 | 1: start b.1 ahead
            crash 1 as 2 a -> 2: start a.2
            crash 2 as 3 a -> client: failed a | client: failed b | client: done
            error a        -> CRASHED_TOO_OFTEN: was running each of the 2 times when its worker was lost, last w1 (its daemon was killed by signal 11) (on w1)
            error b        -> DEPENDENCY_FAILED: task "a", which this one needs, failed <- CRASHED_TOO_OFTEN: was running each of the 2 times when its worker was lost, last w1 (its daemon was killed by signal 11) (on w1)
        "#]],
    );
}

#[test]
fn a_black_box_of_an_older_life_blames_nobody() {
    check(
        "crashes 0 | join 1 2 | submit a b | started 1 b | crash 1 of old as 2 a | error b",
        &expect![[r"
            crashes 0             ->
            join 1 2              ->
            submit a b            -> 1: start a.1 | 1: start b.1
            started 1 b           ->
            crash 1 of old as 2 a -> 2: start a.2 | client: failed b
            error b               -> CRASHED_TOO_OFTEN: was running when its worker w1 was lost (on w1)
        "]],
    );
}

#[test]
fn with_its_machine_lost_a_task_is_suspect_from_the_second_time_on() {
    check(
        "join 1 2 | submit a b | started 1 a | lose 1 | join 2 2 | started 2 a | lose 2 | join 3 2 | finish 3 b | finish 3 a",
        &expect![[r"
            join 1 2    ->
            submit a b  -> 1: start a.1 | 1: start b.1
            started 1 a ->
            lose 1      ->
            join 2 2    -> 2: start a.2 | 2: start b.2
            started 2 a ->
            lose 2      ->
            join 3 2    -> 3: start a.3
            finish 3 b  -> 3: settle b.2 | 3: release b
            finish 3 a  -> 3: start b.3 | client: finished a
        "]],
    );
}

#[test]
fn a_process_that_dies_counts_as_a_crash() {
    check(
        "crashes 1 | join 1 1 | submit a | died 1 a | died 1 a | error a",
        &expect![[r"
            crashes 1 ->
            join 1 1  ->
            submit a  -> 1: start a.1
            died 1 a  -> 1: settle a.1 | 1: start a.2
            died 1 a  -> 1: settle a.2 | client: failed a | client: done
            error a   -> CRASHED_TOO_OFTEN: the process or worker that ran it died 2 times: it was killed by signal 9 (on w1) <- PROCESS_DIED: it was killed (on w1)
        "]],
    );
}

#[test]
fn a_task_that_may_run_once_fails_with_its_process() {
    check(
        "class once | join 1 1 | submit a | died 1 a | error a",
        &expect![[r"
        class once ->
        join 1 1   ->
        submit a   -> 1: start a.1
        died 1 a   -> 1: settle a.1 | client: failed a | client: done
        error a    -> PROCESS_DIED: it was killed (on w1)
    "]],
    );
}

#[test]
fn a_cancelled_suspect_gives_its_worker_back() {
    check(
        "join 1 1 | submit a b | crash 1 as 2 a | cancel a | finish 2 b | submit c",
        &expect![[r"
            join 1 1       ->
            submit a b     -> 1: start a.1 | 1: start b.1
            crash 1 as 2 a -> 2: start a.2
            cancel a       -> 2: cancel a.2 | 2: start b.2 | client: cancelled a
            finish 2 b     -> client: finished b | client: done
            submit c       -> 2: start c.1
        "]],
    );
}

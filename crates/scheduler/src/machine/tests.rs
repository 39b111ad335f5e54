//! Scripts in, transcripts out: each step says what the machine was told and what it tells its peers.

mod actors;
mod blame;
mod commands;
mod drain;
mod ends;
mod harness;
mod nested;
mod outputs;
mod replicas;
mod sessions;
mod streams;

use expect_test::expect;

use self::harness::check;

#[test]
fn a_task_waits_for_its_inputs() {
    check(
        "join 1 1 | submit a b:a | finish 1 a | finish 1 b",
        &expect![[r"
            join 1 1     ->
            submit a b:a -> 1: start a.1 | 1: start b.1 ahead
            finish 1 a   ->
            finish 1 b   -> 1: release a | client: finished b | client: done
        "]],
    );
}

#[test]
fn what_no_worker_can_run_is_said_at_once() {
    check(
        "join 1 1 | class gpu | submit a | join 2 1 gpu | finish 2 a",
        &expect![[r"
            join 1 1     ->
            class gpu    ->
            submit a     -> client: warning NO_WORKER
            join 2 1 gpu -> 2: start a.1
            finish 2 a   -> client: finished a | client: done
        "]],
    );
}

#[test]
fn a_lost_worker_reruns_only_what_was_lost() {
    check(
        "join 1 1 | submit a b c | finish 1 a | lose 1 | join 2 1 | finish 1 b | finish 2 a | finish 2 b | finish 2 c",
        &expect![[r"
            join 1 1     ->
            submit a b c -> 1: start a.1 | 1: start b.1 | 1: start c.1
            finish 1 a   -> client: finished a
            lose 1       ->
            join 2 1     -> 2: start a.2 | 2: start b.2 | 2: start c.2
            finish 1 b   ->
            finish 2 a   -> client: finished a
            finish 2 b   -> client: finished b
            finish 2 c   -> client: finished c | client: done
        "]],
    );
}

#[test]
fn the_ends_of_lost_intermediate_results_are_made_again_with_their_ancestors() {
    check(
        "join 1 1 | join 2 1 | submit a b:a c:b d:c,e e | finish 1 a | finish 1 b | lose 1 | finish 2 e | finish 2 a | finish 2 b | finish 2 c | finish 2 d",
        &expect![[r"
            join 1 1                 ->
            join 2 1                 ->
            submit a b:a c:b d:c,e e -> 1: start a.1 | 1: start b.1 ahead | 1: start c.1 ahead | 2: start e.1
            finish 1 a               ->
            finish 1 b               -> 1: release a
            lose 1                   -> 2: start a.2 | 2: start b.2 ahead | 2: start c.2 ahead | 2: start d.1 ahead
            finish 2 e               ->
            finish 2 a               ->
            finish 2 b               -> 2: release a
            finish 2 c               -> 2: release b
            finish 2 d               -> 2: release c | 2: release e | client: finished d | client: done
        "]],
    );
}

#[test]
fn a_failure_takes_what_needs_it_and_nothing_else() {
    check(
        "join 1 2 | submit a b:a c:b d | fail 1 a | finish 1 d",
        &expect![[r"
            join 1 2           ->
            submit a b:a c:b d -> 1: start a.1 | 1: start b.1 ahead | 1: start c.1 ahead | 1: start d.1
            fail 1 a           -> 1: settle a.1 | 1: retract b.1 | 1: retract c.1 | client: failed a | client: failed b | client: failed c
            finish 1 d         -> client: finished d | client: done
        "]],
    );
}

#[test]
fn an_idle_worker_gets_what_waits_elsewhere() {
    check(
        "join 1 1 | submit a b c d | join 2 1 | started 1 a | retracted 1 d | finish 2 d",
        &expect![[r"
            join 1 1       ->
            submit a b c d -> 1: start a.1 | 1: start b.1 | 1: start c.1 | 1: start d.1
            join 2 1       -> 1: retract d.1
            started 1 a    ->
            retracted 1 d  -> 1: settle d.1 | 2: start d.2
            finish 2 d     -> 1: retract c.1 | client: finished d
        "]],
    );
}

#[test]
fn cancelling_takes_dependents_along() {
    check(
        "join 1 1 | submit a b:a c:b | cancel a",
        &expect![[r"
            join 1 1         ->
            submit a b:a c:b -> 1: start a.1 | 1: start b.1 ahead | 1: start c.1 ahead
            cancel a         -> 1: cancel a.1 | 1: cancel b.1 | 1: cancel c.1 | client: cancelled a | client: cancelled b | client: cancelled c | client: done
        "]],
    );
}

#[test]
fn a_refused_chunk_leaves_nothing_behind() {
    check(
        "join 1 1 | submit a a | submit b:x | submit a",
        &expect![[r"
            join 1 1   ->
            submit a a -> client: refused KEY_DUPLICATE
            submit b:x -> client: refused DEPENDENCY_UNKNOWN
            submit a   -> 1: start a.1
        "]],
    );
}

#[test]
fn retries_wait_longer_each_time() {
    check(
        "class retry | join 1 1 | submit a | fail 1 a | tick 999 | tick 1 | fail 1 a | tick 1999 | tick 1 | fail 1 a",
        &expect![[r"
            class retry ->
            join 1 1    ->
            submit a    -> 1: start a.1
            fail 1 a    -> 1: settle a.1
            tick 999    ->
            tick 1      -> 1: start a.2
            fail 1 a    -> 1: settle a.2
            tick 1999   ->
            tick 1      -> 1: start a.3
            fail 1 a    -> 1: settle a.3 | client: failed a | client: done
        "]],
    );
}

#[test]
fn a_worker_that_lies_about_an_attempt_changes_nothing() {
    check(
        "join 1 1 | join 2 1 | submit a | finish 2 a | finish 1 a",
        &expect![[r"
            join 1 1   ->
            join 2 1   ->
            submit a   -> 1: start a.1
            finish 2 a -> 2: settle a.1 | 2: release a
            finish 1 a -> client: finished a | client: done
        "]],
    );
}

#[test]
fn rows_of_an_array_run_in_order_with_their_own_arguments() {
    check(
        "join 1 1 | array 3 | finish 1 r[0] | cancel r[2] | finish 1 r[1]",
        &expect![[r"
            join 1 1      ->
            array 3       -> 1: start r[0].1 row 10 | 1: start r[1].1 row 15 | 1: start r[2].1 row 20
            finish 1 r[0] -> client: finished r[0]
            cancel r[2]   -> 1: cancel r[2].1 | client: cancelled r[2]
            finish 1 r[1] -> client: finished r[1] | client: done
        "]],
    );
}

#[test]
fn rows_may_take_the_outputs_of_rows() {
    check(
        "join 1 1 | array 2 twice | finish 1 r[0] | finish 1 r[1] | lose 1 | join 2 1 | finish 2 r[0] | finish 2 r[1] | finish 2 s[0] | finish 2 s[1]",
        &expect![[r"
            join 1 1      ->
            array 2 twice -> 1: start r[0].1 row 10 | 1: start s[0].1 row 10 ahead | 1: start r[1].1 row 15 | 1: start s[1].1 row 15 ahead
            finish 1 r[0] ->
            finish 1 r[1] ->
            lose 1        ->
            join 2 1      -> 2: start r[0].2 row 10 | 2: start s[0].2 row 10 ahead | 2: start r[1].2 row 15 | 2: start s[1].2 row 15 ahead
            finish 2 r[0] ->
            finish 2 r[1] ->
            finish 2 s[0] -> 2: release r[0] | client: finished s[0]
            finish 2 s[1] -> 2: release r[1] | client: finished s[1] | client: done
        "]],
    );
}

#[test]
fn outputs_are_dropped_when_the_time_of_their_graph_is_up() {
    check(
        "join 1 1 | ttl 500 | submit a b:a c | finish 1 a | finish 1 b | tick 600 | fail 1 c | tick 499 | retry c | tick 100 | finish 1 c | tick 499 | tick 1",
        &expect![[r"
            join 1 1       ->
            ttl 500        ->
            submit a b:a c -> 1: start a.1 | 1: start b.1 ahead | 1: start c.1
            finish 1 a     ->
            finish 1 b     -> 1: release a | client: finished b
            tick 600       ->
            fail 1 c       -> 1: settle c.1 | client: failed c | client: done
            tick 499       ->
            retry c        -> 1: start c.2
            tick 100       ->
            finish 1 c     -> client: finished c | client: done
            tick 499       ->
            tick 1         -> 1: release b | 1: release c
        "]],
    );
}

#[test]
fn a_task_goes_where_its_function_is() {
    check(
        "join 1 1 fn:builtin/noop | class calls count | submit a | why a | join 2 1 fn:count fn:sum | class calls mean | submit b | why b",
        &expect![[r"
            join 1 1 fn:builtin/noop ->
            class calls count        ->
            submit a                 -> client: warning NO_WORKER
            why a                    -> is ready; no worker has the function count: the nearest are builtin/noop | w1 lacks the function count; it has none of its own, for ever
            join 2 1 fn:count fn:sum -> 2: start a.1
            class calls mean         ->
            submit b                 -> client: warning NO_WORKER
            why b                    -> is ready; no worker has the function mean: the nearest are count, sum, builtin/noop | w1 lacks the function mean; it has none of its own, for ever | w2 lacks the function mean; it has count, sum, for ever
        "]],
    );
}

#[test]
fn what_a_task_holds_itself_is_not_in_its_way() {
    check(
        "join 1 1 | submit a b | why a | started 1 a | why a | why b",
        &expect![[r"
            join 1 1    ->
            submit a b  -> 1: start a.1 | 1: start b.1
            why a       -> is sent to a worker with resources held for it
            started 1 a ->
            why a       -> runs
            why b       -> is sent to a worker and waits there for resources | w1 is busy: cpus free 0, needed 1
        "]],
    );
}

#[test]
fn a_task_goes_where_its_language_is() {
    check(
        "join 1 1 | class speaks python | submit a | why a | join 2 1 runtime:python runtime:node | submit b | why b | class speaks cobol | submit c | why c",
        &expect![[r"
            join 1 1                             ->
            class speaks python                  ->
            submit a                             -> client: warning NO_WORKER
            why a                                -> is ready; no worker has the runtime python, start one with --runtime python=COMMAND: w1 has none | w1 lacks the runtime python, it has none: start it with --runtime python=COMMAND, for ever
            join 2 1 runtime:python runtime:node -> 2: start a.1
            submit b                             -> 2: start b.1
            why b                                -> is sent to a worker and waits there for resources | w1 lacks the runtime python, it has none: start it with --runtime python=COMMAND, for ever | w2 is busy: cpus free 0, needed 1
            class speaks cobol                   ->
            submit c                             -> client: warning NO_WORKER
            why c                                -> is ready; no worker has the runtime cobol, start one with --runtime cobol=COMMAND: w1 has none; w2 has python, node | w1 lacks the runtime cobol, it has none: start it with --runtime cobol=COMMAND, for ever | w2 lacks the runtime cobol, it has python, node: start it with --runtime cobol=COMMAND, for ever
        "]],
    );
}

#[test]
fn what_fails_for_a_task_of_another_graph_says_why_that_one_failed() {
    check(
        "join 1 4 | submit a b:a | take b | submit c d:c | take d | submit e | fail 1 a | error c | error d | error e | submit f | error f",
        &expect![[r#"
            join 1 4     ->
            submit a b:a -> 1: start a.1 | 1: start b.1 ahead
            take b       ->
            submit c d:c ->
            take d       ->
            submit e     ->
            fail 1 a     -> 1: settle a.1 | 1: retract b.1 | client: failed a | client: failed b | client: failed d | client: failed e | client: failed c | client: done | client: done | client: done
            error c      -> DEPENDENCY_FAILED: task "a" of graph 1.1, which this one needs, failed <- USER_ERROR: it failed (on w1)
            error d      -> DEPENDENCY_FAILED: task "a" of graph 1.1, which this one needs, failed <- USER_ERROR: it failed (on w1)
            error e      -> DEPENDENCY_FAILED: task "a" of graph 1.1, which this one needs, failed <- USER_ERROR: it failed (on w1)
            submit f     -> client: failed f | client: done
            error f      -> DEPENDENCY_FAILED: task "a" of graph 1.1, which this one needs, failed <- USER_ERROR: it failed (on w1)
        "#]],
    );
    check(
        "join 1 4 | submit a | take a | submit b c:b | cancel a | error b | error c",
        &expect![[r#"
            join 1 4     ->
            submit a     -> 1: start a.1
            take a       ->
            submit b c:b ->
            cancel a     -> 1: cancel a.1 | client: cancelled a | client: failed b | client: failed c | client: done | client: done
            error b      -> DEPENDENCY_FAILED: task "a" of graph 1.1, which this one needs, was cancelled
            error c      -> DEPENDENCY_FAILED: task "a" of graph 1.1, which this one needs, was cancelled
        "#]],
    );
}

#[test]
fn the_last_replica_of_a_put_value_outlives_fetches_that_fail() {
    check(
        "join 1 1 | join 2 1 | put 7 1 | submit a b | away 1 | unreachable 2 n 7 at 1 | error b",
        &expect![[r"
            join 1 1               ->
            join 2 1               ->
            put 7 1                -> client: accepted
            submit a b             -> 1: start a.1 | 2: start b.1
            away 1                 ->
            unreachable 2 n 7 at 1 -> 2: retract b.1 | 2: start b.2
            error b                ->
        "]],
    );
    check(
        "crashes 1 | join 1 1 | join 2 1 | put 7 1 | submit a b | unreachable 2 n 7 at 1 | unreachable 2 n 7 at 1 | finish 1 a | error b | submit c",
        &expect![[r"
            crashes 1              ->
            join 1 1               ->
            join 2 1               ->
            put 7 1                -> client: accepted
            submit a b             -> 1: start a.1 | 2: start b.1
            unreachable 2 n 7 at 1 -> 2: retract b.1 | 2: start b.2
            unreachable 2 n 7 at 1 -> 2: retract b.2 | client: failed b
            finish 1 a             -> client: finished a | client: done
            error b                -> INPUT_LOST: h1:7 could not be fetched from w1
            submit c               -> 1: start c.1
        "]],
    );
}

#[test]
fn a_task_shows_what_is_around_it() {
    check(
        "join 1 1 | submit a b:a c:a,b | around b | around a | around c",
        &expect![[r"
            join 1 1           ->
            submit a b:a c:a,b -> 1: start a.1 | 1: start b.1 ahead | 1: start c.1 ahead
            around b           -> needs a | needed by c
            around a           -> needs  | needed by c,b
            around c           -> needs a,b | needed by
        "]],
    );
}

#[test]
fn an_array_takes_no_key_that_is_given_already() {
    check(
        "array 3 after r[2] | array 2 after r[2]",
        &expect![[r"
            array 3 after r[2] -> client: refused KEY_DUPLICATE
            array 2 after r[2] ->
        "]],
    );
}

#[test]
fn a_worker_that_is_only_allowed_gets_no_task_for_its_inputs() {
    check(
        "join 1 1 | class prefers w2 | submit a b:a | join 2 1 | finish 1 a | submit c | submit d",
        &expect![[r"
            join 1 1         ->
            class prefers w2 ->
            submit a b:a     -> 1: start a.1
            join 2 1         ->
            finish 1 a       -> 2: start b.1
            submit c         -> 2: start c.1 | 2: retract c.1
            submit d         -> 2: start d.1
        "]],
    );
}

//! Outputs go when nobody can use them any more.

use expect_test::expect;

use super::harness::check;

#[test]
fn what_a_task_made_goes_when_it_fails_as_it_is_made_again() {
    check(
        "join 1 1 | class two outputs | submit a | finish 1 a | replica 1 a lost | fail 1 a",
        &expect![[r"
            join 1 1          ->
            class two outputs ->
            submit a          -> 1: start a.1
            finish 1 a        -> client: finished a | client: done
            replica 1 a lost  -> 1: start a.2
            fail 1 a          -> 1: settle a.2 | 1: release a | client: failed a | client: done
        "]],
    );
}

#[test]
fn what_a_task_made_goes_when_it_is_cancelled_as_it_is_made_again() {
    check(
        "join 1 1 | class two outputs | submit a | finish 1 a | replica 1 a lost | cancel a",
        &expect![[r"
            join 1 1          ->
            class two outputs ->
            submit a          -> 1: start a.1
            finish 1 a        -> client: finished a | client: done
            replica 1 a lost  -> 1: start a.2
            cancel a          -> 1: cancel a.2 | 1: release a | client: cancelled a | client: done
        "]],
    );
}

/// The first takes the task that takes both along, and that leaves the second.
#[test]
fn rows_that_are_cancelled_keep_nothing_for_a_task_of_another_graph() {
    check(
        "array 2 | take r[0] r[1] | submit a | cancel r[0] | cancel r[1]",
        &expect![[r"
            array 2        ->
            take r[0] r[1] ->
            submit a       ->
            cancel r[0]    -> client: cancelled r[0] | client: failed a | client: done
            cancel r[1]    -> client: cancelled r[1] | client: done
        "]],
    );
}

//! Copies of logs: where they are kept, who is left out, and who goes on.

use expect_test::expect;

use super::scene::check;

#[test]
fn an_actor_goes_on_where_a_copy_is_in_step() {
    check(
        "join 1 1 | join 2 1 | join 3 1 | create a once peers:1 forever | copied 1 a +2 | alive 1 a checkpoints | copies a | away 1 | tick 5000 | where a | copied 2 a +3 | alive 2 a checkpoints | copies a | where a",
        &expect![[r"
            join 1 1                      ->
            join 2 1                      ->
            join 3 1                      ->
            create a once peers:1 forever -> made a | 1: host a.1 and copy to 2
            copied 1 a +2                 ->
            alive 1 a checkpoints         ->
            copies a                      -> w2
            away 1                        ->
            tick 5000                     -> 2: host a.2 restoring and copy to 3
            where a                       -> starting on 2 in life 2 after 1 restarts and 1 deaths
            copied 2 a +3                 ->
            alive 2 a checkpoints         ->
            copies a                      -> w3
            where a                       -> alive on 2 in life 2 after 1 restarts and 1 deaths
        "]],
    );
}

#[test]
fn a_copy_that_fails_is_struck_off_and_another_takes_its_place() {
    check(
        "join 1 1 | join 2 1 | join 3 1 | create a once peers:1 forever | copied 1 a +2 | alive 1 a checkpoints | copied 1 a -2 | copies a | copied 1 a +3 old | copies a | copied 1 a +3 | copies a | away 1 | tick 5000",
        &expect![[r"
            join 1 1                      ->
            join 2 1                      ->
            join 3 1                      ->
            create a once peers:1 forever -> made a | 1: host a.1 and copy to 2
            copied 1 a +2                 ->
            alive 1 a checkpoints         ->
            copied 1 a -2                 -> 1: copy a.1 to [3]
            copies a                      ->
            copied 1 a +3 old             ->
            copies a                      ->
            copied 1 a +3                 ->
            copies a                      -> w3
            away 1                        ->
            tick 5000                     -> 3: host a.2 restoring
        "]],
    );
}

#[test]
fn one_that_was_left_out_is_chosen_again_after_a_while() {
    check(
        "join 1 1 | join 2 1 | create a once peers:1 forever | copied 1 a +2 | alive 1 a | copied 1 a -2 | tick 9999 | tick 1 | copied 1 a +2 | copies a",
        &expect![[r"
            join 1 1                      ->
            join 2 1                      ->
            create a once peers:1 forever -> made a | 1: host a.1 and copy to 2
            copied 1 a +2                 ->
            alive 1 a                     ->
            copied 1 a -2                 -> 1: copy a.1 to []
            tick 9999                     ->
            tick 1                        -> 1: copy a.1 to [2]
            copied 1 a +2                 ->
            copies a                      -> w2
        "]],
    );
}

#[test]
fn a_worker_that_is_lost_leaves_all_lists_and_those_that_join_are_put_on_them() {
    check(
        "join 1 1 | create a once peers:2 forever | alive 1 a checkpoints | join 2 1 | join 3 1 | copied 1 a +2 +3 | copies a | away 2 | tick 5000 | copies a | join 4 1 | copied 1 a +3 +4 | copies a",
        &expect![[r"
            join 1 1                      ->
            create a once peers:2 forever -> made a | 1: host a.1
            alive 1 a checkpoints         ->
            join 2 1                      -> 1: copy a.1 to [2]
            join 3 1                      -> 1: copy a.1 to [2 3]
            copied 1 a +2 +3              ->
            copies a                      -> w2 w3
            away 2                        ->
            tick 5000                     -> 1: copy a.1 to [3]
            copies a                      -> w3
            join 4 1                      -> 1: copy a.1 to [3 4]
            copied 1 a +3 +4              ->
            copies a                      -> w3 w4
        "]],
    );
}

#[test]
fn without_a_copy_in_step_the_worker_that_has_the_log_is_waited_for() {
    check(
        "join 1 1 | join 2 1 | create a once peers:1 forever | alive 1 a | away 1 | tick 5000 | where a | anew 1 as 3 1",
        &expect![[r"
            join 1 1                      ->
            join 2 1                      ->
            create a once peers:1 forever -> made a | 1: host a.1 and copy to 2
            alive 1 a                     ->
            away 1                        ->
            tick 5000                     ->
            where a                       -> restarting in life 1 after 1 restarts and 1 deaths
            anew 1 as 3 1                 -> 3: host a.2 restoring and copy to 2
        "]],
    );
}

#[test]
fn copies_are_told_again_to_a_host_that_comes_back_and_dropped_with_the_actor() {
    check(
        "join 1 1 | join 2 1 | create a once peers:1 | copied 1 a +2 | alive 1 a | away 1 | back 1 +a | copied 1 a +2 | copies a | kill a | ends 1 a killed | copies a",
        &expect![[r"
            join 1 1              ->
            join 2 1              ->
            create a once peers:1 -> made a | 1: host a.1 and copy to 2
            copied 1 a +2         ->
            alive 1 a             ->
            away 1                ->
            back 1 +a             -> 1: copy a.1 to [2]
            copied 1 a +2         ->
            copies a              -> w2
            kill a                -> 1: forget a.1 (somebody ended it)
            ends 1 a killed       -> 1: settle a.1 | 2: forget a.1 (somebody ended it)
            copies a              ->
        "]],
    );
}

#[test]
fn a_move_brings_its_state_along_and_copies_stay_where_they_are() {
    check(
        "join 1 1 | join 2 1 | join 3 1 | create a once peers:1 forever | copied 1 a +2 | alive 1 a checkpoints | move a 3 | ends 1 a moved | copied 3 a +2 | alive 3 a checkpoints | copies a | move a 2 | ends 3 a moved | away 2 | tick 5000 | where a",
        &expect![[r"
            join 1 1                      ->
            join 2 1                      ->
            join 3 1                      ->
            create a once peers:1 forever -> made a | 1: host a.1 and copy to 2
            copied 1 a +2                 ->
            alive 1 a checkpoints         ->
            move a 3                      -> 1: move a.1
            ends 1 a moved                -> 1: settle a.1 | 1: end a.1 (a later incarnation takes its place) | 3: host a.2 restoring with checkpoint from [1] and copy to 2
            copied 3 a +2                 ->
            alive 3 a checkpoints         -> 1: release 1 of 1
            copies a                      -> w2
            move a 2                      -> 3: move a.2
            ends 3 a moved                -> 2: host a.3 restoring with checkpoint from [3] and copy to 1 | 3: settle a.2 | 3: end a.2 (a later incarnation takes its place)
            away 2                        ->
            tick 5000                     ->
            where a                       -> restarting in life 3 after 1 restarts and 1 deaths
        "]],
    );
}

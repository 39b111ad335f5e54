//! Copies of logs: where they are kept, who is left out, and who goes on.

use expect_test::expect;

use super::scene::{check, check_after};

/// An actor on the first of two workers, of which the other has a copy in step.
const IN_STEP: &str =
    "join 1 1 | join 2 1 | create a once peers:1 forever | copied 1 a +2 | alive 1 a checkpoints";
/// The same with a third worker.
const WITH_A_THIRD: &str = "join 1 1 | join 2 1 | join 3 1 | create a once peers:1 forever | copied 1 a +2 | alive 1 a checkpoints";

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
            alive 1 a checkpoints         -> 1: copy a.1 to [2]
            copies a                      -> w2
            away 1                        ->
            tick 5000                     -> 2: host a.2 restoring and copy to 3
            where a                       -> starting on 2 in life 2 after 1 restarts and 1 deaths
            copied 2 a +3                 ->
            alive 2 a checkpoints         -> 2: copy a.2 to [3]
            copies a                      -> w3
            where a                       -> alive on 2 in life 2 after 1 restarts and 1 deaths
        "]],
    );
}

#[test]
fn a_copy_that_fails_is_struck_off_and_another_takes_its_place() {
    check_after(
        WITH_A_THIRD,
        "copied 1 a -2 | copies a | copied 1 a +3 old | copies a | copied 1 a +3 | copies a | away 1 | tick 5000",
        &expect![[r"
            copied 1 a -2     -> 1: copy a.1 to [3]
            copies a          ->
            copied 1 a +3 old ->
            copies a          ->
            copied 1 a +3     ->
            copies a          -> w3
            away 1            ->
            tick 5000         -> 3: host a.2 restoring
        "]],
    );
}

#[test]
fn one_that_was_left_out_is_chosen_again_after_a_while() {
    check_after(
        IN_STEP,
        "copied 1 a -2 | tick 9999 | tick 1 | copied 1 a +2 | copies a",
        &expect![[r"
            copied 1 a -2 -> 1: copy a.1 to []
            tick 9999     ->
            tick 1        -> 1: copy a.1 to [2]
            copied 1 a +2 ->
            copies a      -> w2
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
            alive 1 a checkpoints         -> 1: copy a.1 to []
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
            alive 1 a                     -> 1: copy a.1 to [2]
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
            alive 1 a             -> 1: copy a.1 to [2]
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
    check_after(
        WITH_A_THIRD,
        "move a 3 | ends 1 a moved | copied 3 a +2 | alive 3 a checkpoints | copies a | move a 2 | ends 3 a moved | away 2 | tick 5000 | where a",
        &expect![[r"
            move a 3              -> 1: move a.1
            ends 1 a moved        -> 1: settle a.1 | 1: end a.1 (a later incarnation takes its place) | 3: host a.2 restoring with checkpoint from [1] and copy to 2
            copied 3 a +2         ->
            alive 3 a checkpoints -> 1: release 1 of 1 | 3: copy a.2 to [2]
            copies a              -> w2
            move a 2              -> 3: move a.2
            ends 3 a moved        -> 2: host a.3 restoring with checkpoint from [3] and copy to 1 | 3: settle a.2 | 3: end a.2 (a later incarnation takes its place)
            away 2                ->
            tick 5000             ->
            where a               -> restarting in life 3 after 1 restarts and 1 deaths
        "]],
    );
}

#[test]
fn where_a_copy_cannot_be_read_another_is_tried() {
    check(
        "join 1 1 | join 2 1 | join 3 1 | create a once peers:2 forever | copied 1 a +2 +3 | alive 1 a checkpoints | away 1 | tick 5000 | ends 2 a failed storage | ends 3 a failed storage | where a",
        &expect![[r"
            join 1 1                      ->
            join 2 1                      ->
            join 3 1                      ->
            create a once peers:2 forever -> made a | 1: host a.1 and copy to 2 and copy to 3
            copied 1 a +2 +3              ->
            alive 1 a checkpoints         -> 1: copy a.1 to [2 3]
            away 1                        ->
            tick 5000                     -> 2: host a.2 restoring and copy to 3
            ends 2 a failed storage       -> 2: settle a.2 | 2: end a.2 (a later incarnation takes its place) | 3: host a.3 restoring and copy to 2
            ends 3 a failed storage       -> 3: settle a.3
            where a                       -> restarting in life 3 after 3 restarts and 3 deaths
        "]],
    );
}

#[test]
fn a_disk_that_fails_its_host_is_left_for_a_copy() {
    check_after(
        IN_STEP,
        "ends 1 a crashed storage | where a",
        &expect![[r"
            ends 1 a crashed storage -> 1: settle a.1 | 1: end a.1 (a later incarnation takes its place) | 2: host a.2 restoring and copy to 1
            where a                  -> starting on 2 in life 2 after 1 restarts and 1 deaths
        "]],
    );
}

#[test]
fn a_copy_is_good_until_what_was_to_take_its_place_has_come() {
    check_after(
        IN_STEP,
        "move a 2 | ends 1 a moved | away 1 | tick 5000 | misses 2 what 1 left | where a",
        &expect![[r"
            move a 2             -> 1: move a.1
            ends 1 a moved       -> 1: settle a.1 | 1: end a.1 (a later incarnation takes its place) | 2: host a.2 restoring with checkpoint from [1] and copy to 1
            away 1               ->
            tick 5000            -> 2: copy a.2 to [] unheard
            misses 2 what 1 left -> 2: end a.2 (a later incarnation takes its place) | 2: host a.3 restoring
            where a              -> starting on 2 in life 3 after 1 restarts and 1 deaths
        "]],
    );
}

#[test]
fn what_a_machine_may_have_forgotten_is_a_last_resort() {
    let steps = |options: &str| {
        format!(
            "join 1 1 boot:x | join 2 1 | create a once peers:1 forever{options} | copied 1 a +2 | alive 1 a checkpoints | anew 1 as 3 1 boot:y | where a"
        )
    };
    check(
        &steps(""),
        &expect![[r"
            join 1 1 boot:x               ->
            join 2 1                      ->
            create a once peers:1 forever -> made a | 1: host a.1 and copy to 2
            copied 1 a +2                 ->
            alive 1 a checkpoints         -> 1: copy a.1 to [2]
            anew 1 as 3 1 boot:y          -> 2: host a.2 restoring and copy to 1
            where a                       -> starting on 2 in life 2 after 1 restarts and 1 deaths
        "]],
    );
    check(
        &steps(" disk"),
        &expect![[r"
            join 1 1 boot:x                    ->
            join 2 1                           ->
            create a once peers:1 forever disk -> made a | 1: host a.1 and copy to 2
            copied 1 a +2                      ->
            alive 1 a checkpoints              -> 1: copy a.1 to [2]
            anew 1 as 3 1 boot:y               -> 3: host a.2 restoring and copy to 2
            where a                            -> starting on 3 in life 2 after 1 restarts and 1 deaths
        "]],
    );
    check(
        "join 1 1 boot:x | join 2 1 boot:x | create a once peers:1 forever | copied 1 a +2 | alive 1 a checkpoints | away 1 | away 2 | tick 5000 | anew 1 as 3 1 boot:y | tick 299999 | tick 1",
        &expect![[r"
            join 1 1 boot:x               ->
            join 2 1 boot:x               ->
            create a once peers:1 forever -> made a | 1: host a.1 and copy to 2
            copied 1 a +2                 ->
            alive 1 a checkpoints         -> 1: copy a.1 to [2]
            away 1                        ->
            away 2                        ->
            tick 5000                     ->
            anew 1 as 3 1 boot:y          ->
            tick 299999                   ->
            tick 1                        -> 3: host a.2 restoring
        "]],
    );
}

#[test]
fn a_home_that_leaves_is_not_waited_for() {
    check(
        "join 1 1 | join 2 1 | create a once peers:1 forever | copied 1 a +2 | alive 1 a | drain 1 | ends 1 a crashed",
        &expect![[r"
            join 1 1                      ->
            join 2 1                      ->
            create a once peers:1 forever -> made a | 1: host a.1 and copy to 2
            copied 1 a +2                 ->
            alive 1 a                     -> 1: copy a.1 to [2]
            drain 1                       ->
            ends 1 a crashed              -> 1: settle a.1 | 1: end a.1 (a later incarnation takes its place) | 1: leave | 2: host a.2 restoring
        "]],
    );
}

#[test]
fn a_worker_leaves_when_others_have_what_it_keeps() {
    check_after(
        IN_STEP,
        "join 3 1 | drain 2 | copied 1 a +2 | copied 1 a +3 | copies a",
        &expect![[r"
            join 3 1      ->
            drain 2       -> 1: copy a.1 to [2 3]
            copied 1 a +2 ->
            copied 1 a +3 -> 1: copy a.1 to [3] | 2: leave
            copies a      -> w3
        "]],
    );
}

#[test]
fn who_cannot_fetch_what_was_left_does_not_begin_with_a_copy_of_long_ago() {
    check_after(
        WITH_A_THIRD,
        "copied 1 a -2 | copied 1 a +3 | move a 2 | ends 1 a moved | misses 2 what 1 left 1",
        &expect![[r"
            copied 1 a -2          -> 1: copy a.1 to [3]
            copied 1 a +3          ->
            move a 2               -> 1: move a.1
            ends 1 a moved         -> 1: settle a.1 | 1: end a.1 (a later incarnation takes its place) | 2: host a.2 restoring with checkpoint from [1] and copy to 3
            misses 2 what 1 left 1 -> 1: release 1 of 1 | 1: host a.3 restoring and copy to 3 | 2: end a.2 (a later incarnation takes its place)
        "]],
    );
}

#[test]
fn who_was_struck_off_without_the_host_knowing_is_in_step_again_when_that_is_lost() {
    check_after(
        IN_STEP,
        "away 1 | away 2 | join 2 1 | tick 5000 | where a",
        &expect![[r"
            away 1    ->
            away 2    ->
            join 2 1  ->
            tick 5000 -> 2: host a.2 restoring
            where a   -> starting on 2 in life 2 after 1 restarts and 1 deaths
        "]],
    );
}

#[test]
fn where_a_copy_cannot_be_read_the_worker_that_has_the_log_is_waited_for() {
    check_after(
        IN_STEP,
        "away 1 | tick 5000 | ends 2 a failed storage | where a | anew 1 as 3 1 | tick 2000 | where a",
        &expect![[r"
            away 1                  ->
            tick 5000               -> 2: host a.2 restoring
            ends 2 a failed storage -> 2: settle a.2
            where a                 -> restarting in life 2 after 2 restarts and 2 deaths
            anew 1 as 3 1           -> 2: end a.2 (a later incarnation takes its place) | 3: host a.3 restoring and copy to 2
            tick 2000               ->
            where a                 -> starting on 3 in life 3 after 2 restarts and 2 deaths
        "]],
    );
}

#[test]
fn whoever_was_not_heard_of_is_begun_again_with_what_it_was_given() {
    check_after(
        IN_STEP,
        "move a 2 | ends 1 a moved | anew 2 as 3 1 | where a | alive 1 a checkpoints",
        &expect![[r"
            move a 2              -> 1: move a.1
            ends 1 a moved        -> 1: settle a.1 | 1: end a.1 (a later incarnation takes its place) | 2: host a.2 restoring with checkpoint from [1] and copy to 1
            anew 2 as 3 1         -> 1: host a.3 restoring with checkpoint from [] and copy to 2
            where a               -> starting on 1 in life 3 after 1 restarts and 1 deaths
            alive 1 a checkpoints -> 1: release 1 of 1 | 1: copy a.3 to [2]
        "]],
    );
    check_after(
        "join 1 1 | join 2 1 | create a once forever | alive 1 a checkpoints",
        "move a 2 | ends 1 a moved | anew 2 as 3 1 | where a | alive 1 a checkpoints",
        &expect![[r"
            move a 2              -> 1: move a.1
            ends 1 a moved        -> 1: settle a.1 | 1: end a.1 (a later incarnation takes its place) | 2: host a.2 restoring with checkpoint from [1]
            anew 2 as 3 1         -> 1: host a.3 restoring with checkpoint from []
            where a               -> starting on 1 in life 3 after 1 restarts and 1 deaths
            alive 1 a checkpoints -> 1: release 1 of 1 | 1: copy a.3 to []
        "]],
    );
}

#[test]
fn what_was_left_stays_when_it_is_told_again() {
    check_after(
        WITH_A_THIRD,
        "move a 3 | ends 1 a moved | ends 1 a moved | alive 3 a checkpoints",
        &expect![[r"
            move a 3              -> 1: move a.1
            ends 1 a moved        -> 1: settle a.1 | 1: end a.1 (a later incarnation takes its place) | 3: host a.2 restoring with checkpoint from [1] and copy to 2
            ends 1 a moved        -> 1: settle a.2
            alive 3 a checkpoints -> 1: release 1 of 1 | 3: copy a.2 to [2]
        "]],
    );
}

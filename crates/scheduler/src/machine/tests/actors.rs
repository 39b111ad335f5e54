//! Scripts in, transcripts out: what becomes of actors, one test for each turn that a life can take.

mod copied;
mod logs;
mod random;
mod scene;

use expect_test::expect;

use self::scene::check;

#[test]
fn an_actor_goes_where_fewest_are_and_a_request_that_comes_again_is_the_same() {
    check(
        "join 1 1 | create a | again b | create b | create c | join 2 1 | create d | alive 1 a | where a | where b | free 1",
        &expect![[r"
            join 1 1  ->
            create a  -> made a | 1: host a.1
            again b   -> made a
            create b  -> made b | 1: host b.1
            create c  -> made c | 1: host c.1
            join 2 1  ->
            create d  -> made d | 2: host d.1
            alive 1 a ->
            where a   -> alive on 1 in life 1 after 0 restarts and 0 deaths
            where b   -> starting on 1 in life 1 after 0 restarts and 0 deaths
            free 1    -> 1 cpus, 3 actors
        "]],
    );
}

#[test]
fn what_nobody_can_host_waits_and_is_told_why() {
    check(
        "create a | why a | join 1 1 bare | why a | create b cpus:9 | why b | join 2 1 | create c on:w7 | why c | where c | create d class:D | why d",
        &expect![[r"
            create a         -> made a
            why a            -> there are no workers: start one
            join 1 1 bare    ->
            why a            -> no worker has the actor class C: there are none at all
            create b cpus:9  -> made b
            why b            -> no worker has the actor class C: there are none at all
            join 2 1         -> 2: host a.1
            create c on:w7   -> made c
            why c            -> w1 is not among the workers named: w7, like 1 more
            where c          -> waiting in life 0 after 0 restarts and 0 deaths
            create d class:D -> made d
            why d            -> no worker has the actor class D: the nearest are C
        "]],
    );
}

#[test]
fn what_waits_for_its_log_says_so_whoever_else_is_there() {
    check(
        "join 1 1 | create a once forever cpus:1 | alive 1 a | away 1 | tick 5000 | where a | waits a | join 2 1 | waits a | anew 1 as 3 1 | alive 3 a | drain 3 | ends 3 a crashed | waits a",
        &expect![[r"
            join 1 1                     ->
            create a once forever cpus:1 -> made a | 1: host a.1
            alive 1 a                    ->
            away 1                       ->
            tick 5000                    ->
            where a                      -> restarting in life 1 after 1 restarts and 1 deaths
            waits a                      -> the worker that has its log is away
            join 2 1                     ->
            waits a                      -> the worker that has its log is away
            anew 1 as 3 1                -> 3: host a.2 restoring
            alive 3 a                    ->
            drain 3                      ->
            ends 3 a crashed             -> 3: settle a.2 | 3: leave
            waits a                      -> w1, which has its log, is draining
        "]],
    );
}

#[test]
fn what_waits_for_room_says_where_there_is_none() {
    check(
        "join 1 1 | create a cpus:1 | waits a | create b cpus:1 | why b | waits b | drain 1 | waits b | kill a | ends 1 a killed | join 2 1 | waits b",
        &expect![[r"
            join 1 1        ->
            create a cpus:1 -> made a | 1: host a.1
            waits a         ->
            create b cpus:1 -> made b
            why b           ->
            waits b         -> w1 has 0 of cpus free, the actor takes 1
            drain 1         ->
            waits b         -> w1 is draining
            kill a          -> 1: forget a.1 (somebody ended it)
            ends 1 a killed -> 1: settle a.1 | 1: leave
            join 2 1        -> 2: host b.1
            waits b         ->
        "]],
    );
}

#[test]
fn names_are_taken_until_their_actor_ends() {
    check(
        "join 1 1 | create a named:x | create b named:x | create b named:x get | kill a | create b named:x | ends 1 a killed | where a | where b | tick 600000 | where a",
        &expect![[r"
            join 1 1             ->
            create a named:x     -> made a | 1: host a.1
            create b named:x     -> NAME_TAKEN: an actor named x is there already: 00000000000000000000000000000061
            create b named:x get -> found a
            kill a               -> 1: forget a.1 (somebody ended it)
            create b named:x     -> made b | 1: host b.1
            ends 1 a killed      -> 1: settle a.1
            where a              -> dead in life 1 after 0 restarts and 1 deaths: ACTOR_KILLED: somebody ended it
            where b              -> starting on 1 in life 1 after 0 restarts and 0 deaths
            tick 600000          ->
            where a              -> nowhere
        "]],
    );
}

#[test]
fn resources_are_held_for_life() {
    check(
        "join 1 2 | create a cpus:1 | create b cpus:1 | create c cpus:1 | free 1 | where c | alive 1 a | ends 1 a exited | where a | where c | free 1",
        &expect![[r"
            join 1 2        ->
            create a cpus:1 -> made a | 1: host a.1
            create b cpus:1 -> made b | 1: host b.1
            create c cpus:1 -> made c
            free 1          -> 0 cpus, 2 actors
            where c         -> waiting in life 0 after 0 restarts and 0 deaths
            alive 1 a       ->
            ends 1 a exited -> 1: settle a.1 | 1: host c.1
            where a         -> dead in life 1 after 0 restarts and 1 deaths: ACTOR_EXITED: it ended itself
            where c         -> starting on 1 in life 1 after 0 restarts and 0 deaths
            free 1          -> 0 cpus, 2 actors
        "]],
    );
}

#[test]
fn a_crash_is_followed_by_another_life_in_the_same_place_as_often_as_allowed() {
    check(
        "join 1 1 | join 2 1 | create a restarts:2 backoff:10 | alive 1 a | ends 1 a crashed | tick 9 | where a | tick 1 | alive 1 a | ends 1 a crashed | tick 10 | tick 10 | alive 1 a | ends 1 a crashed | where a",
        &expect![[r"
            join 1 1                       ->
            join 2 1                       ->
            create a restarts:2 backoff:10 -> made a | 1: host a.1
            alive 1 a                      ->
            ends 1 a crashed               -> 1: settle a.1
            tick 9                         ->
            where a                        -> restarting in life 1 after 1 restarts and 1 deaths
            tick 1                         -> 1: host a.2
            alive 1 a                      ->
            ends 1 a crashed               -> 1: settle a.2
            tick 10                        ->
            tick 10                        -> 1: host a.3
            alive 1 a                      ->
            ends 1 a crashed               -> 1: settle a.3 | 1: forget a.3 (it was started again 2 times, as often as it may be)
            where a                        -> dead in life 3 after 2 restarts and 3 deaths: RESTARTS_EXHAUSTED: it was started again 2 times, as often as it may be <- USER_ERROR: crashed
        "]],
    );
}

#[test]
fn a_constructor_that_fails_would_fail_again() {
    check(
        "join 1 1 | create a forever | ends 1 a failed | where a | create b forever | alive 1 b | ends 1 b diverged | where b",
        &expect![[r"
            join 1 1          ->
            create a forever  -> made a | 1: host a.1
            ends 1 a failed   -> 1: settle a.1 | 1: forget a.1 (failed)
            where a           -> dead in life 1 after 0 restarts and 1 deaths: USER_ERROR: failed
            create b forever  -> made b | 1: host b.1
            alive 1 b         ->
            ends 1 b diverged -> 1: settle b.1 | 1: forget b.1 (diverged)
            where b           -> dead in life 1 after 0 restarts and 1 deaths: USER_ERROR: diverged
        "]],
    );
}

#[test]
fn a_lost_worker_costs_a_life_and_callers_learn_of_the_next() {
    check(
        "join 1 1 | create a forever | create b | alive 1 a | alive 1 b | away 1 | join 2 1 | tick 5000 | where a | where b | alive 2 a | where a",
        &expect![[r"
            join 1 1         ->
            create a forever -> made a | 1: host a.1
            create b         -> made b | 1: host b.1
            alive 1 a        ->
            alive 1 b        ->
            away 1           ->
            join 2 1         ->
            tick 5000        -> 2: host a.2
            where a          -> starting on 2 in life 2 after 1 restarts and 1 deaths
            where b          -> dead in life 1 after 0 restarts and 1 deaths: WORKER_LOST: its worker w1 was lost (on w1)
            alive 2 a        ->
            where a          -> alive on 2 in life 2 after 1 restarts and 1 deaths
        "]],
    );
}

#[test]
fn one_that_stops_without_the_scheduler_is_given_the_time_of_its_lease() {
    check(
        "join 1 1 | create a forever stop | alive 1 a | away 1 | join 2 1 | tick 5000 | where a | tick 90000 | where a | tick 20000 | where a",
        &expect![[r"
            join 1 1              ->
            create a forever stop -> made a | 1: host a.1
            alive 1 a             ->
            away 1                ->
            join 2 1              ->
            tick 5000             ->
            where a               -> restarting in life 1 after 1 restarts and 1 deaths
            tick 90000            ->
            where a               -> restarting in life 1 after 1 restarts and 1 deaths
            tick 20000            -> 2: host a.2
            where a               -> starting on 2 in life 2 after 1 restarts and 1 deaths
        "]],
    );
}

#[test]
fn a_new_life_of_the_daemon_proves_that_the_old_is_over() {
    check(
        "join 1 1 | create a forever stop | alive 1 a | anew 1 as 2 1 | where a",
        &expect![[r"
            join 1 1              ->
            create a forever stop -> made a | 1: host a.1
            alive 1 a             ->
            anew 1 as 2 1         -> 2: host a.2
            where a               -> starting on 2 in life 2 after 1 restarts and 1 deaths
        "]],
    );
}

#[test]
fn effectively_once_waits_for_the_worker_that_has_the_log() {
    check(
        "join 1 1 | join 2 1 | create a forever once | alive 1 a checkpoints | ends 1 a crashed | alive 1 a checkpoints | away 1 | tick 5000 | tick 150000 | where a | anew 1 as 3 1 | alive 3 a checkpoints | where a",
        &expect![[r"
            join 1 1              ->
            join 2 1              ->
            create a forever once -> made a | 1: host a.1
            alive 1 a checkpoints ->
            ends 1 a crashed      -> 1: settle a.1 | 1: host a.2 restoring
            alive 1 a checkpoints ->
            away 1                ->
            tick 5000             ->
            tick 150000           ->
            where a               -> restarting in life 2 after 2 restarts and 2 deaths
            anew 1 as 3 1         -> 3: host a.3 restoring
            alive 3 a checkpoints ->
            where a               -> alive on 3 in life 3 after 2 restarts and 2 deaths
        "]],
    );
}

#[test]
fn effectively_once_is_dead_if_that_worker_does_not_come_back() {
    check(
        "join 1 1 | join 2 1 | create a forever once | alive 1 a checkpoints | away 1 | tick 5000 | tick 500000 | where a",
        &expect![[r"
            join 1 1              ->
            join 2 1              ->
            create a forever once -> made a | 1: host a.1
            alive 1 a checkpoints ->
            away 1                ->
            tick 5000             ->
            tick 500000           ->
            where a               -> dead in life 1 after 1 restarts and 1 deaths: STATE_LOST: the worker that has its log and checkpoint did not come back in time <- WORKER_LOST: its worker w1 was lost (on w1)
        "]],
    );
}

#[test]
fn a_move_carries_the_state_along() {
    check(
        "join 1 1 | join 2 1 | create a once | alive 1 a checkpoints | move a 2 | where a | ends 1 a moved | where a | alive 2 a checkpoints | where a",
        &expect![[r"
            join 1 1              ->
            join 2 1              ->
            create a once         -> made a | 1: host a.1
            alive 1 a checkpoints ->
            move a 2              -> 1: move a.1
            where a               -> moving on 1 in life 1 after 0 restarts and 0 deaths
            ends 1 a moved        -> 1: settle a.1 | 1: end a.1 (a later incarnation takes its place) | 2: host a.2 restoring with checkpoint from [1]
            where a               -> moving on 2 in life 2 after 0 restarts and 0 deaths
            alive 2 a checkpoints -> 1: release 1 of 1 | 2: copy a.2 to []
            where a               -> alive on 2 in life 2 after 0 restarts and 0 deaths
        "]],
    );
}

#[test]
fn a_move_is_given_up_if_the_actor_cannot_be_checkpointed_unless_its_state_may_be_lost() {
    check(
        "join 1 1 | join 2 1 | create a | alive 1 a | move a 9 | move a 2 | stays 1 a | answer | move a | move a | stays 1 a | where a | move a anyhow | ends 1 a moved empty | where a",
        &expect![[r"
            join 1 1             ->
            join 2 1             ->
            create a             -> made a | 1: host a.1
            alive 1 a            ->
            move a 9             -> WORKER_UNKNOWN: there is no worker 9
            move a 2             -> 1: move a.1
            stays 1 a            ->
            answer               -> stays: it cannot
            move a               -> 1: move a.1
            move a               -> BUSY: actor 00000000000000000000000000000061 is on its way already
            stays 1 a            ->
            where a              -> alive on 1 in life 1 after 0 restarts and 0 deaths
            move a anyhow        -> 1: move a.1 anyhow
            ends 1 a moved empty -> 1: settle a.1 | 1: end a.1 (a later incarnation takes its place) | 2: host a.2
            where a              -> moving on 2 in life 2 after 0 restarts and 0 deaths
        "]],
    );
}

#[test]
fn checkpoints_are_answered_once_and_fail_with_their_incarnation() {
    check(
        "join 1 1 | create a forever | checkpoint a | answer | alive 1 a checkpoints | made 1 a | answer | checkpoint a | ends 1 a crashed | answer",
        &expect![[r"
            join 1 1              ->
            create a forever      -> made a | 1: host a.1
            checkpoint a          ->
            answer                -> not yet
            alive 1 a checkpoints -> 1: checkpoint a.1
            made 1 a              ->
            answer                -> checkpoint of 5 in life 1
            checkpoint a          -> 1: checkpoint a.1
            ends 1 a crashed      -> 1: settle a.1 | 1: host a.2
            answer                -> none: crashed
        "]],
    );
}

#[test]
fn a_worker_that_is_sent_away_moves_what_can_be_moved_and_waits_for_the_rest() {
    check(
        "join 1 2 | create a | create b cpus:1 | alive 1 a checkpoints | alive 1 b | drain 1 | blockers 1 | join 2 1 | ends 1 a moved | alive 2 a checkpoints | blockers 1 | kill b | ends 1 b killed",
        &expect![[r"
            join 1 2              ->
            create a              -> made a | 1: host a.1
            create b cpus:1       -> made b | 1: host b.1
            alive 1 a checkpoints ->
            alive 1 b             ->
            drain 1               ->
            blockers 1            -> actor 00000000000000000000000000000062 cannot be checkpointed: kill it, or move it with its state lost | actor 00000000000000000000000000000061 has no other worker with room for it: start one
            join 2 1              -> 1: move a.1
            ends 1 a moved        -> 1: settle a.1 | 1: end a.1 (a later incarnation takes its place) | 2: host a.2 with checkpoint from [1]
            alive 2 a checkpoints -> 1: release 1 of 1
            blockers 1            -> actor 00000000000000000000000000000062 cannot be checkpointed: kill it, or move it with its state lost
            kill b                -> 1: forget b.1 (somebody ended it)
            ends 1 b killed       -> 1: settle b.1 | 1: leave
        "]],
    );
}

#[test]
fn who_is_killed_stays_dead_and_others_may_not_kill() {
    check(
        "join 1 1 | create a forever | alive 1 a | kill a stranger | kill a life | ends 1 a killed | where a | alive 1 a | kill a | away 1 | tick 5000 | where a | kill a | checkpoint a | move a | kill z",
        &expect![[r"
            join 1 1         ->
            create a forever -> made a | 1: host a.1
            alive 1 a        ->
            kill a stranger  -> ROLE_MISSING: actor 00000000000000000000000000000061 is another's: that takes the role admin
            kill a life      -> 1: end a.1 (somebody ended it)
            ends 1 a killed  -> 1: settle a.1 | 1: host a.2
            where a          -> starting on 1 in life 2 after 1 restarts and 1 deaths
            alive 1 a        ->
            kill a           -> 1: forget a.2 (somebody ended it)
            away 1           ->
            tick 5000        ->
            where a          -> dead in life 2 after 1 restarts and 2 deaths: ACTOR_KILLED: somebody ended it
            kill a           ->
            checkpoint a     -> ACTOR_GONE: actor 00000000000000000000000000000061 has ended: somebody ended it
            move a           -> ACTOR_GONE: actor 00000000000000000000000000000061 has ended: somebody ended it
            kill z           -> ACTOR_UNKNOWN: there is no actor 0000000000000000000000000000007a, or it ended and was forgotten
        "]],
    );
}

#[test]
fn actors_end_with_their_session_unless_they_are_detached() {
    check(
        "join 1 1 | create a | create b detached | create c sessionless | create d sessionless detached | alive 1 a | alive 1 b | close | ends 1 a killed | where a | where b",
        &expect![[r"
            join 1 1                      ->
            create a                      -> made a | 1: host a.1
            create b detached             -> made b | 1: host b.1
            create c sessionless          -> MALFORMED: no session would end it: open one, or set `detached`
            create d sessionless detached -> made d | 1: host d.1
            alive 1 a                     ->
            alive 1 b                     ->
            close                         -> 1: forget a.1 (session s1, which made it, is over; `detached` lets an actor outlive that)
            ends 1 a killed               -> 1: settle a.1
            where a                       -> dead in life 1 after 0 restarts and 1 deaths: ACTOR_KILLED: session s1, which made it, is over; `detached` lets an actor outlive that
            where b                       -> alive on 1 in life 1 after 0 restarts and 0 deaths
        "]],
    );
}

#[test]
fn an_actor_that_was_let_go_is_not_said_to_be_ended_by_somebody() {
    check(
        "join 1 1 | create a | alive 1 a | kill a released",
        &expect![[r"
            join 1 1        ->
            create a        -> made a | 1: host a.1
            alive 1 a       ->
            kill a released -> 1: forget a.1 (session s1, which made it, has let its handle go; `detached` lets an actor outlive that)
        "]],
    );
}

#[test]
fn a_stream_that_comes_back_is_told_what_was_lost_on_the_way() {
    check(
        "join 1 1 | create a | create b | alive 1 b | away 1 | kill b | back 1 +b | ends 1 b killed | where b",
        &expect![[r"
            join 1 1        ->
            create a        -> made a | 1: host a.1
            create b        -> made b | 1: host b.1
            alive 1 b       ->
            away 1          ->
            kill b          ->
            back 1 +b       -> 1: host a.1 | 1: forget b.1 (somebody ended it)
            ends 1 b killed -> 1: settle b.1
            where b         -> dead in life 1 after 0 restarts and 1 deaths: ACTOR_KILLED: somebody ended it
        "]],
    );
}

#[test]
fn what_a_worker_lost_while_away_is_a_lost_life_and_what_it_found_is_ended() {
    check(
        "join 1 1 | create a forever | alive 1 a | away 1 | back 1 +z | where a | alive 1 a | back 1 +a@1",
        &expect![[r"
            join 1 1         ->
            create a forever -> made a | 1: host a.1
            alive 1 a        ->
            away 1           ->
            back 1 +z        -> 1: forget z.1 (the scheduler does not know it: it has ended, or the scheduler started anew) | 1: host a.2
            where a          -> starting on 1 in life 2 after 1 restarts and 1 deaths
            alive 1 a        ->
            back 1 +a@1      -> 1: end a.1 (a later incarnation takes its place) | 1: host a.3
        "]],
    );
}

#[test]
fn what_a_constructor_takes_is_kept_until_the_actor_is_dead() {
    check(
        "join 1 1 | join 2 1 | put 1 1 | create a forever on:w2 | alive 2 a | away 1 | tick 5000 | ends 2 a crashed | where a",
        &expect![[r"
            join 1 1               ->
            join 2 1               ->
            put 1 1                ->
            create a forever on:w2 -> made a | 2: host a.1 from [1]
            alive 2 a              ->
            away 1                 ->
            tick 5000              ->
            ends 2 a crashed       -> 2: settle a.1 | 2: forget a.1 (h1:1, which it begins with, is gone with the worker that had it)
            where a                -> dead in life 1 after 1 restarts and 1 deaths: INPUT_LOST: h1:1, which it begins with, is gone with the worker that had it
        "]],
    );
}

//! What is mended when streams break and news are late.

use bireme_core::id::{AttemptId, AttemptNo, Epoch, GraphId, SessionId, TaskId, WorkerId};
use bireme_core::protocol::Report;
use bireme_core::reason::Reason;
use bireme_core::{Time, limits};
use expect_test::expect;

use super::harness::{check, cluster};
use crate::machine::{Effect, Event};

#[test]
fn what_finished_while_nobody_listened_has_finished() {
    check(
        "join 1 1 | submit a b:a | away 1 | back 1 =a =b",
        &expect![[r"
            join 1 1     ->
            submit a b:a -> 1: start a.1 | 1: start b.1 ahead
            away 1       ->
            back 1 =a =b -> 1: release a | client: finished b | client: done
        "]],
    );
}

#[test]
fn what_has_finished_is_not_taken_back_with_what_it_had_waited_for() {
    check(
        "join 1 1 | submit a b:a c:b | away 1 | back 1 -a =b +c",
        &expect![[r"
            join 1 1         ->
            submit a b:a c:b -> 1: start a.1 | 1: start b.1 ahead | 1: start c.1 ahead
            away 1           ->
            back 1 -a =b +c  -> 1: settle a.1 | 1: start a.2
        "]],
    );
}

#[test]
fn what_an_earlier_attempt_left_is_not_the_result_of_this_one() {
    check(
        "join 1 1 | submit a | lose 1 | join 2 1 | away 2 | back 2 a | away 2 | back 2 =a",
        &expect![[r"
            join 1 1  ->
            submit a  -> 1: start a.1
            lose 1    ->
            join 2 1  -> 2: start a.2
            away 2    ->
            back 2 a  -> 2: release a | 2: start a.3
            away 2    ->
            back 2 =a -> client: finished a | client: done
        "]],
    );
}

#[test]
fn what_is_known_already_is_no_news() {
    check(
        "join 1 1 | submit a b | finish 1 a | started 1 b | away 1 | back 1 a +b | away 1 | back 1 +b",
        &expect![[r"
            join 1 1    ->
            submit a b  -> 1: start a.1 | 1: start b.1
            finish 1 a  -> client: finished a
            started 1 b ->
            away 1      ->
            back 1 a +b -> no news
            away 1      ->
            back 1 +b   ->
        "]],
    );
}

#[test]
fn a_late_word_of_a_missing_value_does_not_drop_a_fresh_one() {
    check(
        "join 1 1 | join 2 1 | submit a | finish 1 a | missing 2 a at 1 of 1 | finish 1 a | missing 2 a at 1 of 1 | missing 2 a at 1 of 2",
        &expect![[r"
            join 1 1              ->
            join 2 1              ->
            submit a              -> 1: start a.1
            finish 1 a            -> client: finished a | client: done
            missing 2 a at 1 of 1 -> 1: release a | 1: start a.2
            finish 1 a            -> client: finished a | client: done
            missing 2 a at 1 of 1 -> 2: Places([Input { object: Output { task: TaskId { graph: GraphId(4294967297), index: 0 }, output: 0 }, holders: [WorkerId(1)], size: 1048576, value: None, made_by: Some(AttemptNo { epoch: Epoch(1), n: 2 }) }])
            missing 2 a at 1 of 2 -> 1: release a | 1: start a.3
        "]],
    );
}

#[test]
fn who_misses_what_will_not_be_made_is_told_so() {
    check(
        "join 1 1 | join 2 1 | submit a | missing 2 a at 1 of 1 | fail 1 a | missing 2 a at 1 of 1",
        &expect![[r#"
            join 1 1              ->
            join 2 1              ->
            submit a              -> 1: start a.1
            missing 2 a at 1 of 1 ->
            fail 1 a              -> 1: settle a.1 | client: failed a | client: done
            missing 2 a at 1 of 1 -> 2: Gone { object: Output { task: TaskId { graph: GraphId(4294967297), index: 0 }, output: 0 }, error: TaskError { class: Dependency, reason: "DEPENDENCY_FAILED", message: "task \"a\", which makes 1.1/0:0, did not finish", traceback: "", language: "", attempt: None, worker: "", exit: None, last_lines: [], cause: Some(TaskError { class: User, reason: "USER_ERROR", message: "it failed", traceback: "", language: "", attempt: Some(AttemptId { task: TaskId { graph: GraphId(4294967297), index: 0 }, no: AttemptNo { epoch: Epoch(1), n: 1 } }), worker: "w1", exit: None, last_lines: [], cause: None, opaque: None }), opaque: None } }
        "#]],
    );
}

#[test]
fn a_value_of_a_session_that_is_no_more_is_not_waited_for() {
    check(
        "join 1 1 | missing 1 7 of 1 | missing 1 7 of 9",
        &expect![[r#"
            join 1 1         ->
            missing 1 7 of 1 ->
            missing 1 7 of 9 -> 1: Gone { object: Held { holder: HolderId(9), n: 7 }, error: TaskError { class: InputLost, reason: "INPUT_LOST", message: "h9:7 went with session 9, which is no more", traceback: "", language: "", attempt: None, worker: "", exit: None, last_lines: [], cause: None, opaque: None } }
        "#]],
    );
}

/// Its word of a replica and the order to drop that have crossed.
#[test]
fn a_worker_that_misses_what_it_is_believed_to_have_has_not_got_it() {
    check(
        "join 1 1 | put 1 1 | submit a | missing 1 1 of 1",
        &expect![[r#"
            join 1 1         ->
            put 1 1          -> client: accepted
            submit a         -> 1: start a.1
            missing 1 1 of 1 -> 1: retract a.1 | 1: Gone { object: Held { holder: HolderId(1), n: 1 }, error: TaskError { class: InputLost, reason: "INPUT_LOST", message: "h1:1 was given up, or is gone with the worker that had it", traceback: "", language: "", attempt: None, worker: "", exit: None, last_lines: [], cause: None, opaque: None } } | client: failed a | client: done
        "#]],
    );
}

#[test]
fn a_retry_whose_input_may_not_be_made_again_fails_alone() {
    check(
        "class once | join 1 1 | submit a b:a | finish 1 a | fail 1 b | retry b | error a | error b",
        &expect![[r#"
            class once   ->
            join 1 1     ->
            submit a b:a -> 1: start a.1 | 1: start b.1 ahead
            finish 1 a   ->
            fail 1 b     -> 1: settle b.1 | 1: release a | client: failed b | client: done
            retry b      -> client: failed b | client: done
            error a      ->
            error b      -> INPUT_LOST: an output of task "a" was dropped when nobody needed it, and the task may not be run again
        "#]],
    );
}

#[test]
fn a_worker_that_reports_without_end_and_never_reads_is_cut_off() {
    let (mut machine, worker) = (cluster(), WorkerId(1));
    let mut effects = Vec::new();
    for n in 1.. {
        assert!(n < u32::MAX && effects.is_empty(), "{effects:?}");
        let task = TaskId { graph: GraphId::new(SessionId(1), 77), index: n };
        let attempt = AttemptId { task, no: AttemptNo { epoch: Epoch(1), n } };
        let report = Report::Retracted(attempt);
        machine.handle(Time(2), Event::WorkerReported { worker, report }, &mut effects);
        effects.retain(|effect| !matches!(effect, Effect::Wake(_)));
        if n as usize > limits::WORKER_OWED {
            break;
        }
    }
    assert!(
        matches!(effects.as_slice(), [Effect::Disconnect { refusal, .. }] if refusal.reason == Reason::Busy),
        "{effects:?}"
    );
    let mut orders = Vec::new();
    assert!(!machine.take_orders(worker, usize::MAX, &mut orders) && orders.is_empty());
}

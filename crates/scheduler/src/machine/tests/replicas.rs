//! Replicas that a session wants elsewhere, or no more.

use bireme_core::id::{GraphId, HolderId, SessionId, SubmissionId, TaskId, WorkerId};
use bireme_core::object::ObjectId;
use bireme_core::reason::Reason;
use bireme_core::session::{Command, Replica};
use expect_test::expect;

use super::commands::command;
use super::harness::{check, cluster};

#[test]
fn a_replica_is_dropped_where_another_stays() {
    check(
        "join 1 1 | join 2 1 | submit a | finish 1 a | drop 1 a | replica 2 a | drop 1 a | drop 2 a | gone 2",
        &expect![[r"
            join 1 1    ->
            join 2 1    ->
            submit a    -> 1: start a.1
            finish 1 a  -> client: finished a | client: done
            drop 1 a    -> client: accepted
            replica 2 a ->
            drop 1 a    -> 1: release a
            drop 2 a    -> client: accepted
            gone 2      -> 1: start a.2
        "]],
    );
}

#[test]
fn the_replica_of_a_worker_on_its_way_out_is_none_that_stays() {
    check(
        "join 1 1 | submit a | finish 1 a | join 2 1 | replica 2 a | drain 2 | drop 1 a",
        &expect![[r"
            join 1 1    ->
            submit a    -> 1: start a.1
            finish 1 a  -> client: finished a | client: done
            join 2 1    ->
            replica 2 a ->
            drain 2     -> 2: leave
            drop 1 a    -> client: accepted
        "]],
    );
}

#[test]
fn values_of_others_are_left_alone() {
    let mut machine = cluster();
    let theirs = SessionId(9);
    let task = TaskId { graph: GraphId::new(theirs, 1), index: 0 };
    for object in
        [ObjectId::Held { holder: HolderId::from(theirs), n: 1 }, ObjectId::output(task, 0)]
    {
        let replicas = vec![Replica { object, worker: WorkerId(1) }];
        let drop = Command::DropReplicas { submission: SubmissionId(1), replicas };
        let refusal = command(&mut machine, drop).unwrap_err();
        assert_eq!(
            (refusal.reason, refusal.field.as_str()),
            (Reason::ObjectUnknown, "replicas[0].object")
        );
    }
}

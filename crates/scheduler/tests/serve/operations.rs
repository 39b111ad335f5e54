//! Running the cluster by calls: workers that are sent away or watched, tokens for others, stories, sessions left alone.

use bireme_core::Reason;
use bireme_daemon::auth::{Bearer, Token};
use bireme_proto::pb;
use bireme_proto::pb::cluster_client::ClusterClient;
use bireme_proto::pb::fleet_order::Order;
use bireme_proto::pb::fleet_report::Report;

use crate::support::{FleetStream, Scheduler, one_task, open, reason, soon};

fn named(name: &str) -> pb::WorkerSelector {
    pb::WorkerSelector { by: Some(pb::worker_selector::By::Name(name.to_owned())) }
}

fn large_output(start: &pb::StartAttempt) -> Report {
    let output = pb::Output { size: 1 << 20, value: None };
    let attempt = start.attempt;
    Report::Finished(pb::AttemptFinished { attempt, outputs: vec![output], timing: None })
}

/// The next order that `pick` takes; others are passed over.
async fn order<T>(worker: &mut FleetStream, mut pick: impl FnMut(Order) -> Option<T>) -> T {
    loop {
        let orders = worker.next().await.unwrap().orders;
        if let Some(found) = orders.into_iter().filter_map(|order| order.order).find_map(&mut pick)
        {
            return found;
        }
    }
}

#[tokio::test]
async fn a_drained_worker_leaves_when_its_values_are_elsewhere() {
    let scheduler = Scheduler::start().await;
    let mut calls = scheduler.calls().await;
    let mut old = scheduler.worker("old").await;
    let submit = pb::SubmitGraphRequest { chunk: Some(one_task(1)), ..Default::default() };
    let graph = soon(calls.submit_graph(submit)).await.unwrap().into_inner().graph;
    let start = old.start().await;
    old.report(large_output(&start)).await;
    let wait = pb::WaitGraphRequest { graph, max_wait_us: 30_000_000 };
    assert!(!soon(calls.wait_graph(wait)).await.unwrap().into_inner().pending);

    let drain = pb::DrainWorkerRequest {
        submission_id: vec![9; 16].into(),
        worker: Some(named("old")),
        reason: "new kernel".to_owned(),
        ..Default::default()
    };
    let standing = soon(calls.drain_worker(drain.clone())).await.unwrap().into_inner();
    assert!(standing.pending && standing.objects == 1, "{standing:?}");
    assert!(standing.blockers[0].contains("nowhere to go"), "{standing:?}");
    let shown = soon(calls.get_worker(pb::GetWorkerRequest { worker: Some(named("old")) })).await;
    let shown = shown.unwrap().into_inner().worker.unwrap();
    assert_eq!(shown.state(), pb::WorkerState::Draining);
    assert_eq!(shown.reason, "new kernel");

    let mut new = scheduler.worker("new").await;
    let copy = order(&mut new, |order| match order {
        Order::Replicate(replicate) => replicate.objects.into_iter().next(),
        _ => None,
    });
    let object = copy.await.object;
    new.report(Report::ReplicaAdded(pb::Replica { object, size: 1 << 20, made_by: None })).await;
    order(&mut old, |order| matches!(order, Order::Drain(_)).then_some(())).await;
    old.report(Report::Draining(pb::Draining::default())).await;
    let waiting = pb::DrainWorkerRequest { max_wait_us: 30_000_000, ..drain };
    let asked = tokio::spawn({
        let (mut calls, waiting) = (calls.clone(), waiting.clone());
        async move { calls.drain_worker(waiting).await }
    });
    drop(old);
    assert!(!soon(asked).await.unwrap().unwrap().into_inner().pending);
    let again = soon(calls.drain_worker(waiting)).await.unwrap().into_inner();
    assert!(!again.pending, "the same request is the same drain, long after");
}

#[tokio::test]
async fn a_worker_that_is_stopped_is_told_and_one_that_is_not_there_is_named() {
    let scheduler = Scheduler::start().await;
    let mut calls = scheduler.calls().await;
    let mut worker = scheduler.worker("a").await;
    let stop = |worker: &str| pb::StopWorkerRequest {
        submission_id: vec![1; 16].into(),
        worker: Some(named(worker)),
        ..Default::default()
    };
    let refused = soon(calls.stop_worker(stop("b"))).await.unwrap_err();
    assert_eq!(reason(&refused), Some(Reason::WorkerUnknown), "{refused}");
    soon(calls.stop_worker(stop("a"))).await.unwrap();
    order(&mut worker, |order| matches!(order, Order::Stop(_)).then_some(())).await;
}

#[tokio::test]
async fn with_a_grace_the_end_of_the_cluster_waits_for_its_workers() {
    let scheduler = Scheduler::start().await;
    let mut calls = scheduler.calls().await;
    let mut worker = scheduler.worker("a").await;
    let end = pb::ShutdownRequest { workers: true, grace_us: 30_000_000, ..Default::default() };
    soon(calls.shutdown(end)).await.unwrap();
    let deadline = order(&mut worker, |order| match order {
        Order::Drain(drain) => Some(drain.deadline_us),
        _ => None,
    });
    assert_eq!(deadline.await, 30_000_000);
    assert!(!scheduler.running.is_finished());
    drop((worker, calls));
    soon(scheduler.running).await.unwrap().unwrap();
}

#[tokio::test]
async fn workers_are_watched_as_they_come_and_go() {
    let scheduler = Scheduler::start().await;
    let mut calls = scheduler.calls().await;
    let watch = soon(calls.watch_workers(pb::WatchWorkersRequest::default())).await;
    let mut watch = watch.unwrap().into_inner();
    let first = soon(watch.message()).await.unwrap().unwrap();
    assert!(first.changed.is_empty() && !first.lagged, "{first:?}");
    let worker = scheduler.worker("a").await;
    let news = soon(watch.message()).await.unwrap().unwrap();
    assert_eq!(news.changed.iter().map(|worker| &*worker.name).collect::<Vec<_>>(), ["a"]);
    worker.report(Report::Draining(pb::Draining::default())).await;
    let mut gone = Vec::new();
    drop(worker);
    while gone.is_empty() {
        gone = soon(watch.message()).await.unwrap().unwrap().gone;
    }
    assert_eq!(Some(gone[0]), news.changed[0].worker);
}

#[tokio::test]
async fn an_issued_token_does_what_its_roles_allow() {
    let scheduler = Scheduler::start().await;
    let mut calls = scheduler.calls().await;
    let ask = |roles: &[pb::Role]| pb::IssueTokenRequest {
        submission_id: vec![3; 16].into(),
        name: "ada".to_owned(),
        roles: roles.iter().map(|role| (*role).into()).collect(),
        ttl_us: 3_600_000_000,
        namespace: String::new(),
    };
    let refused = soon(calls.issue_token(ask(&[]))).await.unwrap_err();
    assert_eq!(reason(&refused), Some(Reason::Malformed), "{refused}");
    let issued = soon(calls.issue_token(ask(&[pb::Role::Read]))).await.unwrap().into_inner();
    let again = soon(calls.issue_token(ask(&[pb::Role::Read]))).await.unwrap().into_inner();
    assert_eq!(issued.token, again.token, "the same request gets the same token");

    let bearer = Bearer::new(&Token::new(issued.token).unwrap());
    let mut theirs = ClusterClient::with_interceptor(scheduler.channel().await, bearer);
    let grant = soon(theirs.get_token(pb::GetTokenRequest {})).await.unwrap().into_inner();
    assert_eq!((grant.name.as_str(), grant.roles.len()), ("ada", 1));
    assert!((1..=3_600_000_000).contains(&grant.expires_us));
    soon(theirs.get_status(pb::GetStatusRequest {})).await.unwrap();
    let refused = soon(theirs.issue_token(ask(&[pb::Role::Read]))).await.unwrap_err();
    assert_eq!(reason(&refused), Some(Reason::RoleMissing), "{refused}");
}

#[tokio::test]
async fn the_story_of_a_task_tells_its_failures() {
    let scheduler = Scheduler::start().await;
    let mut calls = scheduler.calls().await;
    let mut worker = scheduler.worker("a").await;
    let mut chunk = one_task(1);
    let retry = pb::RetryPolicy { max_retries: 1, ..pb::RetryPolicy::default() };
    chunk.classes[0].retry = Some(retry);
    let submit = pb::SubmitGraphRequest { chunk: Some(chunk), ..Default::default() };
    let graph = soon(calls.submit_graph(submit)).await.unwrap().into_inner().graph;
    let start = worker.start().await;
    let error = pb::TaskError {
        class: pb::ErrorClass::User.into(),
        reason: "USER_ERROR".to_owned(),
        message: "no such file".to_owned(),
        ..pb::TaskError::default()
    };
    let attempt = start.attempt;
    worker
        .report(Report::Failed(pb::AttemptFailed { attempt, error: Some(error), timing: None }))
        .await;
    worker.start().await;
    let task = pb::TaskId { graph, index: 0 };
    let task = Some(pb::TaskSelector { by: Some(pb::task_selector::By::Task(task)) });
    let story = soon(calls.task_story(pb::TaskStoryRequest { task, count: 0 })).await;
    let story = story.unwrap().into_inner();
    let steps: Vec<_> =
        story.transitions.iter().map(|step| (&*step.cause, &*step.worker)).collect();
    assert_eq!(steps, [("USER_ERROR", "a"), ("STANDING", "a")], "{story:?}");
    assert_eq!(story.transitions[0].message, "no such file");
    assert_eq!(story.transitions[0].attempt, attempt);
    assert!(!story.truncated);
}

#[tokio::test]
async fn a_session_outlives_its_stream_and_is_found_again_by_its_token() {
    let scheduler = Scheduler::start().await;
    let mut calls = scheduler.calls().await;
    let mut session = scheduler.session(5).await;
    let number = session.next().await.unwrap().opened.unwrap().session;
    let chunk =
        pb::GraphChunk { graph: u64::from(number.unwrap().number) << 32 | 1, ..one_task(1) };
    session.send(pb::session_command::Command::Chunk(chunk.clone())).await;
    session
        .report(|report| matches!(report, pb::session_report::Report::Accepted(_)).then_some(()))
        .await;
    drop(session);
    let mut worker = scheduler.worker("a").await;
    let start = worker.start().await;
    worker.report(large_output(&start)).await;
    let wait = pb::WaitGraphRequest { graph: chunk.graph, max_wait_us: 30_000_000 };
    assert!(!soon(calls.wait_graph(wait)).await.unwrap().into_inner().pending);
    let mut back = scheduler.session(5).await;
    let opened = back.next().await.unwrap().opened.unwrap();
    assert!(opened.resumed && opened.session == number);
    let close = Some(pb::CloseSession { submission_id: vec![8; 16].into() });
    let session = open(5).token;
    soon(calls.close_session(pb::CloseSessionRequest { session, close })).await.unwrap();
    let refused = soon(calls.wait_graph(wait)).await.unwrap_err();
    assert_eq!(reason(&refused), Some(Reason::GraphUnknown), "{refused}");
}

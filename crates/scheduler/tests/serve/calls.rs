//! A graph from submission to result, in calls alone.

use bireme_core::Reason;
use bireme_proto::pb;
use bireme_proto::pb::fleet_report::Report;

use crate::support::{Scheduler, one_task, open, reason, soon};

fn finished(start: &pb::StartAttempt, text: &str) -> Report {
    let value = bireme_core::Value::text(text);
    let output = pb::Output { size: value.size, value: Some(value.into()) };
    let attempt = start.attempt;
    Report::Finished(pb::AttemptFinished { attempt, outputs: vec![output], timing: None })
}

fn of_key(graph: u64, key: &str) -> pb::TaskSelector {
    let key = pb::TaskKey { graph, key: key.to_owned() };
    pb::TaskSelector { by: Some(pb::task_selector::By::Key(key)) }
}

#[tokio::test]
async fn a_graph_runs_and_its_result_is_read() {
    let scheduler = Scheduler::start().await;
    let mut calls = scheduler.calls().await;
    let chunk = Some(one_task(1));
    let submit = pb::SubmitGraphRequest { session: Vec::new().into(), chunk };
    let submitted = soon(calls.submit_graph(submit.clone())).await.unwrap().into_inner();
    assert_eq!(submitted.tasks, 1);
    let again = soon(calls.submit_graph(submit)).await.unwrap().into_inner();
    assert_eq!(again.graph, submitted.graph, "the same submission gets the same answer");
    let graph = submitted.graph;

    let wait = pb::WaitGraphRequest { graph, max_wait_us: 1_000 };
    assert!(soon(calls.wait_graph(wait)).await.unwrap().into_inner().pending);
    let task = of_key(graph, "only");
    let explained =
        soon(calls.explain_task(pb::ExplainTaskRequest { task: Some(task.clone()) })).await;
    assert!(explained.unwrap().into_inner().summary.contains("no workers"));
    let watch =
        pb::WatchGraphRequest { graph, all_tasks: true, values: true, ..Default::default() };
    let mut watching = soon(calls.watch_graph(watch)).await.unwrap().into_inner();
    let first = soon(watching.message()).await.unwrap().unwrap().update.unwrap();
    assert_eq!((first.done, first.counts.unwrap().total), (false, 1));

    let mut waiting = calls.clone();
    let wait = pb::WaitGraphRequest { graph, max_wait_us: 30_000_000 };
    let waiting = tokio::spawn(async move { waiting.wait_graph(wait).await });
    let mut worker = scheduler.worker("a").await;
    let start = worker.start().await;
    assert_eq!(start.key, "only");
    worker.report(finished(&start, "hello")).await;
    let done = soon(waiting).await.unwrap().unwrap().into_inner();
    assert!(!done.pending && done.update.unwrap().done && done.failures.is_empty());

    let of = pb::get_result_request::Of::Task(task);
    let ask = pb::GetResultRequest { of: Some(of), max_wait_us: 1_000_000, ..Default::default() };
    let result = soon(calls.get_result(ask)).await.unwrap().into_inner();
    let value = bireme_core::Value::try_from(result.value.unwrap()).unwrap();
    assert_eq!(value.bytes().as_deref(), Some(&b"hello"[..]));
    assert_eq!(result.holders.len(), 1);

    let mut told = Vec::new();
    while let Some(news) = soon(watching.message()).await.unwrap() {
        told.extend(news.tasks.unwrap_or_default().tasks);
    }
    assert_eq!(told.len(), 1);
    assert!(told[0].outputs[0].value.is_some());
}

#[tokio::test]
async fn lists_show_who_is_there() {
    let scheduler = Scheduler::start().await;
    let mut calls = scheduler.calls().await;
    let (_session, worker) = (scheduler.session(1).await, scheduler.worker("lone").await);
    let submit = pb::SubmitGraphRequest { session: Vec::new().into(), chunk: Some(one_task(1)) };
    let graph = soon(calls.submit_graph(submit)).await.unwrap().into_inner().graph;

    let status = soon(calls.get_status(pb::GetStatusRequest {})).await.unwrap().into_inner();
    assert_eq!((status.workers.unwrap().total, status.graphs, status.open_graphs), (1, 1, 1));
    assert!(!status.durable && status.warnings[0].message.contains("restart"));
    let filter =
        |filter: &str| Some(pb::PageRequest { filter: filter.into(), ..Default::default() });
    for (words, count) in [("name=lone", 1), ("name=other", 0), ("state=running", 1)] {
        let list = pb::ListWorkersRequest { page: filter(words) };
        let list = soon(calls.list_workers(list)).await.unwrap().into_inner();
        assert_eq!(list.workers.len(), count, "{words}");
    }
    let list = soon(calls.list_sessions(pb::ListSessionsRequest { page: None })).await.unwrap();
    let sessions = list.into_inner().sessions;
    assert!(sessions.iter().any(|session| session.connected && !session.peer.is_empty()));
    let list = soon(calls.list_graphs(pb::ListGraphsRequest { page: None })).await.unwrap();
    assert_eq!(list.into_inner().graphs.len(), 1);
    for (graph, key_prefix, count) in [(0, "", 1), (graph, "on", 1), (graph, "off", 0)] {
        let key_prefix = key_prefix.to_owned();
        let list = pb::ListTasksRequest { graph, key_prefix, ..Default::default() };
        let list = soon(calls.list_tasks(list)).await.unwrap().into_inner();
        assert_eq!(list.tasks.len(), count);
    }
    let groups = soon(calls.get_graph(pb::GetGraphRequest { graph, page: None })).await.unwrap();
    assert_eq!(groups.into_inner().groups[0].prefix, "only");
    drop(worker);
}

#[tokio::test]
async fn sessions_are_driven_by_calls() {
    let scheduler = Scheduler::start().await;
    let mut calls = scheduler.calls().await;
    let open = pb::OpenSessionRequest { open: Some(open(7)) };
    let opened = soon(calls.open_session(open.clone())).await.unwrap().into_inner().opened.unwrap();
    assert!(!opened.resumed);
    assert!(soon(calls.open_session(open)).await.unwrap().into_inner().opened.unwrap().resumed);
    let session: bytes::Bytes = 7_u128.to_be_bytes().to_vec().into();
    let submit = pb::SubmitGraphRequest { session: session.clone(), chunk: Some(one_task(2)) };
    let graph = soon(calls.submit_graph(submit)).await.unwrap().into_inner().graph;
    assert_eq!(graph >> 32, u64::from(opened.session.unwrap().number));
    let submission_id: bytes::Bytes = vec![4; 16].into();
    let cancel = pb::CancelGraphRequest {
        submission_id,
        session: session.clone(),
        graph,
        ..Default::default()
    };
    assert_eq!(soon(calls.cancel_graph(cancel)).await.unwrap().into_inner().cancelled, 1);
    let wait = pb::WaitGraphRequest { graph, max_wait_us: 1_000_000 };
    assert!(soon(calls.wait_graph(wait)).await.unwrap().into_inner().update.unwrap().done);
    let close = Some(pb::CloseSession { submission_id: vec![5; 16].into() });
    soon(calls.close_session(pb::CloseSessionRequest { session: session.clone(), close }))
        .await
        .unwrap();
    let submit = pb::SubmitGraphRequest { session, chunk: Some(one_task(3)) };
    let refused = soon(calls.submit_graph(submit)).await.unwrap_err();
    assert_eq!(reason(&refused), Some(Reason::SessionUnknown), "{refused}");
}

#[tokio::test]
async fn what_there_is_not_is_named() {
    let scheduler = Scheduler::start().await;
    let mut calls = scheduler.calls().await;
    let wait = pb::WaitGraphRequest { graph: 99, max_wait_us: 30_000_000 };
    let refused = soon(calls.wait_graph(wait)).await.unwrap_err();
    assert_eq!(reason(&refused), Some(Reason::GraphUnknown), "{refused}");
    let ask = pb::GetTaskRequest { task: Some(of_key(99, "x")) };
    let refused = soon(calls.get_task(ask)).await.unwrap_err();
    assert_eq!(reason(&refused), Some(Reason::TaskUnknown), "{refused}");
    let story = pb::TaskStoryRequest { task: Some(of_key(99, "x")), count: 0 };
    let refused = soon(calls.task_story(story)).await.unwrap_err();
    assert_eq!(reason(&refused), Some(Reason::TaskUnknown), "{refused}");
    let page = Some(pb::PageRequest { filter: "colour=red".into(), ..Default::default() });
    let refused = soon(calls.list_workers(pb::ListWorkersRequest { page })).await.unwrap_err();
    assert_eq!(reason(&refused), Some(Reason::Malformed), "{refused}");
}

#[tokio::test]
async fn the_loop_accounts_for_itself() {
    let scheduler = Scheduler::start().await;
    let mut calls = scheduler.calls().await;
    let _worker = scheduler.worker("a").await;
    let ask = pb::GetLoopStatsRequest { worker: None };
    let stats = soon(calls.get_loop_stats(ask)).await.unwrap().into_inner();
    let joined = stats.handlers.iter().find(|handler| handler.event == "worker_joined").unwrap();
    assert_eq!(joined.count, 1);
    let token = soon(calls.get_token(pb::GetTokenRequest {})).await.unwrap().into_inner();
    assert_eq!((token.roles.len(), token.insecure), (4, false));
}

//! What runs and ends graphs besides their tasks: policies, clients that come and go, workers that are sent away.

use std::future::Future;
use std::time::Duration;

use bireme_client::{Admin, Client, ConnectOptions, Found, Graph, Payload, ResultError};
use bireme_core::graph::{
    GraphBuilder, GraphOptions, Outputs, TaskClass, TaskSpec, TaskState, Watch,
};
use bireme_core::id::TaskId;
use bireme_core::{Codec, ErrorClass, RetryPolicy, Span, Value, limits};
use bireme_launch::embedded::{Cluster, EmbeddedConfig};

/// Longest a test may wait for what must happen.
const GUARD: Duration = Duration::from_mins(1);

/// Runs a test against a cluster of two workers, and sees the cluster off.
fn with_cluster<F: Future<Output = ()>>(test: impl FnOnce(ConnectOptions) -> F) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let all = async {
            let config = EmbeddedConfig { cpus: Some(1), ..EmbeddedConfig::default() };
            let cluster = Cluster::start(config).await.expect("a cluster");
            test(cluster.client_options()).await;
            cluster.stop().await.expect("every daemon ends well");
        };
        tokio::time::timeout(GUARD, all).await.expect("nothing hangs");
    });
}

/// A graph of tasks of one class without inputs.
async fn submit(
    client: &Client,
    options: GraphOptions,
    class: TaskClass,
    payloads: &[bytes::Bytes],
) -> Graph {
    let options = GraphOptions { outputs: Outputs::All, watch: Watch::Values, ..options };
    let mut builder = GraphBuilder::new(options);
    builder.class(class);
    for payload in payloads {
        builder.task(TaskSpec { payload: payload.clone(), ..TaskSpec::default() }).expect("a task");
    }
    client.submit(builder).await.expect("the graph is sent")
}

fn fail() -> bytes::Bytes {
    Payload::native("builtin/fail").arg(Value::text("as it was told to")).encode()
}

fn echo(text: &str) -> bytes::Bytes {
    Payload::native("builtin/echo").arg(Value::text(text)).encode()
}

/// A task that sleeps far longer than any test.
fn sleep() -> bytes::Bytes {
    let microseconds = Value::inline(Codec::Json, bytes::Bytes::from_static(b"600000000"));
    Payload::native("builtin/sleep").arg(microseconds).encode()
}

#[test]
fn only_the_classes_of_errors_that_are_named_are_tried_again() {
    with_cluster(async |options| {
        let client = Client::connect(options.clone()).await.expect("a session");
        let admin = Admin::connect(&options).await.expect("a connection");
        for (retry_on, attempts) in [(ErrorClass::User, 3), (ErrorClass::Timeout, 1)] {
            let retry = RetryPolicy {
                max_retries: 2,
                backoff: Span::millis(1),
                retry_on: vec![retry_on],
                ..RetryPolicy::default()
            };
            let class = TaskClass { retry, ..TaskClass::default() };
            let graph = submit(&client, GraphOptions::default(), class, &[fail()]).await;
            assert!(!graph.wait().await.unwrap().is_ok());
            let task = TaskId { graph: graph.id(), index: 0 };
            assert_eq!(admin.task(task).await.unwrap().status.attempts, attempts, "{retry_on:?}");
            let story = admin.task_story(task, 0).await.unwrap();
            let failures = story.transitions.iter().filter(|step| step.cause != "STANDING");
            assert_eq!(failures.count(), attempts as usize);
        }
        client.close().await.expect("the session closes");
    });
}

#[test]
fn an_attempt_that_takes_too_long_is_ended() {
    with_cluster(async |options| {
        let client = Client::connect(options).await.expect("a session");
        let class = TaskClass { timeout: Some(Span::millis(50)), ..TaskClass::default() };
        let graph = submit(&client, GraphOptions::default(), class, &[sleep()]).await;
        let Err(ResultError::Task { error, .. }) = graph.result(0).await else {
            panic!("the task ran longer than it may")
        };
        assert_eq!(error.class, ErrorClass::Timeout);
        client.close().await.expect("the session closes");
    });
}

#[test]
fn too_many_failures_end_the_graph() {
    with_cluster(async |options| {
        let client = Client::connect(options).await.expect("a session");
        let limited = GraphOptions { max_failures: Some(1), ..GraphOptions::default() };
        let payloads = [fail(), fail(), sleep(), sleep(), sleep()];
        let graph = submit(&client, limited, TaskClass::default(), &payloads).await;
        let error = graph.wait().await.unwrap_err();
        assert!(error.to_string().contains("2 tasks failed, 1 may"), "{error}");
        client.close().await.expect("the session closes");
    });
}

#[test]
fn a_session_is_left_and_found_again_by_its_ticket() {
    with_cluster(async |options| {
        let first = Client::connect(options.clone()).await.expect("a session");
        let payloads = [echo("kept"), fail()];
        let class = TaskClass::default();
        let graph = submit(&first, GraphOptions::default(), class.clone(), &payloads).await.id();
        let ticket = first.detach().await.expect("everything was taken in");

        let admin = Admin::connect(&options).await.expect("a connection");
        let ended = admin.wait_graph(graph, limits::MAX_WAIT).await.unwrap();
        assert_eq!((ended.pending, ended.failures.len()), (false, 1));
        let found = admin.result(TaskId { graph, index: 0 }, 0, Span::ZERO).await.unwrap();
        assert_eq!(found, Found::Value(Box::new(Value::text("kept"))));
        let failed = admin.result(TaskId { graph, index: 1 }, 0, Span::ZERO).await.unwrap();
        assert!(matches!(failed, Found::Failed(TaskState::Failed, Some(_))), "{failed:?}");

        let ticket = ticket.to_string().parse().expect("it is read as it is shown");
        let second = Client::attach(options.clone(), &ticket).await.expect("the session is there");
        let again = second.graph(graph).await.expect("the graph is there");
        assert_eq!(again.result(0).await, Ok(Value::text("kept")));
        assert_eq!(again.wait().await.unwrap().counts.of(TaskState::Failed), 1);
        let more = submit(&second, GraphOptions::default(), class, &[echo("more")]).await;
        assert_eq!(more.result(0).await, Ok(Value::text("more")), "its number is free");
        second.close().await.expect("the session closes");
        let gone = Client::attach(options, &ticket).await;
        assert!(gone.unwrap_err().to_string().contains("SESSION_UNKNOWN"));
    });
}

#[test]
fn a_session_that_was_left_is_come_back_to_by_its_name() {
    with_cluster(async |options| {
        let named = ConnectOptions { name: "nightly".to_owned(), ..options.clone() };
        let first = Client::connect(named.clone()).await.expect("a session");
        let class = TaskClass::default();
        let graph = submit(&first, GraphOptions::default(), class.clone(), &[echo("kept")]).await;
        let (kept, session) = (graph.id(), first.session());
        // Who holds a graph holds the session.
        drop(graph);
        assert!(!format!("{first:?}").contains("token"), "{first:?}");

        let back = ConnectOptions { by_name: true, ..named };
        let held = Client::connect(back.clone()).await.unwrap_err().to_string();
        assert!(held.contains("SESSION_HELD"), "{held}");
        let ticket = first.detach().await.expect("everything was taken in");
        // The scheduler hears a little later that the stream has ended.
        let second = loop {
            match Client::connect(back.clone()).await {
                Ok(client) => break client,
                Err(error) => assert!(error.to_string().contains("SESSION_HELD"), "{error}"),
            }
        };
        assert_eq!(second.session(), session);
        let again = second.graph(kept).await.expect("the graph is there");
        assert_eq!(again.result(0).await, Ok(Value::text("kept")));
        let more = submit(&second, GraphOptions::default(), class, &[echo("more")]).await;
        assert_eq!(more.result(0).await, Ok(Value::text("more")), "its number is free");
        let gone = Client::attach(options.clone(), &ticket).await.unwrap_err().to_string();
        assert!(gone.contains("SESSION_UNKNOWN"), "{gone}");
        let nobody = ConnectOptions { name: "weekly".to_owned(), by_name: true, ..options };
        let unknown = Client::connect(nobody).await.unwrap_err().to_string();
        assert!(unknown.contains("SESSION_UNKNOWN"), "{unknown}");
    });
}

#[test]
fn nothing_is_made_again_when_a_worker_is_drained() {
    with_cluster(async |options| {
        let client = Client::connect(options.clone()).await.expect("a session");
        let admin = Admin::connect(&options).await.expect("a connection");
        let large = Payload::native("builtin/echo").arg(Value::raw(vec![7; 20_000])).encode();
        let class = TaskClass::default();
        let graph = submit(&client, GraphOptions::default(), class, &vec![large; 8]).await;
        assert!(graph.wait().await.unwrap().is_ok());
        let worker = admin.workers().await.unwrap().remove(0).worker;
        let request = Admin::fresh_submission();
        let drain = admin.drain_worker(worker, request, None, limits::MAX_WAIT, "a test").await;
        assert!(!drain.unwrap().pending);
        assert_eq!(admin.workers().await.unwrap().len(), 1);
        assert_eq!(graph.results(0..8).await.unwrap().len(), 8);
        assert_eq!(admin.effort(graph.id()).await.unwrap().attempts, 8, "none ran twice");
        client.close().await.expect("the session closes");
    });
}

#[test]
fn a_result_whose_holder_has_gone_is_made_again_while_it_is_waited_for() {
    with_cluster(async |options| {
        let client = Client::connect(options.clone()).await.expect("a session");
        let admin = Admin::connect(&options).await.expect("a connection");
        let large = Payload::native("builtin/echo").arg(Value::raw(vec![7; 20_000])).encode();
        let class = TaskClass::default();
        let graph = submit(&client, GraphOptions::default(), class, &vec![large; 8]).await;
        assert!(graph.wait().await.unwrap().is_ok());
        let worker = admin.workers().await.unwrap().remove(0).worker;
        let (request, at_once) = (Admin::fresh_submission(), Some(Span::ZERO));
        let drain = admin.drain_worker(worker, request, at_once, limits::MAX_WAIT, "a test").await;
        assert!(!drain.unwrap().pending);
        assert_eq!(graph.results(0..8).await.unwrap().len(), 8);
        for task in 0..8 {
            assert_eq!(graph.result(task).await.unwrap().size, 20_000);
        }
        client.close().await.expect("the session closes");
    });
}

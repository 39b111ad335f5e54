//! Graphs on a cluster inside this process, over real sockets.

use std::future::Future;
use std::time::Duration;

use bireme_client::{
    Actor, Client, Graph, GraphError, NativePayload, Payload, PutError, ResultError,
};
use bireme_core::graph::{
    GraphBuilder, GraphOptions, Outputs, TaskClass, TaskSpec, TaskState, Watch,
};
use bireme_core::{Span, Value};
use bireme_launch::embedded::{Cluster, EmbeddedConfig};
use bytes::Bytes;

/// Longest a test may wait for what must happen.
const GUARD: Duration = Duration::from_mins(1);

/// Runs a test against a cluster of two workers, and sees the cluster off.
fn with_cluster<F: Future<Output = ()>>(test: impl FnOnce(Client) -> F) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    runtime.block_on(async {
        let all = async {
            let config = EmbeddedConfig { cpus: Some(1), ..EmbeddedConfig::default() };
            let cluster = Cluster::start(config).await.expect("a cluster");
            let client = Client::connect(cluster.client_options()).await.expect("a session");
            test(client.clone()).await;
            client.close().await.expect("the session closes");
            cluster.stop().await.expect("every daemon ends well");
        };
        tokio::time::timeout(GUARD, all).await.expect("nothing hangs");
    });
}

fn builder(watch: Watch) -> GraphBuilder {
    let options = GraphOptions { outputs: Outputs::All, watch, ..GraphOptions::default() };
    let mut builder = GraphBuilder::new(options);
    builder.class(TaskClass::default());
    builder
}

fn task(payload: Bytes, deps: &[u32]) -> TaskSpec {
    let deps = deps.iter().map(|&dep| dep.into()).collect();
    TaskSpec { payload, deps, ..TaskSpec::default() }
}

fn echo(text: &str) -> Bytes {
    Payload::native("builtin/echo").arg(Value::text(text)).encode()
}

fn fail() -> Bytes {
    Payload::native("builtin/fail").arg(Value::text("as it was told to")).encode()
}

async fn submit(client: &Client, builder: GraphBuilder) -> Graph {
    client.submit(builder).await.expect("the graph is sent")
}

#[test]
fn native_actors_want_a_program_to_live_in() {
    with_cluster(async |client| {
        let made = client.actor::<Actor>("builtin/Counter").create().await;
        let said = made.expect_err("it has no process").to_string();
        assert!(said.contains("this worker has no runtime native for actors"), "{said}");
    });
}

#[test]
fn values_go_from_task_to_task_and_to_the_client() {
    with_cluster(async |client| {
        let mut graph = builder(Watch::Values);
        graph.task(task(echo("a"), &[])).unwrap();
        graph.task(task(echo("b"), &[])).unwrap();
        let concat = Payload::native("builtin/concat").input(0).input(1).input(0).encode();
        graph.task(task(concat, &[0, 1])).unwrap();
        let graph = submit(&client, graph).await;
        let value = graph.result(2).await.unwrap();
        assert_eq!(value.bytes().as_deref(), Some(&b"aba"[..]));
        let summary = graph.wait().await.unwrap();
        assert_eq!((summary.counts.of(TaskState::Finished), summary.is_ok()), (3, true));
    });
}

#[test]
fn the_end_of_a_task_that_is_not_watched_is_told_when_asked_for() {
    with_cluster(async |client| {
        let mut graph = builder(Watch::Graph);
        graph.task(task(echo("quiet"), &[])).unwrap();
        let graph = submit(&client, graph).await;
        assert_eq!(graph.result(0).await, Ok(Value::text("quiet")));
        assert!(matches!(graph.result(9).await, Err(ResultError::NoTask { .. })));
    });
}

#[test]
fn a_large_value_is_fetched_from_its_worker() {
    with_cluster(async |client| {
        let mut graph = builder(Watch::Values);
        let text = "0123456789abcdef".repeat(2_000);
        graph.task(task(echo(&text), &[])).unwrap();
        let inputs = vec![0; 40];
        let concat = (0..40).fold(Payload::native("builtin/concat"), NativePayload::input);
        graph.task(task(concat.encode(), &inputs)).unwrap();
        let graph = submit(&client, graph).await;
        let value = graph.result(1).await.unwrap();
        assert_eq!(value.size, 16 * 2_000 * 40);
        assert_eq!(value.bytes().unwrap(), text.repeat(40));
    });
}

#[test]
fn a_failure_reaches_its_dependents_and_spares_the_others() {
    with_cluster(async |client| {
        let mut graph = builder(Watch::Values);
        graph.task(task(fail(), &[])).unwrap();
        graph.task(task(echo("after"), &[0])).unwrap();
        graph.task(task(echo("beside"), &[])).unwrap();
        let graph = submit(&client, graph).await;
        let summary = graph.wait().await.unwrap();
        assert_eq!(summary.counts.of(TaskState::Failed), 2);
        assert_eq!(graph.result(2).await, Ok(Value::text("beside")));
        let failures = graph.failures(10);
        assert_eq!(failures.len(), 1, "the dependent's failure only follows: {failures:?}");
        assert_eq!(failures[0].0, 0);
        assert!(matches!(graph.result(1).await, Err(ResultError::Task { .. })));
    });
}

#[test]
fn a_refused_graph_ends_every_wait() {
    with_cluster(async |client| {
        let mut graph = builder(Watch::Values);
        graph.task(task(echo("x"), &[5])).unwrap();
        let graph = submit(&client, graph).await;
        let error = graph.result(0).await.unwrap_err();
        let ResultError::Graph(GraphError::Refused(refused)) = error else { panic!("{error}") };
        assert_eq!(refused.reason, "DEPENDENCY_UNKNOWN");
        assert!(graph.wait().await.is_err());
    });
}

#[test]
fn what_is_cancelled_or_released_has_no_result() {
    with_cluster(async |client| {
        let mut graph = builder(Watch::Values);
        graph.task(task(echo("x"), &[])).unwrap();
        let graph = submit(&client, graph).await;
        graph.wait().await.unwrap();
        graph.result(0).await.unwrap();
        graph.release(0..1).await.unwrap();
        assert!(matches!(graph.result(0).await, Err(ResultError::NotKept { .. })));
        graph.forget().await.unwrap();

        let mut endless = builder(Watch::Values);
        endless.class(TaskClass {
            labels: vec![("no".into(), "such".into())],
            ..TaskClass::default()
        });
        endless.task(TaskSpec { class: 1, ..task(echo("never"), &[]) }).unwrap();
        let endless = submit(&client, endless).await;
        endless.cancel(Span::ZERO).await.unwrap();
        let summary = endless.wait().await.unwrap();
        assert_eq!(summary.counts.of(TaskState::Cancelled), 1);
    });
}

#[test]
fn a_lost_session_ends_every_wait() {
    with_cluster(async |client| {
        let mut graph = builder(Watch::Values);
        graph.class(TaskClass {
            labels: vec![("no".into(), "such".into())],
            ..TaskClass::default()
        });
        graph.task(TaskSpec { class: 1, ..task(echo("never"), &[]) }).unwrap();
        let graph = submit(&client, graph).await;
        let closing = async { client.close().await.unwrap() };
        let (result, ()) = tokio::join!(graph.result(0), closing);
        assert!(matches!(result, Err(ResultError::Graph(GraphError::Lost(_)))), "{result:?}");
        assert!(client.submit(builder(Watch::Graph)).await.is_err());
    });
}

#[test]
fn many_tasks_in_many_chunks_all_end() {
    with_cluster(async |client| {
        let tasks = 20_000;
        let mut graph = builder(Watch::Values);
        for n in 0..tasks {
            let payload = Payload::native("builtin/echo").arg(Value::text(n.to_string())).encode();
            graph.task(task(payload, &[])).unwrap();
        }
        let graph = submit(&client, graph).await;
        let values = graph.results(0..tasks).await.unwrap();
        for (n, value) in values.iter().enumerate() {
            assert_eq!(value.bytes().unwrap(), n.to_string());
        }
        assert!(graph.wait().await.unwrap().is_ok());
    });
}

/// A value of so many bytes, no two of which in a row are the same.
fn pattern(bytes: usize) -> Value {
    Value::raw((0..=250).cycle().take(bytes).collect::<Vec<u8>>())
}

#[test]
fn values_that_were_put_are_inputs_and_come_back() {
    with_cluster(async |client| {
        for bytes in [0, 10, 70_000, 3_000_000] {
            let objects = [
                client.put(pattern(bytes)).await.expect("a worker takes it"),
                client.put(pattern(bytes + 1)).await.expect("another does"),
            ];
            assert_eq!(objects[0].size(), bytes as u64);
            let mut graph = builder(Watch::Values);
            let externals = objects.iter().map(|object| graph.external(object.id())).collect();
            let payload = Payload::native("builtin/concat").input(0).input(1).encode();
            graph.task(TaskSpec { payload, externals, ..TaskSpec::default() }).unwrap();
            let graph = submit(&client, graph).await;
            let joined = graph.result(0).await.unwrap().bytes().unwrap();
            let put = [pattern(bytes), pattern(bytes + 1)].map(|value| value.bytes().unwrap());
            assert!(joined == put.concat(), "{bytes} bytes came out otherwise");
            for (object, bytes) in objects.iter().zip(put) {
                assert!(object.fetch().await.unwrap().bytes() == Some(bytes), "{}", object.id());
            }
        }
    });
}

#[test]
fn a_value_that_was_released_is_gone() {
    with_cluster(async |client| {
        let object = client.put(Value::text("soon gone")).await.unwrap();
        object.release().await.unwrap();
        object.release().await.expect("what is gone is passed over");
        let mut graph = builder(Watch::Values);
        let externals = [graph.external(object.id())].into_iter().collect();
        let payload = Payload::native("builtin/concat").input(0).encode();
        graph.task(TaskSpec { payload, externals, ..TaskSpec::default() }).unwrap();
        let error = submit(&client, graph).await.wait().await.unwrap_err();
        let is_unknown =
            matches!(&error, GraphError::Refused(refused) if refused.reason == "OBJECT_UNKNOWN");
        assert!(is_unknown, "{error}");
    });
}

#[test]
fn a_value_whose_bytes_are_elsewhere_is_not_put() {
    with_cluster(async |client| {
        let digest = bireme_core::id::Digest([0; 32]);
        let buffers = vec![bireme_core::value::Buffer::Blob(digest)];
        let put = client.put(Value { buffers, ..Value::raw("") }).await;
        assert_eq!(put.map(|object| object.id()), Err(PutError::NotInline));
    });
}

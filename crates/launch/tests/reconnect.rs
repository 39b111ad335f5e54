//! Clients whose connection is cut, over real sockets: a proxy between them and the scheduler can be told to drop it.

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use bireme_client::{Admin, Client, ConnectOptions, Graph, GraphError, Payload};
use bireme_core::graph::{
    GraphBuilder, GraphOptions, Outputs, TaskClass, TaskSpec, TaskState, Watch,
};
use bireme_core::{Codec, Span, Value};
use bireme_launch::embedded::{Cluster, EmbeddedConfig};
use bytes::Bytes;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Longest a test may wait for what must happen.
const GUARD: Duration = Duration::from_mins(1);

/// What a proxy does with connections.
#[derive(Clone, Debug)]
struct Rule {
    /// Where they lead; nobody is let through without.
    to: Option<SocketAddr>,
    /// Connections of an earlier number are dropped.
    number: u64,
}

/// Stands between clients and a scheduler.
struct Proxy {
    address: SocketAddr,
    rule: watch::Sender<Rule>,
}

impl Proxy {
    async fn start(to: &ConnectOptions) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("it has an address");
        let rule = watch::Sender::new(Rule { to: Some(listens(to)), number: 0 });
        tokio::spawn(accept(listener, rule.subscribe()));
        Self { address, rule }
    }

    /// Drops every connection, and lets new ones through to `to`.
    fn cut(&self, to: Option<SocketAddr>) {
        self.rule.send_modify(|rule| *rule = Rule { to, number: rule.number + 1 });
    }

    /// Drops every connection; new ones lead to where those did.
    fn blip(&self) {
        let to = self.rule.borrow().to;
        self.cut(to);
    }

    fn options(&self, direct: &ConnectOptions) -> ConnectOptions {
        let scheduler = Some(format!("http://{}", self.address));
        ConnectOptions { scheduler, ..direct.clone() }
    }
}

/// Where the scheduler of these options listens.
fn listens(options: &ConnectOptions) -> SocketAddr {
    let address = options.scheduler.as_deref().and_then(|text| text.strip_prefix("http://"));
    address.expect("the address is given").parse().expect("it is one")
}

/// Ends with the runtime.
async fn accept(listener: TcpListener, rule: watch::Receiver<Rule>) {
    while let Ok((mut client, _)) = listener.accept().await {
        let mut rule = rule.clone();
        let Rule { to: Some(to), number } = rule.borrow_and_update().clone() else { continue };
        tokio::spawn(async move {
            let Ok(mut server) = TcpStream::connect(to).await else { return };
            tokio::select! {
                _ = rule.wait_for(|rule| rule.number != number) => {}
                _ = tokio::io::copy_bidirectional(&mut client, &mut server) => {}
            }
        });
    }
}

/// Runs a test within the time it may take.
fn guarded(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let all = async { tokio::time::timeout(GUARD, test).await.expect("nothing hangs") };
    runtime.expect("a runtime").block_on(all);
}

async fn start() -> Cluster {
    let config = EmbeddedConfig { cpus: Some(1), ..EmbeddedConfig::default() };
    Cluster::start(config).await.expect("a cluster")
}

async fn submit(client: &Client, watch: Watch, payloads: impl Iterator<Item = Bytes>) -> Graph {
    let options = GraphOptions { outputs: Outputs::All, watch, ..GraphOptions::default() };
    let mut graph = GraphBuilder::new(options);
    graph.class(TaskClass::default());
    for payload in payloads {
        graph.task(TaskSpec { payload, ..TaskSpec::default() }).expect("a task");
    }
    client.submit(graph).await.expect("the graph is sent")
}

fn echo(text: impl ToString) -> Bytes {
    Payload::native("builtin/echo").arg(Value::text(text.to_string())).encode()
}

fn sleep(microseconds: u64) -> Bytes {
    let time = Value::inline(Codec::Json, microseconds.to_string());
    Payload::native("builtin/sleep").arg(time).encode()
}

#[test]
fn a_client_that_is_cut_off_in_mid_graph_gets_every_result_once() {
    guarded(async {
        let cluster = start().await;
        let direct = cluster.client_options();
        let proxy = Proxy::start(&direct).await;
        let client = Client::connect(proxy.options(&direct)).await.expect("a session");
        let tasks = 20_000;
        let graph = submit(&client, Watch::Values, (0..tasks).map(echo)).await;
        proxy.blip(); // Some chunks are on their way.
        let mut progress = graph.progress();
        for part in [1, tasks / 2] {
            let finished = progress.wait_for(|it| it.counts.of(TaskState::Finished) >= part);
            assert_eq!(finished.await.expect("the graph is held").error, None);
            proxy.blip();
        }
        let values = graph.results(0..tasks).await.expect("every task returns");
        assert!(values.into_iter().zip(0..).all(|(value, n)| value == Value::text(n.to_string())));
        assert!(graph.wait().await.expect("the graph ends").is_ok());
        let admin = Admin::connect(&direct).await.expect("a connection");
        let attempts = admin.effort(graph.id()).await.expect("an answer").attempts;
        assert_eq!(attempts, u64::from(tasks), "each task ran once");
        assert_eq!(admin.status().await.expect("an answer").sessions, 1, "it is the same session");
        client.close().await.expect("the session closes");
        cluster.stop().await.expect("every daemon ends well");
    });
}

#[test]
fn what_is_asked_while_nobody_is_there_is_answered_later() {
    guarded(async {
        let cluster = start().await;
        let direct = cluster.client_options();
        let proxy = Proxy::start(&direct).await;
        let client = Client::connect(proxy.options(&direct)).await.expect("a session");
        let quiet = submit(&client, Watch::Graph, [sleep(20_000)].into_iter()).await;
        proxy.cut(None);
        let back = async { proxy.cut(Some(listens(&direct))) };
        let (submitted, ()) = tokio::join!(
            async {
                let graph = submit(&client, Watch::Values, (0..10).map(echo)).await;
                (graph.results(0..10).await, graph.forget().await)
            },
            back
        );
        assert_eq!(submitted.0.expect("every task returns").len(), 10);
        assert_eq!(submitted.1, Ok(()));
        let (slept, ()) = tokio::join!(quiet.result(0), async { proxy.blip() });
        assert!(slept.is_ok(), "its end is asked for again: {slept:?}");
        client.close().await.expect("the session closes");
        cluster.stop().await.expect("every daemon ends well");
    });
}

#[test]
fn a_scheduler_that_is_gone_for_good_ends_every_wait() {
    guarded(async {
        let cluster = start().await;
        let direct = cluster.client_options();
        let proxy = Proxy::start(&direct).await;
        let options = ConnectOptions { ttl: Some(Span::millis(300)), ..proxy.options(&direct) };
        let client = Client::connect(options).await.expect("a session");
        let graph = submit(&client, Watch::Values, [sleep(600_000_000)].into_iter()).await;
        proxy.cut(None);
        let Err(GraphError::Lost(lost)) = graph.wait().await else { panic!("nobody is there") };
        let (told, address) = (lost.to_string(), proxy.address.to_string());
        assert!(told.contains(&address) && told.contains("300"), "{told}");
        assert!(told.contains("the last try: "), "{told}");
        assert!(client.put(Value::text("late")).await.is_err());
        assert!(graph.result(0).await.is_err());
        drop(client);
        cluster.stop().await.expect("every daemon ends well");
    });
}

#[test]
fn another_life_of_the_scheduler_does_not_know_the_session() {
    guarded(async {
        let directory = tempfile::tempdir().expect("a directory");
        let access_file = Some(directory.path().join("access.toml"));
        let config = EmbeddedConfig {
            cpus: Some(1),
            access_file: access_file.clone(),
            ..EmbeddedConfig::default()
        };
        let first = Cluster::start(config.clone()).await.expect("a cluster");
        let proxy = Proxy::start(&first.client_options()).await;
        let by_file = ConnectOptions { access_file, ..ConnectOptions::default() };
        let client = Client::connect(proxy.options(&by_file)).await.expect("a session");
        let graph = submit(&client, Watch::Values, [sleep(600_000_000)].into_iter()).await;
        proxy.cut(None);
        first.stop().await.expect("every daemon ends well");
        let second = Cluster::start(config).await.expect("another cluster");
        proxy.cut(Some(listens(&second.client_options())));
        let Err(GraphError::Lost(lost)) = graph.wait().await else { panic!("it is not there") };
        assert!(lost.message.contains("was restarted"), "{lost}");
        assert!(lost.message.contains("1 of them not done"), "{lost}");
        second.stop().await.expect("every daemon ends well");
    });
}

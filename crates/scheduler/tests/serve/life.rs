//! Starts, ends, and what is remembered in between.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tonic::transport::Endpoint;

use bireme_core::Reason;
use bireme_daemon::auth::{Bearer, Token};
use bireme_proto::pb::cluster_client::ClusterClient;
use bireme_proto::pb::fleet_order::Order;
use bireme_proto::pb::session_report::Report;
use bireme_proto::{access, pb};
use bireme_scheduler::{Config, Server};

use crate::support::{Scheduler, open, reason, soon};

/// The daemon as a process of its own, on a state directory.
struct Daemon {
    process: Child,
    access: access::Access,
}

impl Daemon {
    async fn start(dir: &Path) -> Self {
        let access_file = dir.join("access.toml");
        let mut process = Command::new(env!("CARGO_BIN_EXE_bireme-scheduler"))
            .args(["--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--log", "warn"])
            .arg("--state-dir")
            .arg(dir.join("state"))
            .arg("--access-file")
            .arg(&access_file)
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let ready = soon(lines.next_line()).await.unwrap().expect("it becomes ready");
        assert!(ready.starts_with("ready grpc=127.0.0.1:"), "{ready}");
        Self { process, access: access::read(&access_file).unwrap() }
    }

    /// Opens a session: its number, and the epoch.
    async fn open_session(&self) -> (u32, u32) {
        let endpoint = Endpoint::new(self.access.address.clone()).unwrap();
        let bearer = Bearer::new(&Token::new(&*self.access.token).unwrap());
        let mut calls =
            ClusterClient::with_interceptor(soon(endpoint.connect()).await.unwrap(), bearer);
        let open = pb::OpenSessionRequest { open: Some(open(1)) };
        let opened = soon(calls.open_session(open)).await.unwrap().into_inner();
        (opened.opened.unwrap().session.unwrap().number, opened.epoch)
    }
}

#[tokio::test]
async fn a_killed_scheduler_comes_back_as_the_same_cluster_and_gives_no_number_twice() {
    let dir = tempfile::tempdir().unwrap();
    let mut numbers = Vec::new();
    let mut cluster = None;
    for life in 1..=3 {
        let mut daemon = Daemon::start(dir.path()).await;
        assert_eq!(*cluster.get_or_insert(daemon.access.cluster), daemon.access.cluster);
        let (number, epoch) = daemon.open_session().await;
        assert_eq!(epoch, life);
        numbers.push(number);
        soon(daemon.process.kill()).await.unwrap();
    }
    assert!(numbers.is_sorted_by(|one, next| one < next), "{numbers:?}");
}

#[tokio::test]
async fn a_daemon_that_is_told_to_end_ends_well() {
    let dir = tempfile::tempdir().unwrap();
    let mut daemon = Daemon::start(dir.path()).await;
    let pid = daemon.process.id().unwrap().to_string();
    let signalled = Command::new("kill").args(["-TERM", &pid]).status();
    assert!(soon(signalled).await.unwrap().success());
    let ended = soon(daemon.process.wait()).await.unwrap();
    assert!(ended.success(), "{ended}");
    assert!(!dir.path().join("access.toml").exists());
}

#[tokio::test]
async fn two_schedulers_do_not_share_a_directory() {
    let dir = tempfile::tempdir().unwrap();
    let config = || Config { state_dir: Some(dir.path().into()), ..Config::default() };
    let first = Server::bind(config()).await.unwrap();
    let refused = Server::bind(config()).await.err().unwrap().to_string();
    assert!(refused.contains("another scheduler"), "{refused}");
    drop(first);
}

#[tokio::test]
async fn the_access_file_is_there_while_the_scheduler_is() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("access.toml");
    let config = Config { access_file: Some(path.clone()), ..Config::default() };
    let scheduler = Scheduler::with(config).await;
    let found = access::read(&path).unwrap();
    assert_eq!(found.cluster, scheduler.cluster);
    assert_eq!(found.address, format!("http://{}", scheduler.addr));
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    scheduler.shutdown.trigger();
    soon(scheduler.running).await.unwrap().unwrap();
    assert!(!path.exists());
}

#[tokio::test]
async fn at_the_end_everybody_is_told() {
    let scheduler = Scheduler::start().await;
    let mut session = scheduler.session(1).await;
    let mut worker = scheduler.worker("a").await;
    session.next().await.unwrap();
    scheduler.shutdown.trigger();
    let closing = session.report(|report| match report {
        Report::Closing(closing) => Some(closing),
        _ => None,
    });
    assert_eq!(closing.await.reason, Reason::ShuttingDown.name());
    let ended = session.next().await.unwrap_err().unwrap();
    assert_eq!(reason(&ended), Some(Reason::ShuttingDown), "{ended}");
    let ended = loop {
        match worker.next().await {
            Ok(message) => assert!(message.orders.is_empty(), "a worker comes back by itself"),
            Err(ended) => break ended.unwrap(),
        }
    };
    assert_eq!(reason(&ended), Some(Reason::ShuttingDown), "{ended}");
    drop((session, worker));
    soon(scheduler.running).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_call_ends_the_scheduler_and_its_workers() {
    let scheduler = Scheduler::start().await;
    let mut worker = scheduler.worker("a").await;
    let mut calls = scheduler.calls().await;
    let end = pb::ShutdownRequest { workers: true, ..pb::ShutdownRequest::default() };
    soon(calls.shutdown(end)).await.unwrap();
    let mut told = false;
    while let Ok(message) = worker.next().await {
        told |= message.orders.iter().any(|order| matches!(order.order, Some(Order::Stop(_))));
    }
    assert!(told);
    drop((worker, calls));
    soon(scheduler.running).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_peer_that_never_reads_does_not_hold_up_the_end() {
    let scheduler = Scheduler::start().await;
    let deaf = scheduler.session(1).await;
    scheduler.shutdown.trigger();
    soon(scheduler.running).await.unwrap().unwrap();
    drop(deaf);
}

#[tokio::test]
async fn health_and_metrics_are_shown() {
    let scheduler = Scheduler::start().await;
    let _session = scheduler.session(1).await;
    let page = async |path: &str| {
        let mut socket = TcpStream::connect(scheduler.http).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        soon(socket.read_to_string(&mut answer)).await.unwrap();
        answer
    };
    assert!(page("/healthz").await.ends_with("ok\n"));
    let metrics = page("/metrics").await;
    assert!(
        metrics.contains("bireme_scheduler_step_count_total{step=\"session_opened\"}"),
        "{metrics}"
    );
}

#[tokio::test]
async fn a_scheduler_that_lives_is_left_its_access_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("access.toml");
    let config = || Config { access_file: Some(path.clone()), ..Config::default() };
    let first = Scheduler::with(config()).await;
    let before = access::read(&path).unwrap();
    let error = soon(Server::bind(config())).await.err().unwrap().to_string();
    assert!(error.contains(&before.address) && error.contains("--access-file"), "{error}");
    assert_eq!(access::read(&path).unwrap(), before);
    end(first).await;
    let second = Scheduler::with(config()).await;
    assert_ne!(access::read(&path).unwrap(), before);
    end(second).await;
}

/// Ends a scheduler, and waits for that.
async fn end(scheduler: Scheduler) {
    scheduler.shutdown.trigger();
    soon(scheduler.running).await.unwrap().unwrap();
}

//! Real processes: a supervisor, its daemon, and what that runs.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::thread;

use bireme_proto::pb;
use prost::Message as _;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, Command};
use tokio::sync::oneshot;

use crate::played::{GUARD, Scheduler, Stream, TOKEN, attempt, start};

/// A worker with a supervisor, and its scheduler's side.
pub(crate) struct Scene {
    directory: tempfile::TempDir,
    pub(crate) scheduler: Scheduler,
    worker: Child,
}

impl Scene {
    pub(crate) async fn new(flags: &[&str]) -> Self {
        Self::with(flags, |command| command).await
    }

    /// With a change of how the worker is started.
    pub(crate) async fn with(
        flags: &[&str],
        change: impl FnOnce(&mut Command) -> &mut Command,
    ) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let scheduler = Scheduler::new().await;
        let worker = change(&mut worker(directory.path(), &scheduler, flags)).spawn().unwrap();
        Self { directory, scheduler, worker }
    }

    fn supervisor(&self) -> Pid {
        Pid::from_raw(self.worker.id().unwrap().cast_signed()).unwrap()
    }

    /// Its directory in shared memory.
    fn memory(&self) -> PathBuf {
        let pid = format!("-{}-", self.supervisor());
        let mut entries = fs::read_dir("/dev/shm").unwrap().map(|entry| entry.unwrap().path());
        entries.find(|path| path.to_str().unwrap().contains(&pid)).expect("it has one")
    }

    async fn exit(&mut self) -> Option<i32> {
        guarded(self.worker.wait()).await.unwrap().code()
    }
}

fn worker(directory: &Path, scheduler: &Scheduler, flags: &[&str]) -> Command {
    let token = directory.join("token");
    let mut file = File::options();
    let mut file = file.write(true).create(true).truncate(true).mode(0o600).open(&token).unwrap();
    writeln!(file, "{TOKEN}").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_bireme-worker"));
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .args(["--name", "w", "--cpus", "1", "--native", "in-process", "--scheduler"])
        .arg(format!("http://{}", scheduler.address))
        .arg("--token-file")
        .arg(token)
        .args(flags)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

async fn guarded<T>(wait: impl Future<Output = T>) -> T {
    tokio::time::timeout(GUARD, wait).await.expect("it happens in time")
}

fn daemon(join: &pb::JoinFleet) -> Pid {
    Pid::from_raw(join.pid.cast_signed()).unwrap()
}

fn is_alive(pid: Pid) -> bool {
    rustix::process::test_kill_process(pid).is_ok()
}

/// A pipe with a name, which commands hold open for as long as they live.
struct Fifo {
    path: PathBuf,
    up: oneshot::Receiver<String>,
    released: oneshot::Receiver<String>,
}

impl Fifo {
    fn new(directory: &Path) -> Self {
        let path = directory.join("fifo");
        mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let ((tell_up, up), (tell_released, released)) = (oneshot::channel(), oneshot::channel());
        let opened = path.clone();
        // Not a task: a test that fails does not wait for it.
        thread::spawn(move || {
            let mut lines = BufReader::new(File::open(opened).unwrap());
            let mut text = String::new();
            lines.read_line(&mut text).unwrap();
            tell_up.send(std::mem::take(&mut text)).unwrap();
            lines.read_to_string(&mut text).unwrap();
            tell_released.send(text).unwrap();
        });
        Self { path, up, released }
    }

    /// An order to run a command of two processes, one of them in a session of its own, which say so and stay.
    fn command(&self, index: u32) -> pb::fleet_order::Order {
        let path = self.path.display();
        let script = format!("exec 3>{path}; setsid sleep 600 & echo up >&3; sleep 600");
        let argv = ["sh", "-c", &script].map(str::to_owned).into();
        let kind = pb::RuntimeKind::Command.into();
        let runtime = pb::Runtime { kind, ..pb::Runtime::default() };
        let command = pb::Command { argv, ..pb::Command::default() };
        let payload = pb::Payload {
            work: Some(pb::payload::Work::Command(command)),
            ..pb::Payload::default()
        };
        pb::fleet_order::Order::Start(pb::StartAttempt {
            attempt: Some(attempt(index)),
            payload: payload.encode_to_vec().into(),
            key: index.to_string(),
            runtime: Some(runtime),
            ..pb::StartAttempt::default()
        })
    }

    /// Waits until both run.
    async fn up(&mut self) {
        assert_eq!(guarded(&mut self.up).await.unwrap(), "up\n");
    }

    /// Waits until neither lives any more.
    async fn released(self) {
        assert_eq!(guarded(self.released).await.unwrap(), "");
    }
}

/// Waits until the worker tells of an attempt that waits.
async fn queued(stream: &mut Stream) {
    let waits = |said: pb::FleetUp| said.heartbeat.is_some_and(|heartbeat| heartbeat.queued == 1);
    while !waits(stream.next().await.expect("it tells how it is")) {}
}

/// Waits for a report that an attempt has started.
async fn started(stream: &mut Stream, index: u32) {
    loop {
        let said = stream.next().await.expect("it reports");
        let started = pb::AttemptStarted { attempt: Some(attempt(index)) };
        let started = Some(pb::fleet_report::Report::Started(started));
        if said.reports.iter().any(|report| report.report == started) {
            return;
        }
    }
}

#[tokio::test]
async fn a_daemon_that_is_killed_is_replaced_and_leaves_nothing() {
    let mut scene = Scene::new(&[]).await;
    let mut fifo = Fifo::new(scene.directory.path());
    let mut stream = scene.scheduler.stream().await;
    let (first, _) = stream.admit().await;
    assert_eq!(first.previous, None);
    stream.order(fifo.command(0)).await;
    fifo.up().await;
    // There is no cpu for this one.
    stream.order(start(1, "builtin/noop", "0")).await;
    queued(&mut stream).await;
    let memory = scene.memory();
    fs::write(memory.join("left"), "behind").unwrap();

    kill_process(daemon(&first), Signal::KILL).unwrap();
    fifo.released().await;
    let mut stream = scene.scheduler.stream().await;
    let (second, _) = stream.admit().await;
    assert!(!memory.join("left").exists());
    assert_eq!((&second.uid, &second.addresses), (&first.uid, &first.addresses));
    assert_ne!(second.incarnation, first.incarnation);
    let previous = second.previous.clone().expect("its supervisor saw the end");
    assert_eq!(previous.incarnation, first.incarnation);
    assert_eq!(previous.exit, Some(pb::Exit { code: 0, signal: 9 }));
    assert_eq!(previous.started, [attempt(0)]);

    kill_process(scene.supervisor(), Signal::TERM).unwrap();
    while stream.next().await.is_some_and(|said| said.reports.is_empty()) {}
    drop(stream);
    assert_eq!(scene.exit().await, Some(0));
    assert!(!memory.exists() && !is_alive(daemon(&second)));
}

#[tokio::test]
async fn a_supervisor_that_is_killed_takes_everything_with_it() {
    let mut scene = Scene::new(&[]).await;
    let mut fifo = Fifo::new(scene.directory.path());
    let mut stream = scene.scheduler.stream().await;
    let (join, _) = stream.admit().await;
    stream.order(fifo.command(0)).await;
    fifo.up().await;
    let memory = scene.memory();
    let daemon = pidfd_open(daemon(&join), PidfdFlags::empty()).unwrap();

    kill_process(scene.supervisor(), Signal::KILL).unwrap();
    fifo.released().await;
    // Its end is that of what cleaned up.
    let ended = tokio::task::spawn_blocking(move || {
        let guard = Timespec::try_from(GUARD).unwrap();
        poll(&mut [PollFd::new(&daemon, PollFlags::IN)], Some(&guard)).unwrap()
    });
    assert_eq!(ended.await.unwrap(), 1, "the daemon lives on");
    assert!(!memory.exists());
    scene.exit().await;
}

#[tokio::test]
async fn without_restarts_the_worker_ends_with_its_daemon() {
    let mut scene = Scene::new(&["--no-restart"]).await;
    let mut stream = scene.scheduler.stream().await;
    let (join, _) = stream.admit().await;
    let memory = scene.memory();
    kill_process(daemon(&join), Signal::KILL).unwrap();
    assert_eq!(scene.exit().await, Some(128 + 9));
    assert!(!memory.exists());
}

#[tokio::test]
async fn user_code_that_ends_the_daemon_is_no_clean_end() {
    let mut scene = Scene::new(&[]).await;
    let mut stream = scene.scheduler.stream().await;
    stream.admit().await;
    stream.order(start(0, "builtin/exit", "0")).await;
    let (join, _) = scene.scheduler.stream().await.admit().await;
    let previous = join.previous.expect("its supervisor saw the end");
    assert_eq!(previous.exit, Some(pb::Exit { code: 0, signal: 0 }));
    assert_eq!(previous.started, [attempt(0)]);
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let mut scene = Scene::new(&[]).await;
    let mut stream = scene.scheduler.stream().await;
    stream.admit().await;
    stream.order(start(0, "builtin/sleep", "600000000")).await;
    started(&mut stream, 0).await;
    kill_process(scene.supervisor(), Signal::INT).unwrap();
    assert!(matches!(stream.report().await, pb::fleet_report::Report::Draining(_)));
    kill_process(scene.supervisor(), Signal::TERM).unwrap();
    assert_eq!(scene.exit().await, Some(128 + 15));
}

#[tokio::test]
async fn one_worker_at_a_time_has_a_state_directory() {
    let state = tempfile::tempdir().unwrap();
    let flags = ["--state-dir", state.path().to_str().unwrap()];
    let mut scene = Scene::new(&flags).await;
    scene.scheduler.stream().await.admit().await;
    let second = worker(scene.directory.path(), &scene.scheduler, &flags).output();
    let second = guarded(second).await.unwrap();
    assert_eq!(second.status.code(), Some(1));
    let expected = format!("error: another worker uses {}; give this one", state.path().display());
    assert!(String::from_utf8(second.stderr).unwrap().starts_with(&expected));
}

#[tokio::test]
async fn a_worker_that_is_never_let_in_ends() {
    use bireme_core::reason::{Reason, Refusal};
    let mut scene = Scene::new(&[]).await;
    let stream = scene.scheduler.stream().await;
    let refusal = Refusal::new(Reason::WorkerNameTaken, "another worker is called w");
    stream.answer.send(Err(bireme_proto::status::status(refusal))).await.unwrap();
    assert_eq!(scene.exit().await, Some(1));
    let mut said = String::new();
    scene.worker.stderr.take().unwrap().read_to_string(&mut said).await.unwrap();
    let expected =
        "error: the scheduler refuses this worker: WORKER_NAME_TAKEN: another worker is called w\n";
    assert!(said.ends_with(expected), "{said}");
}

#[tokio::test]
async fn a_taken_port_is_said_before_there_is_a_daemon() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let directory = tempfile::tempdir().unwrap();
    let scheduler = Scheduler::new().await;
    let worker = worker(directory.path(), &scheduler, &["--listen", &address]).output();
    let worker = guarded(worker).await.unwrap();
    assert_eq!(worker.status.code(), Some(1));
    let said = String::from_utf8(worker.stderr).unwrap();
    assert!(said.contains(&format!("cannot listen on {address}: ")), "{said}");
}

//! A cluster, and the binary that is run against it.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use bireme_client::ConnectOptions;
use bireme_launch::embedded::{Cluster, EmbeddedConfig};
use serde_json::Value as Json;
use tempfile::TempDir;
use tokio::process::{Child, Command};

/// Everything that is waited for comes sooner, or never.
const GUARD: Duration = Duration::from_mins(1);

/// Waits for something that must come.
pub(crate) async fn guarded<T>(what: &str, work: impl Future<Output = T>) -> T {
    let done = tokio::time::timeout(GUARD, work).await;
    done.unwrap_or_else(|_| panic!("{what}: nothing within {GUARD:?}"))
}

/// A cluster with two workers, and a directory of its own.
pub(crate) struct Site {
    cluster: Cluster,
    dir: TempDir,
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Site {
    pub(crate) async fn start() -> Self {
        let executor_program = Some(env!("CARGO_BIN_EXE_bireme").into());
        let config =
            EmbeddedConfig { cpus: Some(2), executor_program, ..EmbeddedConfig::default() };
        let cluster = guarded("a cluster", Cluster::start(config)).await.unwrap();
        Self { cluster, dir: tempfile::tempdir().unwrap() }
    }

    pub(crate) async fn stop(self) {
        guarded("the cluster's end", self.cluster.stop()).await.unwrap();
    }

    /// A file in the site's directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// What a client of the cluster connects with.
    pub(crate) fn options(&self) -> ConnectOptions {
        self.cluster.client_options()
    }

    /// The command, told of the cluster, in the site's directory.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let options = self.options();
        let mut command = bireme(self.dir.path(), words);
        command.env("BIREME_SCHEDULER", options.scheduler.unwrap());
        command.env("BIREME_TOKEN", options.token.unwrap());
        command
    }

    /// Runs a command to its end.
    pub(crate) async fn run(&self, words: &[&str]) -> Ended {
        run(self.command(words)).await
    }

    /// Runs a command that must do what it is asked to. Returns what it printed.
    pub(crate) async fn ok(&self, words: &[&str]) -> String {
        let ended = self.run(words).await;
        assert_eq!(ended.code, Some(0), "{words:?}: {ended:?}");
        ended.stdout
    }

    /// The same, for a program.
    pub(crate) async fn json(&self, words: &[&str]) -> Json {
        let words = [&["--output", "json"], words].concat();
        let printed = self.ok(&words).await;
        serde_json::from_str(&printed).unwrap_or_else(|error| panic!("{error}: {printed}"))
    }

    /// Runs a command that must fail so. Returns what it said.
    pub(crate) async fn fails(&self, code: i32, words: &[&str]) -> String {
        let ended = self.run(words).await;
        assert_eq!(ended.code, Some(code), "{words:?}: {ended:?}");
        ended.stderr
    }

    /// Submits a command that runs until the gate opens. Returns its graph once it runs.
    pub(crate) async fn held(&self) -> (String, Gate) {
        let gate = Gate::make(self.path("gate"));
        let submit = ["submit", "--name", "held", "--", "cat", gate.path()];
        let graph = self.ok(&submit).await;
        (graph.trim().to_owned(), gate)
    }
}

/// The binary, in a directory, told of no cluster.
pub(crate) fn bireme(dir: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bireme"));
    command.args(words).current_dir(dir).kill_on_drop(true);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    for name in ["BIREME_SCHEDULER", "BIREME_TOKEN", "BIREME_ACCESS_FILE", "BIREME_LOG"] {
        command.env_remove(name);
    }
    command.env("XDG_RUNTIME_DIR", dir);
    command
}

pub(crate) async fn run(mut command: Command) -> Ended {
    let output = guarded("a command's end", command.output()).await.unwrap();
    Ended {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Interrupts a command as Ctrl-C does.
pub(crate) async fn interrupt(child: &Child) {
    let id = child.id().expect("it runs").to_string();
    let sent = Command::new("kill").args(["-INT", &id]).status().await.unwrap();
    assert!(ExitStatus::success(&sent));
}

/// A pipe with a name: whoever reads it waits until the gate is opened.
pub(crate) struct Gate(PathBuf);

impl Gate {
    pub(crate) fn make(path: PathBuf) -> Self {
        let made = std::process::Command::new("mkfifo").arg(&path).status().unwrap();
        assert!(made.success());
        Self(path)
    }

    pub(crate) fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }

    /// Waits until somebody writes, and reads all of it.
    pub(crate) async fn read(self) -> String {
        let read = tokio::task::spawn_blocking(move || std::fs::read_to_string(&self.0));
        guarded("a writer to the gate", read).await.unwrap().unwrap()
    }

    /// Waits until somebody is there who may write. What they write ends when they do.
    pub(crate) async fn writer(self) -> std::fs::File {
        let opened = tokio::task::spawn_blocking(move || std::fs::File::open(&self.0));
        guarded("a writer to the gate", opened).await.unwrap().unwrap()
    }

    /// Waits until somebody reads, and lets them read this.
    pub(crate) async fn open(self, text: &str) {
        let text = text.to_owned();
        let written = tokio::task::spawn_blocking(move || std::fs::write(&self.0, text));
        guarded("a reader of the gate", written).await.unwrap().unwrap();
    }
}

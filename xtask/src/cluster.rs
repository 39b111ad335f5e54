//! Clusters of real processes: a scheduler and workers, each a daemon of its own, and a client in this process.
//!
//! Each cluster has a directory of its own for its access file and logs. Whatever happens, its processes are killed and
//! reaped when it is dropped.

mod child;
pub(crate) mod cores;
pub(crate) mod family;
pub(crate) mod usage;

use std::env;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use bireme_client::{Admin, Client, ConnectOptions};
use bireme_proto::access;
use tempfile::TempDir;

pub(crate) use child::{Child, GUARD, LOOK, guarded, until, within};

use crate::workspace::{cargo, run};

/// What a cluster is made of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) workers: u32,
    /// Of each worker.
    pub(crate) cpus: u32,
    /// The core that all daemons share; `None` leaves them to the kernel.
    pub(crate) core: Option<usize>,
    pub(crate) native: Native,
    /// What each worker is told besides.
    pub(crate) flags: &'static [&'static str],
}

/// Where workers run native functions.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Native {
    /// On threads of the daemon itself.
    InProcess,
    /// In processes of their own.
    Isolated,
}

impl Native {
    /// As a worker is told.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::InProcess => "in-process",
            Self::Isolated => "isolated",
        }
    }
}

impl Shape {
    /// So many workers with so many cpus each, that run native functions as they do unless told otherwise.
    pub(crate) fn new(workers: u32, cpus: u32) -> Self {
        Self { workers, cpus, core: None, native: Native::Isolated, flags: &[] }
    }
}

/// A running cluster.
#[derive(Debug)]
pub(crate) struct Cluster {
    // In the order in which they are to end.
    pub(crate) client: Client,
    pub(crate) workers: Vec<Child>,
    pub(crate) scheduler: Child,
    site: Site,
}

/// A directory, and what daemons that run there are told.
#[derive(Debug)]
pub(crate) struct Site {
    dir: TempDir,
}

impl Cluster {
    /// Starts a cluster and waits until all workers have joined.
    pub(crate) async fn start(shape: Shape) -> Result<Self> {
        let site = Site::new()?;
        let mut scheduler = site.start(site.scheduler(), "scheduler", shape.core)?;
        scheduler.ready().await?;
        let mut workers = (1..=shape.workers)
            .map(|n| site.start_worker(&format!("w{n}"), shape))
            .collect::<Result<Vec<_>>>()?;
        let client = site.connect().await?;
        // A worker is ready when it has joined.
        for worker in &mut workers {
            worker.ready().await?;
        }
        Ok(Self { client, workers, scheduler, site })
    }

    /// Starts a cluster without workers, with a scheduler that was made by [`Site::scheduler`].
    pub(crate) async fn without_workers(site: Site, scheduler: Command) -> Result<Self> {
        let mut scheduler = site.start(scheduler, "scheduler", None)?;
        scheduler.ready().await?;
        let client = site.connect().await?;
        Ok(Self { client, workers: Vec::new(), scheduler, site })
    }

    /// Adds a worker that was made by [`Site::worker`], and waits until it has joined.
    pub(crate) async fn add(&mut self, command: Command, name: &str) -> Result<()> {
        let mut worker = self.site.start(command, name, None)?;
        worker.ready().await?;
        self.workers.push(worker);
        Ok(())
    }

    /// Adds a worker of a shape, and waits until it has joined.
    pub(crate) async fn join(&mut self, name: &str, shape: Shape) -> Result<()> {
        let mut worker = self.site.start_worker(name, shape)?;
        worker.ready().await?;
        self.workers.push(worker);
        Ok(())
    }

    /// Where it runs.
    pub(crate) fn site(&self) -> &Site {
        &self.site
    }

    /// Ends the session, then the workers, then the scheduler, and fails if one of them does.
    pub(crate) async fn stop(mut self) -> Result<()> {
        self.client.close().await?;
        for worker in &mut self.workers {
            worker.stop().await?;
        }
        self.scheduler.stop().await
    }
}

impl Site {
    /// A fresh directory.
    pub(crate) fn new() -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("bireme-").tempdir();
        Ok(Self { dir: dir.context("cannot make a temporary directory")? })
    }

    /// The directory.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The access file of the cluster here.
    pub(crate) fn access_file(&self) -> PathBuf {
        self.dir().join("access.toml")
    }

    /// A program of ours that knows nothing of what surrounds us.
    pub(crate) fn bare(name: &str) -> Command {
        let mut command = Command::new(bin_dir().join(name));
        for (name, _) in env::vars_os() {
            if name.to_string_lossy().starts_with("BIREME_") {
                command.env_remove(name);
            }
        }
        command
    }

    /// A program of ours that finds the cluster here, and nothing else of what surrounds us.
    pub(crate) fn program(&self, name: &str) -> Command {
        let mut command = Self::bare(name);
        command.current_dir(self.dir()).arg("--access-file").arg(self.access_file());
        command
    }

    /// A scheduler on ports of the kernel's choice.
    pub(crate) fn scheduler(&self) -> Command {
        let mut command = self.program("bireme-scheduler");
        command.args(["--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--log", "warn"]);
        command
    }

    /// A worker of the scheduler here; [`Self::start_worker`] tells it more.
    pub(crate) fn worker(&self, name: &str, cpus: u32) -> Command {
        let mut command = self.program("bireme-worker");
        command.args(["--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--log", "warn"]);
        command.args(["--name", name, "--cpus", &cpus.to_string()]);
        command
    }

    /// Starts a process here.
    pub(crate) fn start(&self, command: Command, name: &str, core: Option<usize>) -> Result<Child> {
        Child::spawn(name, command, self.dir(), core)
    }

    /// Starts a worker of this shape and does not wait for it.
    pub(crate) fn start_worker(&self, name: &str, shape: Shape) -> Result<Child> {
        let mut command = self.worker(name, shape.cpus);
        command.args(["--native", shape.native.name()]).args(shape.flags);
        self.start(command, name, shape.core)
    }

    /// Opens a session with the scheduler here.
    pub(crate) async fn connect(&self) -> Result<Client> {
        let connecting = Client::connect(connect_options(&self.access_file())?);
        Ok(guarded("a session", connecting).await??)
    }

    /// A way to look at the cluster here.
    pub(crate) async fn admin(&self) -> Result<Admin> {
        let options = connect_options(&self.access_file())?;
        Ok(guarded("a connection", Admin::connect(&options)).await??)
    }
}

/// How a client connects to the scheduler that wrote this file, whatever the environment says.
pub(crate) fn connect_options(access_file: &Path) -> Result<ConnectOptions> {
    let access = access::read(access_file)?;
    Ok(ConnectOptions {
        scheduler: Some(access.address),
        token: Some(access.token),
        access_file: Some(access_file.to_owned()),
        name: "xtask".to_owned(),
        ..ConnectOptions::default()
    })
}

/// Where cargo puts what it builds with our own profile: beside this program.
fn bin_dir() -> PathBuf {
    let own = env::current_exe().expect("the kernel knows what it runs");
    own.parent().expect("a program is in a directory").to_owned()
}

/// Builds programs with the profile that this one was built with.
pub(crate) fn build(packages: &[&str]) -> Result<()> {
    let profile = if cfg!(debug_assertions) { "dev" } else { "release" };
    let mut build = cargo(["build", "--profile", profile]);
    for package in packages {
        build.args(["--package", package]);
    }
    run(&mut build)
}

/// The error of what was going on when somebody wanted this program to end.
#[derive(Debug)]
pub(crate) struct Interrupted;

impl std::error::Error for Interrupted {}

impl std::fmt::Display for Interrupted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("interrupted")
    }
}

/// Leaves no process behind, whatever happens.
struct Orphans;

impl Drop for Orphans {
    fn drop(&mut self) {
        for orphan in family::end_orphans() {
            eprintln!("left behind, and ended: {orphan}");
        }
    }
}

/// Runs something on a runtime of one thread, until it is done or somebody interrupts. Processes are gone either way.
pub(crate) fn block_on(work: impl Future<Output = Result<()>>) -> Result<()> {
    family::adopt_orphans()?;
    let _orphans = Orphans;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        tokio::select! {
            done = work => done,
            interrupted = child::interrupted() => {
                interrupted?;
                Err(Interrupted.into())
            }
        }
    })
}

//! A cluster inside this process: a scheduler and workers, each on a thread of its own, over loopback sockets.
//!
//! It has a token of its own, listens on ports of the system's choice, and writes no access file unless told: nobody else
//! finds it.

mod daemon;

use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;

use bireme_client::ConnectOptions;
use bireme_core::limits;
use bireme_core::resources::{Resources, UNITS};
use bireme_daemon::auth::Token;
use bireme_worker::Registry;
pub use bireme_worker::executor;

use self::daemon::Daemon;

/// How large a cluster to start.
#[derive(Clone, Debug)]
pub struct EmbeddedConfig {
    /// How many workers.
    pub workers: u32,
    /// Cpus of each; `None` shares out those of this machine.
    pub cpus: Option<u32>,
    /// Memory of each, in bytes; `None` shares out that of this machine.
    pub memory_bytes: Option<u64>,
    /// Native functions of each, besides those that every worker has.
    pub registry: Registry,
    /// The program in whose processes native actors live: one whose `main` begins with [`executor`], such as `/proc/self/exe`.
    /// Without one, native actors are refused.
    pub executor_program: Option<PathBuf>,
    /// Where its access file is written, by which others find it; `None` writes none.
    pub access_file: Option<PathBuf>,
}

impl Default for EmbeddedConfig {
    /// Two workers that share the machine.
    fn default() -> Self {
        Self {
            workers: 2,
            cpus: None,
            memory_bytes: None,
            registry: Registry::default(),
            executor_program: None,
            access_file: None,
        }
    }
}

/// Why a cluster does not start.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("cannot start {name}: {problem}")]
pub struct StartError {
    /// Which daemon.
    pub name: String,
    /// What it said.
    pub problem: String,
}

/// A daemon that did not end as it should.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{name} did not end well: {problem}")]
pub struct StopError {
    /// Which daemon.
    pub name: String,
    /// What it said.
    pub problem: String,
}

/// A running cluster. One that is dropped is told to end, and not waited for.
#[derive(Debug)]
pub struct Cluster {
    options: ConnectOptions,
    scheduler: Option<Daemon>,
    workers: Vec<Daemon>,
}

/// Resolves when a worker has joined.
type Joined = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Cluster {
    /// Starts a cluster and waits until every worker has joined, so that the first tasks are spread over all of them.
    pub async fn start(config: EmbeddedConfig) -> Result<Self, StartError> {
        let (scheduler, (options, token)) = start_scheduler(config.access_file.clone()).await?;
        // From here on, whatever goes wrong, the daemons are told to end.
        let mut cluster = Self { options, scheduler: Some(scheduler), workers: Vec::new() };
        let mut joined = Vec::new();
        for n in 1..=config.workers {
            let found = bireme_worker::Scheduler {
                address: cluster.options.scheduler.clone(),
                token: Some(token.clone()),
                ..bireme_worker::Scheduler::default()
            };
            let (worker, its) = start_worker(n, &config, found).await?;
            cluster.workers.push(worker);
            joined.push(its);
        }
        wait_for_all(joined).await?;
        Ok(cluster)
    }

    /// What a client of this cluster connects with.
    pub fn client_options(&self) -> ConnectOptions {
        self.options.clone()
    }

    /// Waits until the scheduler has ended, as somebody may ask it to.
    pub async fn ended(&mut self) {
        if let Some(scheduler) = &mut self.scheduler {
            scheduler.ended().await;
        }
    }

    /// Kills every process that clusters of this process have started, at once: all that is left to do for a program that ends
    /// without [`stop`](Self::stop).
    pub fn kill_processes() -> io::Result<()> {
        bireme_worker::kill_descendants()
    }

    /// Ends the workers, then the scheduler, and waits for their threads. The error is the first of theirs.
    pub async fn stop(mut self) -> Result<(), StopError> {
        let mut outcome = Ok(());
        let workers = std::mem::take(&mut self.workers);
        workers.iter().for_each(Daemon::shut_down);
        for worker in workers {
            outcome = outcome.and(worker.join().await);
        }
        if let Some(scheduler) = self.scheduler.take() {
            scheduler.shut_down();
            outcome = outcome.and(scheduler.join().await);
        }
        outcome
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.workers.iter().chain(&self.scheduler).for_each(Daemon::shut_down);
    }
}

async fn start_scheduler(
    access_file: Option<PathBuf>,
) -> Result<(Daemon, (ConnectOptions, Token)), StartError> {
    Daemon::start("bireme-scheduler".to_owned(), async |shutdown| {
        let config =
            bireme_scheduler::Config { access_file, ..bireme_scheduler::Config::default() };
        let server = bireme_scheduler::Server::bind(config).await?;
        let token = server.token().clone();
        let options = ConnectOptions {
            scheduler: Some(format!("http://{}", server.addr())),
            token: Some(token.reveal().to_owned()),
            ..ConnectOptions::default()
        };
        Ok::<_, bireme_scheduler::ServeError>(((options, token), server.run(shutdown)))
    })
    .await
}

async fn start_worker(
    n: u32,
    config: &EmbeddedConfig,
    scheduler: bireme_worker::Scheduler,
) -> Result<(Daemon, Joined), StartError> {
    let name = format!("local-{n}");
    let defaults = bireme_worker::Config::default();
    let worker = bireme_worker::Config {
        scheduler,
        name: Some(name.clone()),
        resources: share(config, &defaults.resources),
        registry: config.registry.clone(),
        executor_program: config.executor_program.clone(),
        ..defaults
    };
    Daemon::start(name, async move |shutdown| {
        let server = bireme_worker::Server::bind(worker).await?;
        let joined: Joined = Box::pin(server.joined());
        Ok::<_, bireme_worker::ServeError>((joined, server.run(shutdown)))
    })
    .await
}

/// What each worker gets of this machine: at least one cpu.
fn share(config: &EmbeddedConfig, machine: &Resources) -> Resources {
    let workers = u64::from(config.workers.max(1));
    let cpus = config.cpus.map_or((machine.cpu_units / UNITS / workers).max(1), u64::from);
    let memory_bytes = config.memory_bytes.unwrap_or(machine.memory_bytes / workers);
    Resources::new(cpus * UNITS, memory_bytes)
}

async fn wait_for_all(joined: Vec<Joined>) -> Result<(), StartError> {
    let all = async {
        for joined in joined {
            joined.await;
        }
    };
    tokio::time::timeout(limits::HELLO_WAIT.to_std(), all).await.map_err(|_| StartError {
        name: "the workers".to_owned(),
        problem: format!("they have not joined within {}", limits::HELLO_WAIT),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_share_the_machine_unless_told_otherwise() {
        let machine = Resources::new(5 * UNITS, 9 << 30);
        let mut config = EmbeddedConfig { workers: 2, ..EmbeddedConfig::default() };
        assert_eq!(share(&config, &machine).to_string(), "cpus=2 memory=4831838208");
        config.workers = 10;
        assert_eq!(share(&config, &machine).cpu_units, UNITS);
        config = EmbeddedConfig { cpus: Some(3), memory_bytes: Some(1), ..config };
        assert_eq!(share(&config, &machine).to_string(), "cpus=3 memory=1");
    }
}

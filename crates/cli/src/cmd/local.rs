//! `bireme local`: the same commands on a cluster that starts and ends with this process.

use bireme_client::{Admin, Client, ConnectOptions};
use bireme_launch::embedded::{Cluster, EmbeddedConfig};

use super::run::{Job, follow};
use crate::args::{Global, LocalRun};
use crate::exit::{Exit, Failure};
use crate::{job, output};

/// `bireme local run JOB.toml`
pub(super) async fn run(global: &Global, args: LocalRun) -> Result<Exit, Failure> {
    let LocalRun { run, workers, cpus, memory } = args;
    let params = run.params.into_iter().map(|param| (param.name, param.value)).collect();
    let plan = job::load(&run.job, params)?;
    let config = EmbeddedConfig {
        workers: workers.get(),
        cpus: cpus.map(std::num::NonZeroU32::get),
        memory_bytes: memory,
        ..EmbeddedConfig::default()
    };
    let cluster = Cluster::start(config).await?;
    let ended = on_cluster(cluster.client_options(), global, plan).await;
    if let Err(error) = cluster.stop().await {
        output::say(&format!("warning: {error}"));
    }
    ended
}

async fn on_cluster(
    options: ConnectOptions,
    global: &Global,
    plan: job::Plan,
) -> Result<Exit, Failure> {
    let admin = Admin::connect(&options).await?;
    let client = Client::connect(options).await?;
    follow(Job { client, admin, plan }, global.output).await
}

//! `bireme local`: a cluster that starts and ends with this process.

use bireme_client::{Admin, Client, ConnectOptions};
use bireme_core::limits;
use bireme_daemon::Shutdown;
use bireme_launch::embedded::{Cluster, EmbeddedConfig};
use serde_json::json;

use super::connect_options;
use super::interrupt::interrupted;
use super::run::{Job, follow, plan};
use crate::args::{Global, Local, LocalCommand, LocalRun, LocalSize};
use crate::exit::{Exit, Failure};
use crate::job;
use crate::output::{self, Table};

pub(super) async fn run(global: &Global, args: Local) -> Result<Exit, Failure> {
    match args.command {
        None => serve(global, &args.size).await,
        Some(LocalCommand::Run(run)) => run_job(global, run).await,
    }
}

fn config(size: &LocalSize) -> EmbeddedConfig {
    EmbeddedConfig {
        workers: size.workers.get(),
        cpus: size.cpus.map(std::num::NonZeroU32::get),
        memory_bytes: size.memory,
        executor_program: Some("/proc/self/exe".into()),
        ..EmbeddedConfig::default()
    }
}

/// `bireme local`
async fn serve(global: &Global, size: &LocalSize) -> Result<Exit, Failure> {
    let shutdown = Shutdown::on_signals_or(end_at_once)?;
    let options = ConnectOptions { scheduler: None, ..connect_options(global) };
    let path = options.access_path();
    if is_taken(&options).await {
        return Err(Failure::bad_input(format!(
            "the access file {} belongs to a cluster that runs: name another by --access-file",
            path.display()
        )));
    }
    let config = EmbeddedConfig { access_file: Some(path.clone()), ..config(size) };
    let mut cluster = Cluster::start(config).await?;
    let address = cluster.client_options().scheduler.unwrap_or_default();
    let json = json!({
        "address": address,
        "access_file": path.to_string_lossy(),
        "workers": size.workers.get(),
    });
    let mut table = Table::new(&[]);
    table.row(["address".to_owned(), address]);
    table.row(["access file".to_owned(), path.display().to_string()]);
    table.row(["workers".to_owned(), size.workers.to_string()]);
    let shown = output::show(global.output, &json, &table);
    if shown.is_ok() {
        output::say("the cluster is ready; it ends with this process, at Ctrl-C");
        tokio::select! {
            () = shutdown.begun() => {}
            () = cluster.ended() => {}
        }
        output::say(&format!(
            "the cluster ends when what runs has ended, or else in {}; a second signal ends it at once",
            limits::DRAIN_WAIT
        ));
    }
    cluster.stop().await?;
    Ok(shown.map(|()| Exit::Done)?)
}

/// All that is done for whoever does not wait for the cluster to end.
fn end_at_once(signal: &'static str) {
    output::say(&format!("{signal} again: the cluster ends at once, and what runs is killed"));
    if let Err(error) = Cluster::kill_processes() {
        output::say(&format!("warning: what runs is left behind: {error}"));
    }
}

/// Whether a scheduler runs that has written the access file.
async fn is_taken(options: &ConnectOptions) -> bool {
    let options =
        ConnectOptions { access_file: Some(options.access_path()), ..ConnectOptions::default() };
    if !options.access_path().exists() {
        return false;
    }
    match Admin::connect(&options).await {
        Ok(admin) => admin.status().await.is_ok(),
        Err(_) => false,
    }
}

/// `bireme local run JOB.toml`
async fn run_job(global: &Global, args: LocalRun) -> Result<Exit, Failure> {
    let plan = plan(args.job)?;
    let cluster = Cluster::start(config(&args.size)).await?;
    let ended = on_cluster(cluster.client_options(), global, plan).await;
    tokio::select! {
        stopped = cluster.stop() => {
            if let Err(error) = stopped {
                output::say(&format!("warning: {error}"));
            }
        }
        _ = interrupted() => {
            end_at_once("interrupted");
            return Ok(Exit::Interrupted);
        }
    }
    ended
}

async fn on_cluster(
    options: ConnectOptions,
    global: &Global,
    plan: job::Plan,
) -> Result<Exit, Failure> {
    let admin = Admin::connect(&options).await?;
    let workplace = Client::connect(options).await?.into();
    follow(Job { workplace, admin, plan }, global.output).await
}

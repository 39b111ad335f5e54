//! Tasks that are commands, against starting the same commands and nothing else.

use std::process::{Command, Stdio};
use std::thread;

use anyhow::{Context as _, Result, ensure};
use bireme_client::Payload;
use bireme_core::graph::{GraphBuilder, Runtime, TaskClass, TaskSpec};
use bireme_core::reason::Refusal;

use super::graphs::with_values;
use super::parts;
use super::rows::Bench;
use super::timed::{self, Awaited, Work};
use crate::cluster::Site;
use crate::cluster::usage::{family_cpu, now};

/// A command that does nothing.
const COMMAND: &str = "/bin/true";

/// What so many bare commands cost, for each.
struct Bare {
    wall_us: f64,
    cpu_us: f64,
}

/// n commands as tasks, and in the same rounds as many bare ones on as many threads as the workers have cpus.
pub(super) async fn process(bench: &mut Bench) -> Result<()> {
    let threads = bench.topo.workers * bench.topo.cpus;
    let cluster = timed::warm(bench, commands).await?;
    let (mut tasks, mut bare) = (Vec::new(), Vec::new());
    for _ in 0..bench.repeats {
        bare.push(start_bare(cluster.site(), bench.n, threads).await?);
        tasks.push(timed::once(&cluster, commands, bench.n).await?);
    }
    cluster.stop().await?;
    bench.emit("_bare", "us/task", bare.iter().map(|bare| bare.wall_us))?;
    bench.emit("_bare_cpu", "us/task", bare.iter().map(|bare| bare.cpu_us))?;
    let ratios = tasks.iter().zip(&bare).map(|(took, bare)| took.wall_us() / bare.wall_us);
    bench.emit("_ratio", "x", ratios.collect::<Vec<_>>())?;
    timed::emit_per_task(bench, &tasks)
}

/// A graph of commands.
fn commands(n: u32) -> Result<Work, Refusal> {
    let mut graph = GraphBuilder::new(with_values());
    let class = graph.class(TaskClass { runtime: Runtime::Command, ..TaskClass::default() });
    let payload = Payload::command([COMMAND]).encode();
    for _ in 0..n {
        graph.task(TaskSpec { class, payload: payload.clone(), ..TaskSpec::default() })?;
    }
    Ok(Work { graph, tasks: n, awaited: Awaited::All })
}

async fn start_bare(site: &Site, processes: u32, threads: u32) -> Result<Bare> {
    let mut command = parts::command("spawner");
    command.args([processes.to_string(), threads.to_string()]);
    let mut spawner = site.start(command, "spawner", None)?;
    let line = spawner.line().await?;
    let numbers = line.split_once(' ');
    let numbers = numbers.and_then(|(wall, cpu)| Some((wall.parse().ok()?, cpu.parse().ok()?)));
    let (wall_us, cpu_us) = numbers.with_context(|| format!("the spawner said {line:?}"))?;
    let status = spawner.exit().await?;
    ensure!(status.success(), "the spawner ended with {status}; {}", spawner.complaint());
    Ok(Bare { wall_us, cpu_us })
}

/// The bare program: threads that start a command, read what it prints, and wait for it, one after the other.
pub(super) fn spawner(processes: u32, threads: u32) -> Result<()> {
    let (started, before) = (now(), family_cpu()?);
    let share = |thread: u32| (processes + thread) / threads;
    thread::scope(|scope| {
        let threads = (0..threads).map(|n| scope.spawn(move || spawn_each(share(n))));
        let threads: Vec<_> = threads.collect();
        threads.into_iter().try_for_each(|thread| thread.join().expect("it does not panic"))
    })?;
    let wall = started.elapsed().as_secs_f64() * 1e6 / f64::from(processes);
    let used = family_cpu()?.saturating_sub(before);
    println!("{wall} {}", used.as_secs_f64() * 1e6 / f64::from(processes));
    Ok(())
}

fn spawn_each(processes: u32) -> Result<()> {
    for _ in 0..processes {
        let mut command = Command::new(COMMAND);
        // Both are piped and read by this.
        let output = command.stdin(Stdio::null()).output().context("cannot run a command")?;
        ensure!(output.status.success(), "{COMMAND} ended with {}", output.status);
    }
    Ok(())
}

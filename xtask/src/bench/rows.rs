//! The rows that can be measured, and their running.

use std::future::Future;
use std::pin::Pin;

use anyhow::{Context as _, Result, anyhow, bail};

use super::record::{Circumstances, Record, append, table};
use super::{Args, Topology, actors, faults, graphs, latency, memory, process, startup, transfer};
use crate::cluster::usage::{family_cpu, machine_cpu, now};
use crate::cluster::{self, Interrupted, Native, Shape, cores};

/// Something to measure.
struct Row {
    name: &'static str,
    /// Sizes unless others are asked for.
    sizes: &'static [u32],
    topo: Topology,
    native: Native,
    /// Means nothing unless the client has one core and all daemons have another.
    latency: bool,
    run: Run,
}

impl Row {
    /// The same with native functions in processes of their own.
    const fn isolated(self) -> Self {
        Self { native: Native::Isolated, ..self }
    }
}

type Run = for<'a> fn(&'a mut Bench) -> Pin<Box<dyn Future<Output = Result<()>> + 'a>>;

const fn row(
    name: &'static str,
    sizes: &'static [u32],
    (workers, cpus): (u32, u32),
    run: Run,
) -> Row {
    let topo = Topology { workers, cpus };
    Row { name, sizes, topo, native: Native::InProcess, latency: false, run }
}

const fn latency(name: &'static str, sizes: &'static [u32], run: Run) -> Row {
    Row { latency: true, ..row(name, sizes, (1, 1), run) }
}

/// Every row. Names, sizes and topologies are those of the peers' benches where they have the row.
static ROWS: [Row; 24] = [
    row("startup", &[0], (2, 1), |it| Box::pin(startup::startup(it))),
    row("idle", &[0], (2, 1), |it| Box::pin(startup::idle(it))),
    latency("floor", &[200], |it| Box::pin(latency::floor(it))),
    latency("rtt", &[200], |it| Box::pin(latency::rtt(it))),
    row("throughput", &[10_000, 100_000], (2, 1), |it| Box::pin(graphs::throughput(it))),
    row("throughput_isolated", &[10_000, 100_000], (2, 1), |it| Box::pin(graphs::throughput(it)))
        .isolated(),
    row("merge", &[10_000, 100_000], (2, 1), |it| Box::pin(graphs::merge(it))),
    row("tree", &[1 << 15], (2, 1), |it| Box::pin(graphs::tree(it))),
    row("chain", &[2_000], (2, 1), |it| Box::pin(graphs::chain(it))),
    row("stencil", &[100], (2, 1), |it| Box::pin(graphs::stencil(it))),
    row("sleep_map", &[2_000], (2, 4), |it| Box::pin(graphs::sleep_map(it))),
    row("submit", &[100_000], (0, 1), |it| Box::pin(memory::submit(it))),
    row("pending_memory", &[100_000, 1_000_000], (0, 1), |it| Box::pin(memory::pending_memory(it))),
    row("process", &[2_000], (2, 1), |it| Box::pin(process::process(it))),
    row("transfer_big", &[256], (2, 1), |it| Box::pin(transfer::big(it))),
    row("transfer_many", &[2_000], (2, 1), |it| Box::pin(transfer::many(it))),
    row("scatter_gather", &[256], (2, 1), |it| Box::pin(transfer::scatter_gather(it))),
    row("fault_worker_kill", &[10_000], (3, 4), |it| Box::pin(faults::worker_kill(it))),
    latency("actor_rtt", &[2_000], |it| Box::pin(actors::rtt(it))).isolated(),
    row("actor_pipeline", &[20_000], (1, 1), |it| Box::pin(actors::pipeline(it))).isolated(),
    row("actor_once", &[20_000], (1, 1), |it| Box::pin(actors::effectively_once(it))).isolated(),
    row("actor_create", &[50], (1, 1), |it| Box::pin(actors::create(it))).isolated(),
    latency("actor_to_actor", &[500], |it| Box::pin(actors::to_actor(it))).isolated(),
    row("actor_scheduler_cpu", &[20_000], (1, 1), |it| Box::pin(actors::scheduler_cpu(it)))
        .isolated(),
];

/// One row at one size, being measured.
pub(super) struct Bench {
    name: &'static str,
    pub(super) n: u32,
    pub(super) topo: Topology,
    pub(super) repeats: u32,
    native: Native,
    /// The client's core and that of the daemons, if they are to have one each.
    pub(super) cores: Option<(usize, usize)>,
    records: Vec<Record>,
}

impl Bench {
    /// Notes the repeats of a figure of this row.
    pub(super) fn emit(
        &mut self,
        suffix: &str,
        unit: &'static str,
        values: impl IntoIterator<Item = f64>,
    ) -> Result<()> {
        let workload = format!("{}{suffix}", self.name);
        let missing = || format!("{workload}: nothing was measured");
        let record = Record::new(workload.clone(), unit, values).with_context(missing)?;
        self.records.push(record);
        Ok(())
    }

    /// Puts this thread on the client's core, if it has one, until the pin is dropped.
    pub(super) fn pin_client(&self) -> Result<Option<cores::Pin>> {
        self.cores.map(|(client, _)| cores::Pin::new(client)).transpose()
    }

    /// The core of all daemons, if they have one.
    pub(super) fn daemon_core(&self) -> Option<usize> {
        self.cores.map(|(_, daemons)| daemons)
    }

    /// The cluster of this row.
    pub(super) fn shape(&self) -> Shape {
        let Topology { workers, cpus } = self.topo;
        let native = self.native;
        Shape { core: self.daemon_core(), native, ..Shape::new(workers, cpus) }
    }
}

pub(super) fn run(args: &Args) -> Result<()> {
    if args.list {
        for row in &ROWS {
            println!("{}", row.name);
        }
        return Ok(());
    }
    let rows = choose(&args.only)?;
    cluster::build(&["bireme-scheduler", "bireme-worker"])?;
    let circumstances = Circumstances::find();
    let (mut all, mut failures) = (Vec::new(), Vec::new());
    for (row, n, topo) in rows.into_iter().flat_map(|row| sizes(row, args)) {
        match measure(row, n, topo, args) {
            Ok(records) => {
                if let Some(path) = &args.out {
                    append(path, &records, &circumstances)?;
                }
                all.extend(records);
            }
            Err(error) if error.is::<Interrupted>() => return Err(error),
            Err(error) => {
                eprintln!("FAILED: {} n={n}: {error:#}", row.name);
                failures.push(row.name);
            }
        }
    }
    print!("{}", table(&all));
    if !failures.is_empty() {
        bail!("not measured: {}", failures.join(", "));
    }
    Ok(())
}

/// The sizes and topologies in which a row is to be measured.
fn sizes(row: &'static Row, args: &Args) -> Vec<(&'static Row, u32, Topology)> {
    let topos = if args.topo.is_empty() { &[row.topo][..] } else { &args.topo };
    let sizes = if args.n.is_empty() { row.sizes } else { &args.n };
    topos.iter().flat_map(|&topo| sizes.iter().map(move |&n| (row, n, topo))).collect()
}

/// The rows of these names; all if there are none.
fn choose(names: &[String]) -> Result<Vec<&'static Row>> {
    if names.is_empty() {
        return Ok(ROWS.iter().collect());
    }
    let find = |name: &String| {
        let known = || ROWS.iter().map(|row| row.name).collect::<Vec<_>>().join(", ");
        ROWS.iter()
            .find(|row| row.name == name)
            .ok_or_else(|| anyhow!("there is no row {name:?}; there are: {}", known()))
    };
    names.iter().map(find).collect()
}

/// Measures a row at one size, and what else the machine did meanwhile.
fn measure(row: &Row, n: u32, topo: Topology, args: &Args) -> Result<Vec<Record>> {
    let pinned = args.pin || (row.latency && !args.no_pin);
    let cores = if pinned { cores::two()? } else { None };
    let Row { name, native, .. } = *row;
    let repeats = args.repeats;
    let mut bench = Bench { name, n, topo, repeats, native, cores, records: Vec::new() };
    let (started, machine, own) = (now(), machine_cpu()?, family_cpu()?);
    cluster::block_on((row.run)(&mut bench))?;
    let took = started.elapsed();
    // Every process of ours was reaped, so its time is in ours.
    let others =
        machine_cpu()?.saturating_sub(machine).saturating_sub(family_cpu()?.saturating_sub(own));
    let other_cores = others.as_secs_f64() / took.as_secs_f64();
    eprintln!("# {} n={n}: {:.1} s, others {other_cores:.2} cores", row.name, took.as_secs_f64());
    for record in &mut bench.records {
        record.n = n;
        record.topo = topo;
        record.native = native.name();
        record.pinned = cores.is_some();
        record.other_cores = other_cores;
    }
    Ok(bench.records)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_chosen_by_name() {
        let names = |only: &[&str]| {
            let only: Vec<String> = only.iter().map(|&name| name.to_owned()).collect();
            choose(&only).map(|rows| rows.iter().map(|row| row.name).collect::<Vec<_>>())
        };
        assert_eq!(names(&["tree", "rtt"]).unwrap(), ["tree", "rtt"]);
        assert_eq!(names(&[]).unwrap().len(), ROWS.len());
        assert!(
            names(&["three"])
                .unwrap_err()
                .to_string()
                .contains("there are: startup, idle, floor, rtt")
        );
    }
}

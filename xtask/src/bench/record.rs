//! Figures: what is kept of a measurement, as JSON for programs and as a table for people.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::Topology;
use crate::cluster::Native;
use crate::workspace::{read, root};

/// One figure: the repeats of one quantity.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Record {
    /// Name of the row, as the peers' benches have it.
    pub(super) workload: String,
    pub(super) n: u32,
    pub(super) topo: Topology,
    /// Where workers ran native functions.
    pub(super) native: &'static str,
    pub(super) unit: &'static str,
    /// In order of size; never empty.
    values: Vec<f64>,
    /// Client on one core, daemons on another.
    pub(super) pinned: bool,
    /// Cores that were used meanwhile by anything else on the machine.
    pub(super) other_cores: f64,
}

/// What figures belong to.
#[derive(Clone, Debug)]
pub(super) struct Circumstances {
    commit: String,
    machine: String,
}

impl Record {
    /// The figure of these repeats; `None` if there are none.
    pub(super) fn new(
        workload: String,
        unit: &'static str,
        values: impl IntoIterator<Item = f64>,
    ) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let topo = Topology { workers: 0, cpus: 0 };
        let record = Self {
            workload,
            n: 0,
            topo,
            native: Native::InProcess.name(),
            unit,
            values,
            pinned: false,
            other_cores: 0.0,
        };
        (!record.values.is_empty()).then_some(record)
    }

    fn median(&self) -> f64 {
        median(&self.values)
    }

    fn min(&self) -> f64 {
        self.values.first().copied().unwrap_or(f64::NAN)
    }

    fn max(&self) -> f64 {
        self.values.last().copied().unwrap_or(f64::NAN)
    }

    fn json(&self, circumstances: &Circumstances) -> Value {
        json!({
            "peer": "bireme",
            "workload": self.workload,
            "n": self.n,
            "median": rounded(self.median()),
            "min": rounded(self.min()),
            "max": rounded(self.max()),
            "unit": self.unit,
            "repeats": self.values.len(),
            "workers": self.topo.workers,
            "threads": self.topo.cpus,
            "native": self.native,
            "pinned": self.pinned,
            "other_cores": (self.other_cores * 100.0).round() / 100.0,
            "commit": circumstances.commit,
            "machine": circumstances.machine,
        })
    }

    fn cells(&self) -> [String; 5] {
        let spread = match self.values.len() {
            1 => "1 run".to_owned(),
            _ => format!("{}-{}", short(self.min()), short(self.max())),
        };
        let Topology { workers, cpus } = self.topo;
        [
            self.workload.clone(),
            self.n.to_string(),
            format!("{workers}x{cpus}{}", if self.pinned { " pinned" } else { "" }),
            format!("{} {}", short(self.median()), self.unit),
            spread,
        ]
    }
}

impl Circumstances {
    /// Those of this tree on this machine.
    pub(super) fn find() -> Self {
        Self { commit: commit(), machine: machine() }
    }
}

/// The middle of sorted values; between two, their mean.
pub(super) fn median(sorted: &[f64]) -> f64 {
    let middle = sorted.len() / 2;
    let upper = sorted.get(middle).copied().unwrap_or(f64::NAN);
    match sorted.len() % 2 {
        0 => sorted
            .get(middle.wrapping_sub(1))
            .map_or(f64::NAN, |lower| f64::midpoint(*lower, upper)),
        _ => upper,
    }
}

/// Appends records to a file, a line for each.
pub(super) fn append(path: &Path, records: &[Record], circumstances: &Circumstances) -> Result<()> {
    let mut lines = String::new();
    for record in records {
        lines.push_str(&record.json(circumstances).to_string());
        lines.push('\n');
    }
    File::options()
        .create(true)
        .append(true)
        .open(path)
        .and_then(|mut file| file.write_all(lines.as_bytes()))
        .with_context(|| format!("cannot write {}", path.display()))
}

/// Records as people read them.
pub(super) fn table(records: &[Record]) -> String {
    let heading = ["row", "n", "topology", "median", "spread"].map(str::to_owned);
    let rows: Vec<[String; 5]> =
        std::iter::once(heading).chain(records.iter().map(Record::cells)).collect();
    let mut widths = [0; 5];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let mut text = String::new();
    for row in &rows {
        let cells: Vec<String> =
            row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// Four digits behind the point, as the peers' files have them.
fn rounded(value: f64) -> f64 {
    (value * 10_000.0).round() / 10_000.0
}

/// Three digits, or all in front of the point.
fn short(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

/// Which commit is measured, and whether it was changed since.
fn commit() -> String {
    let git = |args: &[&str]| read(Command::new("git").args(args).current_dir(root()));
    let Ok(commit) = git(&["rev-parse", "--short=12", "HEAD"]) else { return "unknown".to_owned() };
    let changed = git(&["status", "--porcelain"]).is_ok_and(|changes| !changes.is_empty());
    format!("{}{}", commit.trim(), if changed { "-dirty" } else { "" })
}

/// Cores, memory, processor and kernel.
fn machine() -> String {
    let file = |path| std::fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        line.trim_start_matches([' ', '\t', ':']).trim().to_owned()
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let memory = field(&file("/proc/meminfo"), "MemTotal:");
    let memory_kib: u64 = memory.trim_end_matches(" kB").parse().unwrap_or(0);
    let processor = field(&file("/proc/cpuinfo"), "model name");
    let kernel = file("/proc/sys/kernel/osrelease");
    format!(
        "{cores} cores, {} GiB, {processor}, Linux {}",
        (memory_kib + (1 << 19)) >> 20,
        kernel.trim()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(values: &[f64]) -> Record {
        let mut record =
            Record::new("throughput".into(), "us/task", values.iter().copied()).unwrap();
        record.n = 10_000;
        record.topo = Topology { workers: 2, cpus: 1 };
        record
    }

    #[test]
    fn the_median_of_an_even_number_lies_between() {
        let figures = |values: &[f64]| {
            let record = record(values);
            (record.median(), record.min(), record.max())
        };
        assert_eq!(figures(&[3.0, 1.0, 2.0]), (2.0, 1.0, 3.0));
        assert_eq!(figures(&[4.0, 1.0]), (2.5, 1.0, 4.0));
        assert!(Record::new("rtt".into(), "ms", []).is_none());
    }

    #[test]
    fn the_fields_are_those_of_the_peers() {
        let circumstances = Circumstances { commit: "abc".into(), machine: "small".into() };
        let json = record(&[4.123_456, 4.0, 5.0]).json(&circumstances);
        let expected = json!({
            "peer": "bireme", "workload": "throughput", "n": 10_000, "median": 4.1235, "min": 4.0, "max": 5.0,
            "unit": "us/task", "repeats": 3, "workers": 2, "threads": 1, "native": "in-process",
            "pinned": false, "other_cores": 0.0, "commit": "abc", "machine": "small",
        });
        assert_eq!(json, expected);
    }

    #[test]
    fn the_table_is_aligned() {
        let expected = "row         n      topology  median        spread\n\
                        throughput  10000  2x1       123 us/task   1 run\n\
                        throughput  10000  2x1       6.25 us/task  0.500-12.0\n";
        assert_eq!(table(&[record(&[123.4]), record(&[0.5, 12.0])]), expected);
    }
}

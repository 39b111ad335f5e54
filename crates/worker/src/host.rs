//! The machine that this worker runs on, as Linux tells.

use std::fs;
use std::str::FromStr;

/// Share of memory that a worker takes for itself unless told otherwise, in percent.
const MEMORY_PERCENT: u64 = 80;

/// How many cpus this process may use.
pub(crate) fn cpus() -> u64 {
    std::thread::available_parallelism().map_or(1, |cpus| cpus.get() as u64)
}

/// Bytes of memory that a worker may well take: most of the machine's, or of its control group's if that has less.
pub(crate) fn memory_bytes() -> u64 {
    let machine = read("/proc/meminfo").and_then(|text| kibibytes(&text, "MemTotal:"));
    let group = read("/sys/fs/cgroup/memory.max").and_then(|text| text.trim().parse().ok());
    let least = machine.into_iter().chain(group).min().unwrap_or(0);
    least / 100 * MEMORY_PERCENT
}

/// Boot id and host name: two processes with equal ones share memory.
pub(crate) fn machine() -> String {
    let boot = read("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    format!("{} {}", boot.trim(), name())
}

/// Host name.
pub(crate) fn name() -> String {
    let name = read("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { "localhost".to_owned() } else { name.to_owned() }
}

/// Resident memory of this process, in bytes.
pub(crate) fn resident_bytes() -> u64 {
    read("/proc/self/status").and_then(|text| kibibytes(&text, "VmRSS:")).unwrap_or(0)
}

/// Memory of a process that is its own, in bytes; `None` if it is gone.
pub(crate) fn private_bytes(pid: u32) -> Option<u64> {
    read(&format!("/proc/{pid}/status")).and_then(|text| kibibytes(&text, "RssAnon:"))
}

/// The same of a process and of all that it has started, as far as they can be found: one whose parent has ended is not.
pub(crate) fn private_bytes_of_all(pid: u32) -> u64 {
    /// What starts more than so many is weighed by the first ones.
    const PROCESSES: usize = 4_096;
    let (mut found, mut at, mut bytes) = (vec![pid], 0, 0_u64);
    while let Some(&pid) = found.get(at).filter(|_| at < PROCESSES) {
        at += 1;
        bytes = bytes.saturating_add(private_bytes(pid).unwrap_or(0));
        found.extend(children(pid));
    }
    bytes
}

/// The processes that the threads of a process have started.
fn children(pid: u32) -> Vec<u32> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten();
    let started = |thread: fs::DirEntry| fs::read_to_string(thread.path().join("children")).ok();
    let lists = threads.filter_map(Result::ok).filter_map(started);
    lists
        .flat_map(|list| {
            list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>()
        })
        .collect()
}

/// Measures how busy the machine's cpus are.
#[derive(Debug, Default)]
pub(crate) struct CpuMeter {
    /// Ticks of all cpus so far: those that were busy, and all.
    last: Option<(u64, u64)>,
}

impl CpuMeter {
    /// Cpus in use since the last call, in percent of one cpu.
    pub(crate) fn percent(&mut self) -> u32 {
        let Some(ticks) = read("/proc/stat").and_then(|text| ticks(&text)) else { return 0 };
        let Some(last) = self.last.replace(ticks) else { return 0 };
        let (busy, all) = (ticks.0.saturating_sub(last.0), ticks.1.saturating_sub(last.1));
        let percent = busy.saturating_mul(100 * cpus()).checked_div(all).unwrap_or(0);
        u32::try_from(percent).unwrap_or(u32::MAX)
    }
}

fn read(path: &str) -> Option<String> {
    fs::read_to_string(path).ok()
}

fn kibibytes(text: &str, key: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? << 10)
}

/// Busy ticks and all ticks, from the first line of `/proc/stat`.
fn ticks(text: &str) -> Option<(u64, u64)> {
    let counts = text.lines().next()?.strip_prefix("cpu ")?.split_whitespace();
    // What guests took is contained in the first two.
    let counts: Vec<_> = counts.take(8).filter_map(|count| u64::from_str(count).ok()).collect();
    let all: u64 = counts.iter().sum();
    let idle: u64 = counts.iter().skip(3).take(2).sum();
    Some((all - idle, all))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_is_understood() {
        assert!(cpus() > 0 && memory_bytes() > 1 << 20 && resident_bytes() > 1 << 20);
        assert!(machine().len() > name().len() && !name().is_empty());
        assert_eq!(kibibytes("MemFree: 1 kB\nMemTotal:   16 kB\n", "MemTotal:"), Some(16 << 10));
        assert_eq!(ticks("cpu  10 1 5 80 4 0 0 0 3 0\ncpu0 1"), Some((16, 100)));
    }
}

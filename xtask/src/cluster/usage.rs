//! What processes use, as the kernel tells: time on cores and memory.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use rustix::param::clock_ticks_per_second;
use rustix::time::{ClockId, clock_gettime};

use super::family;

/// Memory of a process, in bytes.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Memory {
    /// What of it is in memory.
    pub(crate) rss: u64,
    /// The same with shared pages divided among those who share them.
    pub(crate) pss: u64,
}

/// The time, for durations.
#[expect(clippy::disallowed_methods, reason = "time enters here")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Core time of this process so far.
pub(crate) fn own_cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    // The kernel gives neither negative times nor more nanoseconds than fit into a second.
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Core time of a process so far, its ended threads included; in steps of a tick, normally 10 ms.
pub(crate) fn cpu(pid: u32) -> Result<Duration> {
    let [user, system, ..] = stat(&pid.to_string())?;
    Ok(ticks(user + system))
}

/// Core time of a process so far, to the nanosecond; its ended threads are left out.
pub(crate) fn threads_cpu(pid: u32) -> Result<Duration> {
    let tasks = format!("/proc/{pid}/task");
    let mut nanos = 0;
    for thread in fs::read_dir(&tasks).with_context(|| format!("cannot list {tasks}"))? {
        // A thread may end meanwhile.
        let text = fs::read_to_string(thread?.path().join("schedstat")).unwrap_or_default();
        nanos += text.split(' ').next().and_then(|time| time.parse().ok()).unwrap_or(0_u64);
    }
    Ok(Duration::from_nanos(nanos))
}

/// Core time of a process, of all below it and of those that they have reaped.
pub(crate) fn tree_cpu(pid: u32) -> Result<Duration> {
    let own: u64 = stat(&pid.to_string())?.iter().sum();
    // Whoever ends meanwhile is counted by its parent.
    let below = family::descendants(pid).into_iter().filter_map(|pid| stat(&pid.to_string()).ok());
    Ok(ticks(own + below.flatten().sum::<u64>()))
}

/// Core time of this process and of all children that it has reaped.
pub(crate) fn family_cpu() -> Result<Duration> {
    Ok(ticks(stat("self")?.iter().sum()))
}

/// Core time that the whole machine has spent working.
pub(crate) fn machine_cpu() -> Result<Duration> {
    let text = fs::read_to_string("/proc/stat").context("cannot read /proc/stat")?;
    parse_machine(&text).map(ticks).context("/proc/stat has no line of all cores")
}

/// Memory of a process.
pub(crate) fn memory(pid: u32) -> Result<Memory> {
    let path = format!("/proc/{pid}/smaps_rollup");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    let value = |name| field_kib(&text, name).with_context(|| format!("{path} has no {name}"));
    Ok(Memory { rss: value("Rss:")? * 1024, pss: value("Pss:")? * 1024 })
}

/// Ticks of a process in user and kernel mode, and the same of its reaped children.
fn stat(pid: &str) -> Result<[u64; 4]> {
    let path = format!("/proc/{pid}/stat");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    parse_stat(&text).with_context(|| format!("cannot understand {path}"))
}

fn parse_stat(text: &str) -> Option<[u64; 4]> {
    // The name of the program stands in parentheses and may have some of its own.
    let (_, rest) = text.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11).map_while(|field| field.parse().ok());
    Some([fields.next()?, fields.next()?, fields.next()?, fields.next()?])
}

/// All but idle and waiting for disks.
fn parse_machine(text: &str) -> Option<u64> {
    let line = text.lines().next()?.strip_prefix("cpu ")?;
    let fields: Vec<u64> = line.split_whitespace().map_while(|field| field.parse().ok()).collect();
    let [user, nice, system, _idle, _waiting, interrupts, soft, stolen, ..] = fields.as_slice()
    else {
        return None;
    };
    Some(user + nice + system + interrupts + soft + stolen)
}

fn field_kib(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

fn ticks(count: u64) -> Duration {
    Duration::from_secs(count) / u32::try_from(clock_ticks_per_second()).unwrap_or(100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_times_of_a_process_are_found_behind_its_name() {
        let text = "7 (a) b) S 1 7 7 0 -1 4194560 108 0 0 0 11 12 13 14 20 0 1 0 82 0 0";
        assert_eq!(parse_stat(text), Some([11, 12, 13, 14]));
        assert_eq!(parse_stat("7 (a) S 1"), None);
    }

    #[test]
    fn idle_time_of_the_machine_is_left_out() {
        let text = "cpu  1 2 4 100 100 8 16 32 0 0\ncpu0 9 9 9 9 9 9 9 9 0 0\n";
        assert_eq!(parse_machine(text), Some(63));
    }

    #[test]
    fn this_process_uses_something() {
        let own = memory(std::process::id()).unwrap();
        assert!(own.rss >= own.pss && own.pss > 0, "{own:?}");
        assert!(own_cpu() > Duration::ZERO);
        assert!(machine_cpu().unwrap() >= family_cpu().unwrap());
    }
}

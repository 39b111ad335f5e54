//! `cargo xtask units`: judges the systemd units as they lie in `deploy/`, with systemd's own tools.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use crate::workspace::{read, read_text, root, write};

/// Each unit, and the highest score of exposure that it may have, in tenths: 0 is best, 100 is worst.
const UNITS: [(&str, u32); 2] = [("bireme-scheduler.service", 15), ("bireme-worker.service", 20)];
/// Where units are.
const DIRECTORY: &str = "deploy/systemd";

/// Judge the systemd units: whether they are well-formed, and how exposed the services are
#[derive(clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(Args {}: &Args) -> Result<()> {
    if let Some(reason) = check()? {
        println!("skipped: units: {reason}");
    }
    Ok(())
}

/// Judges all units. The reason if this machine cannot.
pub(crate) fn check() -> Result<Option<&'static str>> {
    let mut probe = Command::new("systemd-analyze");
    if !probe.arg("--version").stdout(Stdio::null()).status().is_ok_and(|it| it.success()) {
        return Ok(Some("systemd-analyze is not installed"));
    }
    let version = read(Command::new("systemd-analyze").arg("--version"))?;
    println!("{}", version.lines().next().unwrap_or_default());
    for (unit, worst) in UNITS {
        verify(unit)?;
        println!("{unit}: {}", exposure(unit, worst)?);
    }
    Ok(None)
}

/// Complains of whatever systemd complains of. It does not fail for an unknown key, so its words count.
fn verify(unit: &str) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let text = read_text(&root().join(DIRECTORY).join(unit))?;
    // Programs that are not installed here are no fault of the unit.
    let path = dir.path().join(unit);
    write(&path, text.replace("/usr/bin/bireme-", &format!("{}/bireme-", dir.path().display())))?;
    for program in ["bireme-scheduler", "bireme-worker"] {
        let path = dir.path().join(program);
        write(&path, "")?;
        make_executable(&path)?;
    }
    let output = Command::new("systemd-analyze").arg("verify").arg(&path).output()?;
    let complaints = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success() && complaints.is_empty(),
        "systemd does not like {unit}:\n{complaints}"
    );
    Ok(())
}

/// How exposed a service is, in systemd's words; an error if it is worse than it may be.
fn exposure(unit: &str, worst: u32) -> Result<String> {
    let mut analyze = Command::new("systemd-analyze");
    analyze.args(["security", "--no-pager", "--offline=true"]).arg(format!("--threshold={worst}"));
    let output = analyze.arg(root().join(DIRECTORY).join(unit)).output()?;
    let table = String::from_utf8_lossy(&output.stdout);
    let score = table.lines().last().and_then(|line| line.split_once(": "));
    let (_, score) = score.with_context(|| format!("systemd says nothing about {unit}"))?;
    ensure!(
        output.status.success(),
        "{unit} is exposed too much: {score}, at most {}.{} is allowed\n{table}",
        worst / 10,
        worst % 10
    );
    Ok(score.to_owned())
}

fn make_executable(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use bireme_core::{Span, limits};

    use super::*;

    /// What a unit sets a key to.
    fn seconds(unit: &str, key: &str) -> Span {
        let text = read_text(&root().join(DIRECTORY).join(unit)).unwrap();
        let mut values = text.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        Span::secs(values.next().unwrap().parse().unwrap())
    }

    #[test]
    fn systemd_waits_longer_than_daemons_do() {
        let drain = Span(limits::DRAIN_WAIT.0 + limits::LEAVE_WAIT.0 + limits::REAP_WAIT.0);
        assert!(seconds("bireme-worker.service", "TimeoutStopSec") > drain);
        assert!(seconds("bireme-scheduler.service", "TimeoutStopSec") > limits::STOP_WAIT);
    }

    #[test]
    fn an_idle_loop_turns_often_enough_for_the_watchdog() {
        for (unit, _) in UNITS {
            assert!(seconds(unit, "WatchdogSec") >= Span::secs(10), "{unit}");
        }
    }
}

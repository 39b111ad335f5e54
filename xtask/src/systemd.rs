//! `cargo xtask systemd`: installs the Debian package under a booted systemd and sees what becomes of the services.
//!
//! It installs, starts and purges, so it does nothing unless told where: `BIREME_SYSTEMD_EXEC` is a command that runs
//! another, given as its arguments, as root on a machine or in a container whose process 1 is systemd; `env` is this machine.

use std::env;
use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};

use crate::dist;
use crate::workspace::root;

/// The variable with the command.
const EXEC: &str = "BIREME_SYSTEMD_EXEC";
/// Where the package is put.
const PACKAGE: &str = "/run/bireme.deb";
/// What each script may take, in seconds.
const GUARD_S: &str = "180";

/// What is done there, in this order.
const CHECKS: [(&str, &str); 5] = [
    ("installed_and_not_enabled", include_str!("systemd/install.sh")),
    ("started_units_reach_readiness", include_str!("systemd/ready.sh")),
    ("a_loop_that_hangs_is_killed_and_comes_back", include_str!("systemd/watchdog.sh")),
    ("what_runs_is_finished_on_stop", include_str!("systemd/drain.sh")),
    ("purged_without_a_trace", include_str!("systemd/purge.sh")),
];

/// Install the package under a booted systemd: readiness, watchdog, drain
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The package; without it, one is built
    #[arg(long, value_name = "FILE")]
    deb: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    if let Some(reason) = check(args.deb.as_deref())? {
        println!("skipped: systemd: {reason}");
    }
    Ok(())
}

/// Runs all checks. The reason if this machine cannot.
pub(crate) fn check(deb: Option<&Path>) -> Result<Option<&'static str>> {
    let Some(bed) = Bed::from_env() else {
        return Ok(Some("BIREME_SYSTEMD_EXEC names no command that runs others under systemd"));
    };
    let built = match deb {
        Some(deb) => Some(deb.to_owned()),
        None => dist::pack(&dist::target_dir(), true)?.deb,
    };
    let Some(deb) = built else { return Ok(Some("dpkg-deb is not installed")) };
    println!("{}", bed.state()?);
    bed.put(&deb)?;
    for (name, script) in CHECKS {
        match bed.run(script) {
            Ok(said) => println!("ok: {name}{said}"),
            Err(error) => {
                bail!("{name}: {error:#}\n{}", bed.journal());
            }
        }
    }
    Ok(None)
}

/// Where commands run under systemd.
struct Bed(Vec<OsString>);

impl Bed {
    fn from_env() -> Option<Self> {
        let words = env::var(EXEC).unwrap_or_default();
        let words: Vec<_> = words.split_whitespace().map(Into::into).collect();
        (!words.is_empty()).then_some(Self(words))
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut words = self.0.iter();
        let mut command = Command::new(words.next().expect("checked when it was made"));
        command.args(words).args(args).current_dir(root());
        command
    }

    /// How systemd is there.
    fn state(&self) -> Result<String> {
        let mut ask = self.command(&["systemctl", "is-system-running"]);
        let output = ask.output().with_context(|| format!("cannot run what {EXEC} says"))?;
        let state = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        ensure!(
            ["running", "degraded"].contains(&state.as_str()),
            "no systemd runs where {EXEC} says, its state is {state:?}"
        );
        Ok(format!("systemd is {state}"))
    }

    /// Puts the package there.
    fn put(&self, deb: &Path) -> Result<()> {
        let file = File::open(deb).with_context(|| format!("cannot read {}", deb.display()))?;
        let mut cat = self.command(&["sh", "-c", "cat >\"$0\"", PACKAGE]);
        let status = cat.stdin(Stdio::from(file)).status()?;
        ensure!(status.success(), "cannot write {PACKAGE}: {status}");
        Ok(())
    }

    /// Runs a script. What it says is shown, what it complains of is the error.
    fn run(&self, script: &str) -> Result<String> {
        let mut sh = self.command(&["timeout", GUARD_S, "sh", "-euc", script]);
        let output = sh.stdin(Stdio::null()).output()?;
        let words = |bytes| String::from_utf8_lossy(bytes).trim_end().replace('\n', "\n    ");
        let (said, complaint) = (words(&output.stdout), words(&output.stderr));
        ensure!(output.status.success(), "{}\n    {said}\n    {complaint}", output.status);
        Ok(if said.is_empty() { said } else { format!("\n    {said}") })
    }

    /// The last that the services said.
    fn journal(&self) -> String {
        let units = ["--unit=bireme-scheduler", "--unit=bireme-worker"];
        let mut journal = self.command(&["journalctl", "--no-pager", "--lines=40"]);
        let output = journal.args(units).output();
        output.map_or_else(|_| String::new(), |it| String::from_utf8_lossy(&it.stdout).into())
    }
}

//! A process that is watched, and gone when nobody watches it any more.

use std::fs::File;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process;

use super::{cores, family};

/// How long another process is waited for, unless it has much to do.
pub(crate) const GUARD: Duration = Duration::from_mins(1);
/// How often is looked at what nobody tells of.
pub(crate) const LOOK: Duration = Duration::from_millis(5);
/// Lines of a process's log that an error quotes.
const LAST_LINES: usize = 5;

/// A process of ours: killed and reaped with all below it when dropped, if it has not ended before.
#[derive(Debug)]
pub(crate) struct Child {
    name: String,
    process: process::Child,
    pid: Pid,
    stdout: Lines<BufReader<process::ChildStdout>>,
    log: PathBuf,
}

/// Where a daemon listens, as its first line tells.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Ready {
    pub(crate) grpc: SocketAddr,
    pub(crate) http: SocketAddr,
}

impl Child {
    /// Starts a process, on one core if that is asked for. What it complains of goes to `NAME.log` in `dir`.
    pub(crate) fn spawn(
        name: &str,
        mut command: Command,
        dir: &Path,
        core: Option<usize>,
    ) -> Result<Self> {
        let log = dir.join(format!("{name}.log"));
        let file = File::options().create(true).append(true).open(&log);
        let file = file.with_context(|| format!("cannot write {}", log.display()))?;
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(file);
        let mut command = process::Command::from(command);
        let mut spawn = || command.kill_on_drop(true).spawn();
        let spawned = match core {
            Some(core) => cores::on(core, spawn)?,
            None => spawn(),
        };
        let mut process = spawned.with_context(|| format!("cannot start {name}"))?;
        let pid = process.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        let pid = pid.context("a process that was not waited for has an id")?;
        let stdout = process.stdout.take().context("stdout is a pipe")?;
        Ok(Self {
            name: name.to_owned(),
            process,
            pid,
            stdout: BufReader::new(stdout).lines(),
            log,
        })
    }

    /// What it is called here.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// The process id of the daemon proper, where this is its supervisor.
    pub(crate) fn daemon(&self) -> u32 {
        family::daemon(self.pid())
    }

    /// The next line that it prints.
    pub(crate) async fn line(&mut self) -> Result<String> {
        let line = guarded(&format!("a line from {}", self.name), self.stdout.next_line()).await?;
        match line? {
            Some(line) => Ok(line),
            None => bail!("{} printed nothing more; {}", self.name, self.complaint()),
        }
    }

    /// Everything else that it prints, until it prints nothing more.
    pub(crate) async fn rest(&mut self) -> Result<String> {
        let mut text = String::new();
        let all = async {
            while let Some(line) = self.stdout.next_line().await? {
                text.push_str(&line);
                text.push('\n');
            }
            anyhow::Ok(())
        };
        guarded(&format!("what {} prints", self.name), all).await??;
        Ok(text)
    }

    /// The line by which a daemon says that it listens.
    pub(crate) async fn ready(&mut self) -> Result<Ready> {
        let line = self.line().await?;
        parse_ready(&line).with_context(|| format!("{} printed {line:?}", self.name))
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        if self.is_reaped() {
            bail!("{} has ended and cannot be signalled", self.name);
        }
        kill_process(self.pid, signal).with_context(|| format!("cannot signal {}", self.name))
    }

    /// Waits for the end.
    pub(crate) async fn exit(&mut self) -> Result<ExitStatus> {
        let status = guarded(&format!("the end of {}", self.name), self.process.wait()).await?;
        status.with_context(|| format!("cannot reap {}", self.name))
    }

    /// Asks a daemon to end and waits until it has, which must not be in failure.
    pub(crate) async fn stop(&mut self) -> Result<()> {
        self.signal(Signal::TERM)?;
        let status = self.exit().await?;
        if !status.success() {
            bail!("{} ended with {status}; {}", self.name, self.complaint());
        }
        Ok(())
    }

    /// Its end was waited for, and its number may be another's.
    fn is_reaped(&self) -> bool {
        self.process.id().is_none()
    }

    /// All that it wrote to stderr.
    pub(crate) fn log(&self) -> String {
        std::fs::read(&self.log)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    /// The end of its log, for an error.
    pub(crate) fn complaint(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        let last = lines.get(lines.len().saturating_sub(LAST_LINES)..).unwrap_or_default();
        if last.is_empty() {
            return "its log is empty".to_owned();
        }
        format!("its log ends with:\n{}", last.join("\n"))
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if !self.is_reaped() {
            family::end(self.pid());
        }
    }
}

/// Waits for something that another process must do, but not for ever.
pub(crate) async fn guarded<T>(what: &str, wait: impl Future<Output = T>) -> Result<T> {
    within(GUARD, what, wait).await
}

/// The same with another limit.
pub(crate) async fn within<T>(
    limit: Duration,
    what: &str,
    wait: impl Future<Output = T>,
) -> Result<T> {
    tokio::time::timeout(limit, wait)
        .await
        .map_err(|_| anyhow!("waited {} s for {what} in vain", limit.as_secs()))
}

/// Waits until something can be seen of which nobody tells.
pub(crate) async fn until(what: &str, holds: impl Fn() -> bool) -> Result<()> {
    let looks = async {
        let mut looks = tokio::time::interval(LOOK);
        while !holds() {
            looks.tick().await;
        }
    };
    guarded(what, looks).await
}

/// Reads `ready grpc=ADDR http=ADDR`.
fn parse_ready(line: &str) -> Result<Ready> {
    let words: Vec<&str> = line.split(' ').collect();
    let [ready, grpc, http] = words.as_slice() else { bail!("three words were expected") };
    let address = |word: &str, name: &str| {
        let address = word.strip_prefix(name).and_then(|rest| rest.strip_prefix('='));
        address
            .with_context(|| format!("{name}=ADDR was expected"))?
            .parse()
            .map_err(anyhow::Error::new)
    };
    if *ready != "ready" {
        bail!("`ready` was expected");
    }
    Ok(Ready { grpc: address(grpc, "grpc")?, http: address(http, "http")? })
}

/// Ends when somebody wants this program to end.
pub(crate) async fn interrupted() -> io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut terminate, mut interrupt) =
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::select! {
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;

    use super::*;

    fn shell(script: &str, dir: &Path) -> Child {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Child::spawn("shell", command, dir, None).unwrap()
    }

    #[test]
    fn the_ready_line_is_read_strictly() {
        let ready = parse_ready("ready grpc=127.0.0.1:5 http=[::1]:6").unwrap();
        assert_eq!(ready.grpc, "127.0.0.1:5".parse().unwrap());
        assert_eq!(ready.http, "[::1]:6".parse().unwrap());
        for line in [
            "",
            "ready grpc=127.0.0.1:5",
            "ready http=[::1]:6 grpc=127.0.0.1:5",
            "ready grpc=x http=y",
        ] {
            assert!(parse_ready(line).is_err(), "{line}");
        }
    }

    #[tokio::test]
    async fn the_end_is_waited_for_and_the_log_is_quoted() {
        let dir = tempfile::tempdir().unwrap();
        let mut child = shell("echo one; echo wrong >&2; exit 3", dir.path());
        assert_eq!(child.line().await.unwrap(), "one");
        let error = child.line().await.unwrap_err().to_string();
        assert_eq!(error, "shell printed nothing more; its log ends with:\nwrong");
        assert_eq!(child.exit().await.unwrap().code(), Some(3));
    }

    #[tokio::test]
    async fn a_signal_reaches_its_process() {
        let dir = tempfile::tempdir().unwrap();
        let mut child = shell("echo up; exec sleep 600", dir.path());
        child.line().await.unwrap();
        child.signal(Signal::KILL).unwrap();
        assert_eq!(child.exit().await.unwrap().signal(), Some(9));
    }

    #[tokio::test]
    async fn whoever_is_dropped_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let child = shell("exec sleep 600", dir.path());
        let proc = PathBuf::from(format!("/proc/{}", child.pid()));
        assert!(proc.exists());
        drop(child);
        assert!(!proc.exists());
    }
}

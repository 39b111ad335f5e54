//! Starts one process and looks after it until it is gone.

use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};

use bireme_core::{AttemptId, Exit, limits};
use bireme_executor::{Mark, Reached, Seal, variables};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::Command;
use tokio::sync::{Notify, mpsc};
use tokio::time::{sleep, timeout};

use super::ear::Ear;
use super::ends::Death;
use super::place::Place;
use super::running::Running;
use crate::executor::command::tail::Tail;
use crate::logs::{Stream, Writer};
use crate::sync::lock;

/// Whose processes a keeper looks after.
pub(crate) trait Owner: Send + Sync + 'static {
    /// Where processes find their worker.
    fn place(&self) -> &Place;

    /// A command that starts a process.
    fn command(&self, number: u64) -> std::process::Command;

    /// Whether a process is one of this program's own and like the others, so that it can be copied from another.
    fn can_be_forked(&self, number: u64) -> bool;

    /// A process was started.
    fn started(&self, number: u64, pid: Option<u32>);

    /// Whether a process has come back.
    fn has_come_back(&self, number: u64) -> bool;

    /// Where is kept what a process prints: by an attempt that has `ended`, or by what it runs when it has come so far.
    fn writer(
        &self,
        number: u64,
        ended: Option<AttemptId>,
        reached: Option<Reached>,
    ) -> Option<Arc<Writer>>;

    /// A process has ended and all that it said has been heard.
    fn bury(self: &Arc<Self>, number: u64, death: Death);
}

/// What a keeper is given.
#[derive(Debug)]
pub(crate) struct Post {
    /// The process's number.
    pub(crate) number: u64,
    pub(crate) token: String,
    /// Signals that its process is to be sent.
    pub(crate) wanted: mpsc::Receiver<Signal>,
    /// Told when its stream is over.
    pub(crate) over: Arc<Notify>,
}

/// A process and what it prints.
struct Kept {
    process: Running,
    group: Option<Pid>,
    mark: Mark,
    seal: Seal,
}

/// All of a process's life.
pub(crate) async fn keep<O: Owner>(shared: Arc<O>, mut post: Post) {
    let (owner, number, token) = (Arc::clone(&shared), post.number, post.token.clone());
    let started = shared.place().starter().run(move || start(&owner, number, &token)).await;
    let death = match started.flatten() {
        Ok(kept) => kept.look_after(&shared, &mut post).await,
        Err(error) => Death { exit: Err(error.to_string()), last_lines: Vec::new(), reached: None },
    };
    shared.bury(post.number, death);
}

fn start<O: Owner>(shared: &Arc<O>, number: u64, token: &str) -> io::Result<Kept> {
    let (mark, seal) = shared.place().admit(number, token)?;
    let mut command = shared.command(number);
    command
        .env(variables::SOCKET, shared.place().socket())
        .env(variables::TOKEN_FILE, shared.place().token(number))
        .env(variables::MARK, shared.place().mark(number))
        .env(variables::NUMBER, number.to_string())
        .env(variables::PARENT, std::process::id().to_string());
    let (forks, can_be_forked) = (shared.place().forks(), shared.can_be_forked(number));
    let forked = if can_be_forked { forks.fork(&command).transpose()? } else { None };
    let is_started = forked.is_none();
    let process = forked.map_or_else(|| spawn(command), |forked| Ok(Running::Forked(forked)))?;
    shared.started(number, process.id());
    if can_be_forked && is_started {
        forks.prepare(shared.command(number));
    }
    let group = process.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
    Ok(Kept { process, group, mark, seal })
}

fn spawn(command: std::process::Command) -> io::Result<Running> {
    let child = Command::from(command)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()?;
    Ok(Running::Started(child))
}

impl Kept {
    async fn look_after<O: Owner>(mut self, shared: &Arc<O>, post: &mut Post) -> Death {
        let tails = [Mutex::new(Tail::default()), Mutex::new(Tail::default())];
        let [out_tail, err_tail] = &tails;
        let [out, err] = self.process.take_pipes();
        let (mark, seal, number) = (&self.mark, self.seal, post.number);
        let ear = |stream| Ear { shared, number, mark, seal, stream };
        let (out_ear, err_ear) = (ear(Stream::Stdout), ear(Stream::Stderr));
        let status = {
            let listening = async {
                tokio::join!(out_ear.listen(out, out_tail), err_ear.listen(err, err_tail))
            };
            tokio::pin!(listening);
            let (status, heard) =
                until_ended(&mut self.process, self.group, &**shared, post, &mut listening).await;
            // Whatever it left running in its group goes with it, and lets go of the pipes and the socket.
            signal(self.group, Signal::KILL);
            let last_words = async {
                if !heard {
                    listening.await;
                }
                if shared.has_come_back(post.number) {
                    post.over.notified().await;
                }
            };
            // What does not come by then is held open by somebody else.
            let _ = timeout(limits::EXECUTOR_LAST_WORDS.to_std(), last_words).await;
            status
        };
        let last_lines =
            tails.into_iter().flat_map(|tail| std::mem::take(&mut *lock(&tail)).lines()).collect();
        let reached = self.mark.get().ok().flatten();
        Death { exit: status.map(exit).map_err(|error| error.to_string()), last_lines, reached }
    }
}

/// Waits for the end of a process, and brings it about where that is wanted. Also says whether `listening` is over.
async fn until_ended(
    process: &mut Running,
    group: Option<Pid>,
    shared: &impl Owner,
    post: &mut Post,
    listening: &mut (impl Future<Output = ((), ())> + Unpin),
) -> (io::Result<ExitStatus>, bool) {
    let late = sleep(limits::EXECUTOR_START.to_std());
    tokio::pin!(late);
    let (mut heard, mut judged) = (false, false);
    loop {
        tokio::select! {
            status = process.wait() => return (status, heard),
            Some(wanted) = post.wanted.recv() => signal(group, wanted),
            _ = &mut *listening, if !heard => heard = true,
            () = &mut late, if !judged => {
                judged = true;
                if !shared.has_come_back(post.number) {
                    let limit = limits::EXECUTOR_START;
                    tracing::warn!(executor = post.number, %limit, "executor process does not come back in time, killing it");
                    signal(group, Signal::KILL);
                }
            }
        }
    }
}

/// Sends a signal to a group. That the group is gone already is no error.
fn signal(group: Option<Pid>, signal: Signal) {
    if let Some(group) = group {
        let _ = kill_process_group(group, signal);
    }
}

fn exit(status: ExitStatus) -> Exit {
    Exit { code: status.code().unwrap_or(0), signal: status.signal().unwrap_or(0) }
}

//! Commands: a process of its own for each attempt, in a process group that is gone when the attempt has ended.

mod child;
mod files;
mod program;
mod tail;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use bireme_core::graph::Runtime;
use bireme_core::protocol::Timing;
use bireme_core::{AttemptId, ErrorClass, Exit, Reason, TaskError, Value, limits};
use tokio::runtime::Handle;
use tokio::sync::{Notify, Semaphore, oneshot};

use self::child::{Child, Ran};
use self::files::Place;
use super::payload::{self, Capture, Work, malformed};
use super::relay::{End, Relay};
use super::{Executor, Job, Kill};
use crate::clock::Clock;
use crate::failure::failure;
use crate::registry::Outputs;
use crate::rpc::payload::decode;
use crate::sync::lock;

/// Runs commands.
#[derive(Debug)]
pub(crate) struct Commands {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    relay: Arc<Relay>,
    runtime: Handle,
    clock: Clock,
    room: Semaphore,
    table: Mutex<Table>,
    /// An attempt has left the table.
    left: Notify,
}

/// Attempts that were started and have not ended, each with the way to end it until that is used.
#[derive(Debug, Default)]
struct Table {
    running: BTreeMap<AttemptId, Option<oneshot::Sender<Kill>>>,
    closed: bool,
}

impl Commands {
    /// `runtime` looks after the processes.
    pub(crate) fn new(relay: Arc<Relay>, runtime: Handle, clock: Clock) -> Self {
        let room = Semaphore::new(limits::COMMANDS);
        let (table, left) = (Mutex::default(), Notify::new());
        Self { shared: Arc::new(Shared { relay, runtime, clock, room, table, left }) }
    }

    /// Kills everything and waits until no process is left.
    pub(crate) async fn close(&self) {
        self.kill_all();
        while !lock(&self.shared.table).running.is_empty() {
            self.shared.left.notified().await;
        }
    }

    /// Kills everything, and lets nothing start any more.
    fn kill_all(&self) {
        let mut table = lock(&self.shared.table);
        table.closed = true;
        for sender in table.running.values_mut().filter_map(Option::take) {
            // Whoever does not listen has ended.
            let _ = sender.send(Kill::AT_ONCE);
        }
    }
}

impl Executor for Commands {
    fn start(&self, job: Job) {
        if let Some(killed) = self.shared.enter(&job) {
            self.shared.runtime.spawn(Arc::clone(&self.shared).work(job, killed));
        }
    }

    fn kill(&self, attempt: AttemptId, kill: Kill) {
        let mut table = lock(&self.shared.table);
        if let Some(sender) = table.running.get_mut(&attempt).and_then(Option::take) {
            let _ = sender.send(kill);
        }
    }
}

impl Shared {
    /// Puts an attempt into the table, before anybody could ask for its end; `None` if nothing starts any more.
    fn enter(&self, job: &Job) -> Option<oneshot::Receiver<Kill>> {
        let (sender, receiver) = oneshot::channel();
        let mut table = lock(&self.table);
        if table.closed {
            return None;
        }
        table.running.insert(job.attempt(), Some(sender));
        Some(receiver)
    }

    /// Runs an attempt, and those that follow it.
    async fn work(self: Arc<Self>, mut job: Job, mut killed: oneshot::Receiver<Kill>) {
        loop {
            let end = Box::pin(self.attempt(job, killed)).await;
            lock(&self.table).running.remove(&end.attempt);
            self.left.notify_one();
            let mut entered = None;
            let next = self.relay.end(end, |next| {
                if next.execution.runtime == Runtime::Command {
                    entered = self.enter(next);
                }
                entered.is_some()
            });
            let (Some(next), Some(receiver)) = (next, entered) else { return };
            (job, killed) = (next, receiver);
        }
    }

    async fn attempt(&self, job: Job, mut killed: oneshot::Receiver<Kill>) -> End {
        let _room = tokio::select! {
            biased;
            room = self.room.acquire() => room,
            kill = &mut killed => return End::failed(&job, reason(kill)),
        };
        let started = self.clock.now();
        let outcome = run(&job, &mut killed).await;
        let timing = Timing {
            wait: started.since(job.handed),
            run: self.clock.now().since(started),
            ..Timing::default()
        };
        let attempt = job.attempt();
        End { attempt, resources: job.execution.resources, outcome, timing }
    }
}

/// Why an attempt was killed; the sender is dropped unused only with the whole executor.
fn reason(kill: Result<Kill, oneshot::error::RecvError>) -> Box<TaskError> {
    kill.unwrap_or(Kill::AT_ONCE).error()
}

async fn run(job: &Job, killed: &mut oneshot::Receiver<Kill>) -> Result<Outputs, Box<TaskError>> {
    let command = match decode(&job.execution.payload)?.work {
        Work::Command(command) => command,
        Work::Native(_) | Work::Other(_) => {
            return Err(malformed("payload.work is no command, but the task's class says so"));
        }
    };
    let stdin = match &command.stdin {
        Some(template) => Some(files::content(template, job, "stdin")?),
        None => None,
    };
    let place = Place::prepare(&command, job).await?;
    let child = Child::spawn(&command, place.path(), stdin).await;
    let outcome = match child {
        Ok(child) => {
            let ran = child.run(killed).await;
            finish(&command, ran, &place, job.execution.outputs).await
        }
        Err(error) => Err(error),
    };
    place.clear().await;
    outcome
}

/// What a command that has ended made, or why it failed.
async fn finish(
    command: &payload::Command,
    ran: Ran,
    place: &Place,
    wanted: u16,
) -> Result<Outputs, Box<TaskError>> {
    let failed = |mut error: Box<TaskError>, ran: &Ran| {
        error.exit = Some(ran.exit);
        error.last_lines.clone_from(&ran.last_lines);
        Err(error)
    };
    if let Some(kill) = ran.killed {
        return failed(kill.error(), &ran);
    }
    if ran.too_long {
        let message = format!(
            "standard output is longer than {} bytes; write a file elsewhere or split the work",
            limits::COMMAND_OUTPUT_BYTES
        );
        let error = failure(ErrorClass::Store, Reason::ValueTooLarge, message);
        return failed(error, &ran);
    }
    if ran.exit.signal != 0 || !command.ok_exit.contains(&ran.exit.code) {
        return failed(blame(command, ran.exit), &ran);
    }
    let mut outputs = Outputs::new();
    if command.stdout == Capture::Value {
        outputs.push(Value::raw(ran.stdout));
    }
    outputs.extend(place.outputs(&command.output_globs).await?);
    if outputs.is_empty() {
        outputs.push(Value::none());
    }
    if outputs.len() != usize::from(wanted) {
        let message = format!(
            "the command left {} outputs, the task's class declares {wanted}; correct the globs {:?}",
            outputs.len(),
            command.output_globs
        );
        return Err(failure(ErrorClass::User, Reason::CommandFailed, message));
    }
    Ok(outputs)
}

fn blame(command: &payload::Command, exit: Exit) -> Box<TaskError> {
    let program = command.argv.first().map_or("", String::as_str);
    if exit.signal != 0 {
        let message = format!("{program:?} was killed by signal {}", exit.signal);
        return failure(ErrorClass::ProcessDied, Reason::ProcessDied, message);
    }
    let message = format!("{program:?} ended with exit code {}", exit.code);
    failure(ErrorClass::User, Reason::CommandFailed, message)
}

#[cfg(test)]
mod tests;

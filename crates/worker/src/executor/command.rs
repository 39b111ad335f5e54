//! Commands: a process of its own for each attempt, in a process group that is gone when the attempt has ended.
//!
//! A thread starts the process, feeds it, reads what it prints and waits for it: a hand-over between threads would cost a
//! tenth of what a short command does.

mod bell;
mod child;
mod files;
mod pipes;
mod program;
mod reap;
mod scratch;
pub(crate) mod tail;

use std::sync::Arc;

use bireme_core::graph::Runtime;
use bireme_core::protocol::Timing;
use bireme_core::{AttemptId, ErrorClass, Exit, Reason, TaskError, Value, limits};

use self::bell::Bell;
use self::child::{Child, Ran};
use self::files::Place;
use self::pipes::READ_BYTES;
pub(crate) use self::scratch::Scratch;
use super::crew::{Crew, Seat, Trade};
use super::environment::Environment;
use super::payload::{self, Capture, Work, malformed};
use super::relay::Relay;
use super::{Executor, Job, Kill};
use crate::clock::Clock;
use crate::failure::failure;
use crate::logs::Logs;
use crate::registry::Outputs;
use crate::rpc::payload::decode;

/// Runs commands.
#[derive(Debug)]
pub(crate) struct Commands {
    crew: Crew<Shell>,
}

/// What commands find when they come.
#[derive(Debug)]
pub(crate) struct Shell {
    pub(crate) clock: Clock,
    pub(crate) environment: Arc<Environment>,
    pub(crate) logs: Arc<Logs>,
    pub(crate) scratch: Scratch,
}

/// Where a thread reads to.
#[derive(Debug)]
pub(crate) struct Buffer(Box<[u8]>);

impl Default for Buffer {
    fn default() -> Self {
        Self(vec![0; READ_BYTES].into())
    }
}

impl Commands {
    pub(crate) fn new(relay: Arc<Relay>, shell: Shell) -> Self {
        let clock = shell.clock;
        Self { crew: Crew::new(shell, relay, clock) }
    }

    /// Commands of a worker of a test.
    #[cfg(test)]
    pub(crate) fn alone(relay: Arc<Relay>, clock: Clock) -> Self {
        let directory = std::env::temp_dir();
        let environment =
            Arc::new(Environment::new("w".to_owned(), &bireme_core::Resources::one_cpu()));
        let logs = Logs::new(directory.clone(), clock);
        let scratch = Scratch::create(&directory).expect("a directory can be made");
        Self::new(relay, Shell { clock, environment, logs, scratch })
    }

    /// Kills everything and waits until no process is left.
    pub(crate) async fn close(&self) {
        self.crew.close();
        self.crew.left().await;
    }
}

impl Executor for Commands {
    fn start(&self, job: Job) {
        self.crew.start(job);
    }

    fn kill(&self, attempt: AttemptId, kill: Kill) {
        self.crew.kill(attempt, kill);
    }
}

impl Trade for Shell {
    type Bell = Bell;
    type Kept = Buffer;

    const THREAD: &'static str = "command";
    const THREADS: usize = limits::COMMANDS;

    fn takes(runtime: &Runtime) -> bool {
        *runtime == Runtime::Command
    }

    fn run(
        &self,
        seat: &Seat<Bell>,
        Buffer(buffer): &mut Buffer,
        job: &Job,
        timing: &mut Timing,
    ) -> Result<Outputs, Box<TaskError>> {
        let command = match decode(&job.execution.payload)?.work {
            Work::Command(command) => command,
            Work::Native(_) | Work::Other(_) | Work::Wasm(_) => {
                return Err(malformed("payload.work is no command, but the task's class says so"));
            }
        };
        files::check_inputs(job)?;
        let stdin = match &command.stdin {
            Some(template) => Some(files::content(template, job, "stdin")?),
            None => None,
        };
        let mut place = Place::prepare(&command, job, &self.scratch)?;
        let variables = program::variables(&command, &self.environment, &job.execution);
        let logged = [command.stdout, command.stderr].contains(&Capture::LastLines);
        let log = logged.then(|| self.logs.open(job.attempt()));
        let child = Child::spawn(&command, variables, place.path(), stdin, log.as_ref(), buffer)?;
        let ran = child.run(seat, self.clock, job.execution.resources.memory_bytes);
        if ran.is_alone {
            place.leave();
        }
        (timing.cpu, timing.peak_bytes) = (ran.usage.cpu, ran.usage.peak_bytes);
        finish(&command, ran, &place, job.execution.outputs)
    }
}

/// What a command that has ended made, or why it failed.
fn finish(
    command: &payload::Command,
    mut ran: Ran,
    place: &Place<'_>,
    wanted: u16,
) -> Result<Outputs, Box<TaskError>> {
    let failed = |mut error: Box<TaskError>, ran: &mut Ran| {
        error.exit = Some(ran.exit);
        error.last_lines = ran.heard.last_lines();
        Err(error)
    };
    if let Some(kill) = ran.killed {
        return failed(kill.error(), &mut ran);
    }
    if let Some(bloat) = ran.bloat {
        return failed(bloat.error("the command"), &mut ran);
    }
    if ran.too_long {
        let message = format!(
            "standard output is longer than {} bytes; write a file elsewhere or split the work",
            limits::COMMAND_OUTPUT_BYTES
        );
        let error = failure(ErrorClass::Store, Reason::ValueTooLarge, message);
        return failed(error, &mut ran);
    }
    if ran.exit.signal != 0 || !command.ok_exit.contains(&ran.exit.code) {
        return failed(blame(command, ran.exit), &mut ran);
    }
    let mut outputs = Outputs::new();
    if command.stdout == Capture::Value {
        outputs.push(Value::raw(ran.heard.value));
    }
    outputs.extend(files::collect(place.path(), &command.output_globs)?);
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

//! What can be typed.

mod actor;
mod array;
mod cluster;
mod graph;
mod param;
mod selector;
mod session;
mod submit;
mod task;

use std::num::NonZeroU32;
use std::path::PathBuf;

use bireme_daemon::logging::Directives;
use bireme_daemon::units;
use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};

pub(crate) use actor::{
    Actor, ActorArg, ActorCall, ActorCreate, ActorFilter, ActorList, ActorLogs, ActorMove, ActorTop,
};
pub(crate) use array::Array;
pub(crate) use cluster::{Shutdown, Token, Worker, Workers};
pub(crate) use graph::{Graph, GraphCancel, GraphWait};
pub(crate) use param::Param;
pub(crate) use selector::{TaskArg, WorkerArg};
pub(crate) use session::{OfSession, Session, SessionAttach};
pub(crate) use submit::{Needs, RowsArgs, Setting, Submit};
pub(crate) use task::{ResultGet, Results, Task, TaskLogs, Tasks};

/// Runs graphs of tasks on a cluster, and looks at both
///
/// What was asked for goes to standard output, everything else to standard error.
#[derive(Debug, Parser)]
#[command(name = "bireme", version, after_help = EXIT_CODES, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 done, 1 the work failed, 2 bad usage or input, \
    3 the cluster cannot be reached, does not know the token, was lost, or was not ready in time, \
    130 interrupted";

/// What every command understands.
#[derive(Args, Clone, Debug)]
pub(crate) struct Global {
    /// Address of the scheduler; without it, the one in the access file
    #[arg(long, global = true, help_heading = "Everywhere", value_name = "URL", env = "BIREME_SCHEDULER", value_hint = ValueHint::Url)]
    pub(crate) scheduler: Option<String>,
    /// Access file of the scheduler, if not in its usual place
    #[arg(long, global = true, help_heading = "Everywhere", value_name = "FILE", env = "BIREME_ACCESS_FILE", value_hint = ValueHint::FilePath)]
    pub(crate) access_file: Option<PathBuf>,
    /// Form of what goes to standard output
    #[arg(long, global = true, help_heading = "Everywhere", value_enum, default_value_t = Format::Text)]
    pub(crate) output: Format,
    /// What is logged to standard error: a level, or levels by module
    #[arg(
        long,
        global = true,
        help_heading = "Everywhere",
        value_name = "LEVEL",
        env = "BIREME_LOG",
        default_value = "error"
    )]
    pub(crate) log: Directives,
}

/// For whom output is.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Format {
    /// For programs
    Json,
    /// For people
    Text,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Create actors, call them, look into them, move them and end them
    #[command(subcommand)]
    Actor(Actor),
    /// Print a script that completes commands in a shell
    #[command(after_help = "Example: bireme completions bash > /etc/bash_completion.d/bireme")]
    Completions {
        /// For which shell
        shell: clap_complete::Shell,
    },
    /// Look at graphs, wait for them, and end them
    #[command(subcommand)]
    Graph(Graph),
    /// Start a cluster in this process, which others can use too, or run a job on one of its own
    ///
    /// The cluster ends with this process, at Ctrl-C or by `bireme shutdown`. Where it is and its access file are printed once
    /// it is ready.
    #[command(
        after_help = "Examples:\n  bireme local --workers 4\n  bireme local run wordcount.toml"
    )]
    Local(Local),
    /// Read outputs of tasks
    #[command(subcommand)]
    Result(Results),
    /// Run a job on the cluster, and print its results
    #[command(after_help = "Example: bireme run wordcount.toml --param files='docs/*.md'")]
    Run(Run),
    /// List sessions, and come back to those that were given a name
    #[command(subcommand)]
    Session(Session),
    /// End the scheduler, and the workers if asked
    #[command(after_help = "Example: bireme shutdown --workers")]
    Shutdown(Shutdown),
    /// Show how the cluster is
    #[command(after_help = "Example: bireme status --output json")]
    Status,
    /// Run a command on the cluster, once or for each of many rows
    ///
    /// Prints the number of the graph at once; the tasks go on without this command. In the words of the command, in values of
    /// `--env` and in `--stdout`, `{row}` is the number of the task: that of `--array`, else counted from 0. With `--each-line`,
    /// `{line}` is the line; with `--each-file`, `{file}` is the absolute path, `{file.name}` its last part and `{file.stem}`
    /// that without its extension. Other braces stay as they are. The same are the variables `BIREME_ROW`, `BIREME_LINE` and
    /// `BIREME_FILE` of the command's environment. Tasks are called `NAME`, or `NAME[ROW]` where there are rows.
    #[command(after_help = SUBMIT_EXAMPLES)]
    Submit(Box<Submit>),
    /// Look at tasks, and cancel or retry them
    #[command(subcommand)]
    Task(Task),
    /// List tasks
    #[command(after_help = "Example: bireme tasks --graph 7.1 --state failed")]
    Tasks(Tasks),
    /// Look at tokens, and make them
    #[command(subcommand)]
    Token(Token),
    /// Look at workers, and send them away
    #[command(subcommand)]
    Worker(Worker),
    /// List the workers, or wait for them
    #[command(after_help = "Example: bireme workers --wait 4 --timeout 1m")]
    Workers(Workers),
}

const SUBMIT_EXAMPLES: &str = "Examples:
  bireme submit --cpus 4 -- make -C /shared/src
  bireme submit --array 1-100 --name sim -- ./simulate --seed {row}
  bireme submit --each-file 'in/*.txt' --stdout out/{file.stem}.sorted -- sort {file}";

/// A cluster in this process.
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Local {
    #[command(flatten)]
    pub(crate) size: LocalSize,
    #[command(subcommand)]
    pub(crate) command: Option<LocalCommand>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum LocalCommand {
    /// Run a job on a cluster in this process that nobody else can use, and print its results
    #[command(after_help = "Example: bireme local run wordcount.toml --workers 4")]
    Run(LocalRun),
}

/// A job to be run.
#[derive(Args, Debug)]
pub(crate) struct Job {
    /// The job file; docs/guides/job-files.md tells how to write one
    #[arg(value_name = "JOB.toml", value_hint = ValueHint::FilePath)]
    pub(crate) job: PathBuf,
    /// Set a parameter of the job; may be given several times
    #[arg(long = "param", value_name = "NAME=VALUE")]
    pub(crate) params: Vec<Param>,
}

/// A job to be run on the cluster.
#[derive(Args, Debug)]
pub(crate) struct Run {
    #[command(flatten)]
    pub(crate) job: Job,
    /// Print the number of the graph and come back at once; the job goes on without this command
    #[arg(long)]
    pub(crate) detach: bool,
    #[command(flatten, next_help_heading = "Session")]
    pub(crate) session: OfSession,
}

/// A job to be run, and the cluster to run it on.
#[derive(Args, Debug)]
pub(crate) struct LocalRun {
    #[command(flatten)]
    pub(crate) job: Job,
    #[command(flatten)]
    pub(crate) size: LocalSize,
}

/// How large a cluster in this process is.
#[derive(Args, Debug)]
pub(crate) struct LocalSize {
    /// How many workers to start
    #[arg(long, value_name = "N", default_value = "2")]
    pub(crate) workers: NonZeroU32,
    /// Cpus of each worker; without it, those of this machine are shared out
    #[arg(long, value_name = "N")]
    pub(crate) cpus: Option<NonZeroU32>,
    /// Memory of each worker, such as 2GiB; without it, that of this machine is shared out
    #[arg(long, value_name = "SIZE", value_parser = units::bytes)]
    pub(crate) memory: Option<u64>,
}

#[cfg(test)]
mod tests;

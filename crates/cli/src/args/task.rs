//! `bireme tasks`, `bireme task` and `bireme result`

use std::path::PathBuf;

use bireme_core::Span;
use bireme_core::graph::TaskState;
use bireme_core::id::GraphId;
use bireme_daemon::units;
use clap::{Args, Subcommand, ValueHint};

use super::{TaskArg, WorkerArg, selector};

/// Which tasks are listed.
#[derive(Args, Debug)]
pub(crate) struct Tasks {
    /// Only those of this graph
    #[arg(long, value_name = "GRAPH")]
    pub(crate) graph: Option<GraphId>,
    /// Only those in this state; may be given several times
    #[arg(long = "state", value_name = "STATE", value_parser = selector::task_state())]
    pub(crate) states: Vec<TaskState>,
    /// Only those whose key begins so
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(crate) prefix: String,
    /// Only those that this worker has, or had last
    #[arg(long, value_name = "WORKER")]
    pub(crate) worker: Option<WorkerArg>,
    /// How many to list at most; 0 is all
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    pub(crate) limit: u64,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Task {
    /// Show how a task stands, with its attempts and its error
    #[command(after_help = "Example: bireme task show '7.1/fit[3]'")]
    Show {
        /// The task: GRAPH/KEY or GRAPH/INDEX
        task: TaskArg,
    },
    /// Say why a task is not running: what each worker lacks
    #[command(after_help = "Example: bireme task explain 7.1/3")]
    Explain {
        /// The task: GRAPH/KEY or GRAPH/INDEX
        task: TaskArg,
    },
    /// Tell what happened to a task, step by step
    #[command(after_help = "Example: bireme task story 7.1/3")]
    Story {
        /// The task: GRAPH/KEY or GRAPH/INDEX
        task: TaskArg,
        /// Only the last so many steps; 0 is all that are kept
        #[arg(long, value_name = "N", default_value_t = 0)]
        last: u32,
    },
    /// Print what the attempts of a task printed to the log
    ///
    /// What a command writes to its standard output is its result, which `bireme result get` prints.
    #[command(after_help = "Example: bireme task logs -f 7.1/3")]
    Logs(TaskLogs),
    /// Cancel tasks and whatever depends on them
    #[command(after_help = "Example: bireme task cancel 7.1/3 '7.1/fit[4]'")]
    Cancel {
        /// The tasks: GRAPH/KEY or GRAPH/INDEX
        #[arg(required = true, value_name = "TASK")]
        tasks: Vec<TaskArg>,
        /// How long running code may go on before it is killed
        #[arg(long, value_name = "TIME", default_value = "5s", value_parser = units::span)]
        grace: Span,
    },
    /// Try failed or cancelled tasks again
    #[command(after_help = "Example: bireme task retry --graph 7.1")]
    Retry {
        /// The tasks: GRAPH/KEY or GRAPH/INDEX
        #[arg(value_name = "TASK", required_unless_present = "graph")]
        tasks: Vec<TaskArg>,
        /// Every failed task of this graph
        #[arg(long, value_name = "GRAPH", conflicts_with = "tasks")]
        graph: Option<GraphId>,
    },
}

#[derive(Args, Debug)]
pub(crate) struct TaskLogs {
    /// The task: GRAPH/KEY or GRAPH/INDEX
    pub(crate) task: TaskArg,
    /// Go on until the task has ended
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// Only the last so many lines of what is there; 0 is all
    #[arg(long, value_name = "LINES", default_value_t = 0)]
    pub(crate) tail: u32,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Results {
    /// Print the output of a task, or write outputs to files
    ///
    /// Text, JSON and plain bytes are written as they are. With `--output json` a JSON or `MessagePack` value is shown as JSON,
    /// text as text and anything else in hexadecimal.
    #[command(
        after_help = "Examples:\n  bireme result get 7.1/total\n  bireme result get --graph 7.1 -o results/"
    )]
    Get(ResultGet),
}

#[derive(Args, Debug)]
pub(crate) struct ResultGet {
    /// The tasks: GRAPH/KEY or GRAPH/INDEX
    #[arg(value_name = "TASK", required_unless_present = "graph")]
    pub(crate) tasks: Vec<TaskArg>,
    /// Every finished task of this graph whose output is kept
    #[arg(long, value_name = "GRAPH", conflicts_with = "tasks")]
    pub(crate) graph: Option<GraphId>,
    /// Which output of each task, from 0
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) number: u16,
    /// Write to this file; or into this directory, a file named by its key for each task
    #[arg(short = 'o', long = "to", value_name = "FILE|DIR", value_hint = ValueHint::AnyPath)]
    pub(crate) to: Option<PathBuf>,
    /// Wait for a task that has not ended
    #[arg(long)]
    pub(crate) wait: bool,
    /// Write to a terminal even what is no text
    #[arg(long)]
    pub(crate) force: bool,
}

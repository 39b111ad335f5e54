//! `bireme submit`: a command, once or many times, and what each takes.

use std::path::PathBuf;

use bireme_core::Span;
use bireme_daemon::units;
use clap::{Args, ValueHint};

use super::{Array, OfSession, Param};

/// A command to be run on the cluster.
#[derive(Args, Debug)]
pub(crate) struct Submit {
    /// Program and arguments; the program is looked up on the worker
    #[arg(last = true, required = true, value_name = "COMMAND", value_hint = ValueHint::CommandWithArguments)]
    pub(crate) command: Vec<String>,
    /// Name of the graph, for people; the program's name unless given
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,

    #[command(flatten, next_help_heading = "How often")]
    pub(crate) rows: RowsArgs,
    #[command(flatten, next_help_heading = "What each task takes")]
    pub(crate) needs: Needs,
    #[command(flatten, next_help_heading = "How each task runs")]
    pub(crate) setting: Setting,
    #[command(flatten, next_help_heading = "Afterwards")]
    pub(crate) after: After,
    #[command(flatten, next_help_heading = "Session")]
    pub(crate) session: OfSession,
}

/// Of what there is a task each; one task unless given.
#[derive(Args, Debug, Default)]
pub(crate) struct RowsArgs {
    /// A task for each number: 1-100, 0-15:4 or 1,5,7-9
    #[arg(long, value_name = "NUMBERS", group = "rows")]
    pub(crate) array: Option<Array>,
    /// A task for each line of a file that is not blank; `-` is standard input
    #[arg(long, value_name = "FILE", group = "rows", value_hint = ValueHint::FilePath)]
    pub(crate) each_line: Option<PathBuf>,
    /// A task for each file that matches
    #[arg(long, value_name = "GLOB", group = "rows")]
    pub(crate) each_file: Option<String>,
}

/// What a task takes while it runs, and what happens when it fails.
#[derive(Args, Debug)]
pub(crate) struct Needs {
    /// Cpus, in whole or in part, such as 4 or 0.5
    #[arg(long, value_name = "N", default_value = "1")]
    pub(crate) cpus: String,
    /// Memory, such as 2GiB
    #[arg(long, value_name = "SIZE", value_parser = units::bytes)]
    pub(crate) memory: Option<u64>,
    /// Another resource, such as gpu=1; may be given several times
    #[arg(long = "resource", value_name = "NAME=AMOUNT")]
    pub(crate) resources: Vec<Param>,
    /// How many times a task is tried again when it fails
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) retries: u32,
    /// How many times a task is tried again when the process or worker that runs it dies
    #[arg(long, value_name = "N", default_value_t = bireme_core::retry::DEFAULT_CRASHES)]
    pub(crate) max_crashes: u32,
    /// Longest run of an attempt, such as 30s or 1h30m; no limit unless given
    #[arg(long, value_name = "TIME", value_parser = units::span)]
    pub(crate) timeout: Option<Span>,
    /// Greater runs earlier
    #[arg(long, value_name = "N", default_value_t = 0, allow_negative_numbers = true)]
    pub(crate) priority: i32,
}

/// What a command finds where it runs.
#[derive(Args, Debug, Default)]
pub(crate) struct Setting {
    /// Set a variable of the command's environment; may be given several times
    #[arg(long = "env", value_name = "NAME=VALUE")]
    pub(crate) variables: Vec<Param>,
    /// Directory to run in, which must be there on the worker; a fresh one for each task unless given
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) cwd: Option<PathBuf>,
    /// File of this machine that the command reads from its standard input; nothing unless given
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) stdin: Option<PathBuf>,
}

/// What is done once the graph is submitted.
#[derive(Args, Debug, Default)]
pub(crate) struct After {
    /// Stay until the tasks have ended, and show how they come along; exit code 1 if one failed
    #[arg(long)]
    pub(crate) wait: bool,
    /// Write what each task printed to this file of this machine, with placeholders such as {row}; `-` is standard output.
    /// This command writes them once all tasks have ended, so it waits for that. Without it, `bireme result get` reads them
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath)]
    pub(crate) stdout: Option<String>,
}

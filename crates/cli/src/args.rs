//! What can be typed.

mod param;

use std::num::NonZeroU32;
use std::path::PathBuf;

use bireme_daemon::logging::Directives;
use bireme_daemon::units;
use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};

pub(crate) use param::Param;

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
    3 the cluster cannot be reached or was lost, 130 interrupted";

/// What every command understands.
#[derive(Args, Clone, Debug)]
pub(crate) struct Global {
    /// Address of the scheduler; without it, the one in the access file
    #[arg(long, global = true, value_name = "URL", env = "BIREME_SCHEDULER", value_hint = ValueHint::Url)]
    pub(crate) scheduler: Option<String>,
    /// Access file that the scheduler wrote, if not in its usual place
    #[arg(long, global = true, value_name = "FILE", env = "BIREME_ACCESS_FILE", value_hint = ValueHint::FilePath)]
    pub(crate) access_file: Option<PathBuf>,
    /// Form of what goes to standard output
    #[arg(long, global = true, value_enum, default_value_t = Format::Text)]
    pub(crate) output: Format,
    /// What is logged to standard error: a level, or levels by module
    #[arg(long, global = true, value_name = "LEVEL", env = "BIREME_LOG", default_value = "error")]
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
    /// Print a script that completes commands in a shell
    Completions {
        /// For which shell
        shell: clap_complete::Shell,
    },
    /// Look at graphs
    #[command(subcommand)]
    Graph(Graph),
    /// Work without a cluster: one is started in this process and ends with it
    #[command(subcommand)]
    Local(Local),
    /// Run a job on the cluster, and print its results
    Run(Run),
    /// Show how the cluster is
    Status,
    /// List the workers
    Workers,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Graph {
    /// List the graphs, the latest first
    List,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Local {
    /// Run a job on a cluster in this process, and print its results
    Run(LocalRun),
}

/// A job to be run.
#[derive(Args, Debug)]
pub(crate) struct Run {
    /// The job file; docs/guides/job-files.md tells how to write one
    #[arg(value_name = "JOB.toml", value_hint = ValueHint::FilePath)]
    pub(crate) job: PathBuf,
    /// Set a parameter of the job; may be given several times
    #[arg(long = "param", value_name = "NAME=VALUE")]
    pub(crate) params: Vec<Param>,
}

/// A job to be run, and the cluster to run it on.
#[derive(Args, Debug)]
pub(crate) struct LocalRun {
    #[command(flatten)]
    pub(crate) run: Run,
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
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_grammar_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_local_run_has_two_workers_unless_told_otherwise() {
        let words = ["bireme", "local", "run", "j.toml", "--param", "a=b=c", "--output", "json"];
        let cli = Cli::try_parse_from(words).unwrap();
        assert_eq!(cli.global.output, Format::Json);
        let Command::Local(Local::Run(local)) = cli.command else { panic!("another command") };
        assert_eq!((local.workers.get(), local.cpus), (2, None));
        assert_eq!(local.run.params, [Param { name: "a".into(), value: "b=c".into() }]);
    }

    #[test]
    fn what_cannot_be_is_refused_by_name() {
        let refused = |words: &[&str]| Cli::try_parse_from(words).unwrap_err().to_string();
        assert!(refused(&["bireme", "run", "j", "--param", "a"]).contains("NAME=VALUE"));
        assert!(refused(&["bireme", "local", "run", "j", "--workers", "0"]).contains("--workers"));
        assert!(refused(&["bireme", "frobnicate"]).contains("frobnicate"));
    }
}

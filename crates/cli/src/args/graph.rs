//! `bireme graph`

use bireme_core::Span;
use bireme_core::id::GraphId;
use bireme_daemon::units;
use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub(crate) enum Graph {
    /// List the graphs, the latest first
    #[command(after_help = "Example: bireme graph list")]
    List,
    /// Show how a graph stands, group by group
    #[command(after_help = "Example: bireme graph show 7.1")]
    Show {
        /// The graph, as it was shown when it was submitted
        graph: GraphId,
    },
    /// Wait until every task of a graph has ended; exit code 1 if one failed
    #[command(after_help = "Example: bireme graph wait 7.1 --timeout 1h")]
    Wait(GraphWait),
    /// Cancel the tasks of a graph that have not ended
    #[command(after_help = "Example: bireme graph cancel 7.1 --grace 10s")]
    Cancel(GraphCancel),
    /// Drop a graph and all it holds; what still runs is cancelled
    #[command(after_help = "Example: bireme graph forget 7.1")]
    Forget {
        /// The graph
        graph: GraphId,
    },
}

#[derive(Args, Debug)]
pub(crate) struct GraphWait {
    /// The graph
    pub(crate) graph: GraphId,
    /// How long to wait, such as 30s or 1h30m; exit code 3 when that is up
    #[arg(long, value_name = "TIME", value_parser = units::span)]
    pub(crate) timeout: Option<Span>,
}

#[derive(Args, Debug)]
pub(crate) struct GraphCancel {
    /// The graph
    pub(crate) graph: GraphId,
    /// How long running code may go on before it is killed
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = units::span)]
    pub(crate) grace: Span,
    /// Why, for whoever looks at the tasks later
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(crate) reason: String,
}

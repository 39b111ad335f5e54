//! `bireme workers`, `bireme worker`, `bireme token` and `bireme shutdown`

use bireme_client::Role;
use bireme_core::Span;
use bireme_daemon::units;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand};

use super::WorkerArg;

/// Which workers are waited for.
#[derive(Args, Debug)]
pub(crate) struct Workers {
    /// Wait until so many workers run
    #[arg(long, value_name = "N")]
    pub(crate) wait: Option<usize>,
    /// How long to wait, such as 30s; exit code 3 when that is up
    #[arg(long, value_name = "TIME", value_parser = units::span, requires = "wait")]
    pub(crate) timeout: Option<Span>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Worker {
    /// Show one worker
    #[command(after_help = "Example: bireme worker show node1")]
    Show {
        /// Its name, or its number such as w3
        worker: WorkerArg,
    },
    /// Let a worker leave in order: it starts nothing more, and what only it holds is copied first
    #[command(after_help = "Example: bireme worker drain node1 --deadline 10m")]
    Drain {
        /// Its name, or its number such as w3
        worker: WorkerArg,
        /// When it leaves all the same, from now; what is lost then is made again
        #[arg(long, value_name = "TIME", value_parser = units::span)]
        deadline: Option<Span>,
        /// Why, for people
        #[arg(long, value_name = "TEXT", default_value = "")]
        reason: String,
        /// Come back at once, while it is still leaving
        #[arg(long)]
        no_wait: bool,
    },
    /// End a worker now; its tasks run elsewhere
    #[command(after_help = "Example: bireme worker stop node1 --grace 10s")]
    Stop {
        /// Its name, or its number such as w3
        worker: WorkerArg,
        /// How long running code may go on before it is killed
        #[arg(long, value_name = "TIME", default_value = "5s", value_parser = units::span)]
        grace: Span,
        /// Why, for people
        #[arg(long, value_name = "TEXT", default_value = "")]
        reason: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Token {
    /// Show what the token in use allows
    #[command(after_help = "Example: bireme token show")]
    Show,
    /// Make a token for somebody else, and print it: it cannot be shown again
    #[command(after_help = "Example: bireme token issue --role submit --name ann --ttl 30d")]
    Issue {
        /// What it allows; may be given several times, and none that one's own token does not allow
        #[arg(long = "role", value_name = "ROLE", required = true, value_parser = role())]
        roles: Vec<Role>,
        /// Whose it will be, for people and logs
        #[arg(long, value_name = "NAME", default_value = "")]
        name: String,
        /// How long it is good for, such as 12h or 30d; for ever unless given
        #[arg(long, value_name = "TIME", value_parser = units::span)]
        ttl: Option<Span>,
    },
}

/// How a cluster ends.
#[derive(Args, Debug)]
pub(crate) struct Shutdown {
    /// End the workers too; otherwise they wait for the scheduler to come back
    #[arg(long)]
    pub(crate) workers: bool,
    /// How long running code may go on before it is killed, with `--workers`
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = units::span)]
    pub(crate) grace: Span,
    /// Why, for people
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(crate) reason: String,
}

fn role() -> impl TypedValueParser<Value = Role> {
    PossibleValuesParser::new(Role::ALL.map(Role::name)).map(|name| {
        let known = Role::ALL.into_iter().find(|role| role.name() == name);
        known.expect("the parser knows no other names")
    })
}

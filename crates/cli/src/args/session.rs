//! `bireme session`, and the session that other commands work in

use bireme_core::Span;
use bireme_daemon::units;
use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub(crate) enum Session {
    /// List the sessions
    #[command(after_help = "Example: bireme session list")]
    List,
    /// Come back to a session that was left, wait until its graphs have ended, and leave it again; exit code 1 if one failed
    ///
    /// As long as this waits the session does not end, however short its time to live is.
    #[command(after_help = "Example: bireme session attach nightly --timeout 1h")]
    Attach(SessionAttach),
    /// Come back to a session that was left, and end it; what it submitted is dropped, but for detached graphs
    #[command(after_help = "Example: bireme session close nightly")]
    Close {
        /// Its name
        name: String,
    },
}

#[derive(Args, Debug)]
pub(crate) struct SessionAttach {
    /// Its name, as it was given by `--session`
    pub(crate) name: String,
    /// How long to wait for its graphs, such as 30s or 1h30m; exit code 3 when that is up
    #[arg(long, value_name = "TIME", value_parser = units::span)]
    pub(crate) timeout: Option<Span>,
}

/// The session that a command works in; one of its own, which ends with it, unless named.
#[derive(Args, Debug, Default)]
pub(crate) struct OfSession {
    /// Work in the session of this name, which is opened if there is none, and leave it behind at the end: `bireme session
    /// attach NAME` comes back to it
    #[arg(id = "session", long = "session", value_name = "NAME", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub(crate) name: Option<String>,
    /// How long the session outlives the commands that work in it, such as 12h; 60s unless given
    #[arg(id = "session-ttl", long = "session-ttl", value_name = "TIME", value_parser = units::span, requires = "session")]
    pub(crate) ttl: Option<Span>,
}

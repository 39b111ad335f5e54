//! What a scheduler is asked for: by the command line, or by a program that embeds one.

use std::path::PathBuf;

use clap::Parser;

use bireme_daemon::Common;

/// Flags of `bireme-scheduler`.
#[derive(Clone, Debug, Parser)]
#[command(name = "bireme-scheduler", version, about = "The scheduler of a Bireme cluster")]
pub struct Args {
    /// Where to listen for workers and clients; port 0 lets the system choose.
    #[arg(long, value_name = "ADDR", env = "BIREME_LISTEN", default_value = "127.0.0.1:9700")]
    pub listen: String,

    /// Where to answer `/healthz` and `/metrics`; port 0 lets the system choose.
    #[arg(long, value_name = "ADDR", env = "BIREME_HTTP", default_value = "127.0.0.1:9701")]
    pub http: String,

    /// Directory that keeps the cluster's id, the epoch, names and incarnations over a restart.
    #[arg(long, value_name = "DIR", env = "BIREME_STATE_DIR")]
    pub state_dir: Option<PathBuf>,

    /// What all daemons have.
    #[command(flatten)]
    pub common: Common,
}

/// One scheduler.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Config {
    /// Where to listen for workers and clients.
    pub listen: String,
    /// Where to answer `/healthz` and `/metrics`.
    pub http: String,
    /// What keeps the cluster's identity over a restart; `None` forgets.
    pub state_dir: Option<PathBuf>,
    /// Where to write address, cluster and token while running; `None` writes nothing.
    pub access_file: Option<PathBuf>,
    /// Tokens that others made.
    pub token_file: Option<PathBuf>,
    /// Ask nobody for a token.
    pub insecure: bool,
}

impl Default for Config {
    /// A scheduler on ports of the system's choice, for this process and whoever it tells the token.
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:0".to_owned(),
            http: "127.0.0.1:0".to_owned(),
            state_dir: None,
            access_file: None,
            token_file: None,
            insecure: false,
        }
    }
}

impl From<Args> for Config {
    fn from(args: Args) -> Self {
        let Args { listen, http, state_dir, common } = args;
        let default = || bireme_proto::access::default_path(|name| std::env::var(name).ok());
        let access_file = Some(common.access_file.unwrap_or_else(default));
        let Common { token_file, insecure, .. } = common;
        Self { listen, http, state_dir, access_file, token_file, insecure }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn every_flag_has_a_variable_and_a_key() {
        let faults = bireme_daemon::settings::audit(&Args::command());
        assert_eq!(faults, Vec::<String>::new());
    }
}

//! The flags that every daemon has.

use std::path::PathBuf;

use clap::Args;

use crate::logging::{Directives, Format};

/// Flags of both daemons; a daemon's own arguments flatten them in.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Common")]
pub struct Common {
    /// File with the cluster's address, id and token; by default in `$XDG_RUNTIME_DIR/bireme`.
    #[arg(long, value_name = "FILE", env = "BIREME_ACCESS_FILE")]
    pub access_file: Option<PathBuf>,

    /// File with tokens, one `TOKEN [ROLE,...]` a line; readable by its owner alone.
    #[arg(long, value_name = "FILE", env = "BIREME_TOKEN_FILE")]
    pub token_file: Option<PathBuf>,

    /// Let everybody who can connect do everything.
    #[arg(long, env = "BIREME_INSECURE")]
    pub insecure: bool,

    /// What to log: a level, or several `TARGET=LEVEL` separated by commas.
    #[arg(long, value_name = "LEVEL", env = "BIREME_LOG", default_value = "info")]
    pub log: Directives,

    /// How to write it; `journald` leaves out what the journal adds itself.
    #[arg(long, value_name = "FORMAT", env = "BIREME_LOG_FORMAT", default_value = "text")]
    pub log_format: Format,

    /// Configuration file (TOML): a table for each program, keys spelled like its flags.
    #[arg(long, value_name = "FILE", env = "BIREME_CONFIG")]
    pub config: Option<PathBuf>,

    /// Print every setting, its value and where it came from, and exit.
    #[arg(long, env = "BIREME_PRINT_CONFIG")]
    pub print_config: bool,
}

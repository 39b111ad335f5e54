//! Tells whoever started the daemon that it can be used: by a line on stdout, and systemd.

use std::io::{self, Write};
use std::net::SocketAddr;

use crate::Systemd;

/// Prints `ready grpc=ADDR http=ADDR` and tells systemd. To be called once, when connections are accepted.
pub fn announce(grpc: SocketAddr, http: SocketAddr, systemd: &Systemd) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "ready grpc={grpc} http={http}")?;
    out.flush()?;
    systemd.notify(&format!("READY=1\nSTATUS=listening on {grpc}"))
}

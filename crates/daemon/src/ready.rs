//! Tells whoever started the daemon how it is: a line on stdout, and systemd where it listens.

use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::net::SocketAddr as IpAddress;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// The variable in which systemd names its socket.
const NOTIFY_SOCKET: &str = "NOTIFY_SOCKET";

/// Prints `ready grpc=ADDR http=ADDR` and tells systemd. To be called once, when connections are accepted.
pub fn announce(grpc: IpAddress, http: IpAddress) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "ready grpc={grpc} http={http}")?;
    out.flush()?;
    Systemd::from_env().notify(&format!("READY=1\nSTATUS=listening on {grpc}"))
}

/// The service manager that started this process, if it wants to know how it is.
#[derive(Clone, Debug)]
pub struct Systemd {
    socket: Option<OsString>,
}

impl Systemd {
    /// The one that the environment names.
    pub fn from_env() -> Self {
        Self { socket: std::env::var_os(NOTIFY_SOCKET).filter(|path| !path.is_empty()) }
    }

    /// Sends a state, such as `STOPPING=1` or `WATCHDOG=1`; does nothing where nobody listens.
    pub fn notify(&self, state: &str) -> io::Result<()> {
        let Some(socket) = &self.socket else { return Ok(()) };
        UnixDatagram::unbound()?.send_to_addr(state.as_bytes(), &address(socket)?).map(drop)
    }
}

/// A path, or the name of an abstract socket after `@`.
fn address(socket: &OsStr) -> io::Result<SocketAddr> {
    match socket.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(socket),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(socket: &UnixDatagram) -> String {
        let mut buffer = [0; 256];
        let length = socket.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    }

    #[test]
    fn systemd_is_told_at_a_path() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        Systemd { socket: Some(path.into()) }.notify("READY=1").unwrap();
        assert_eq!(received(&socket), "READY=1");
    }

    #[test]
    fn systemd_is_told_at_an_abstract_name() {
        let name = format!("bireme-notify-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let socket = UnixDatagram::bind_addr(&address).unwrap();
        Systemd { socket: Some(format!("@{name}").into()) }.notify("STOPPING=1").unwrap();
        assert_eq!(received(&socket), "STOPPING=1");
    }

    #[test]
    fn nobody_listening_is_no_error_and_a_dead_socket_is() {
        Systemd { socket: None }.notify("READY=1").unwrap();
        let dir = tempfile::tempdir().unwrap();
        let gone = dir.path().join("gone").into_os_string();
        assert!(Systemd { socket: Some(gone) }.notify("READY=1").is_err());
    }
}

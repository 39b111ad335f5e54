//! The service manager: it hears how a daemon is, and that its event loop still turns.
//!
//! Everything here does nothing where the environment names no service manager. What is told is lost rather than waited
//! for: the loop must not hang because somebody else does.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process::Command;

use bireme_core::{Span, Time};

/// The variable in which systemd names its socket.
const NOTIFY_SOCKET: &str = "NOTIFY_SOCKET";
/// The variable with the process that is to be heard of, if it is to be one in particular.
const WATCHDOG_PID: &str = "WATCHDOG_PID";
/// The variable with the longest silence, in microseconds, that is not taken for a loop that hangs.
const WATCHDOG_USEC: &str = "WATCHDOG_USEC";

/// What a service manager puts into the environment of those who are to speak to it.
pub const VARIABLES: [&str; 3] = [NOTIFY_SOCKET, WATCHDOG_PID, WATCHDOG_USEC];

/// The service manager that started this process, if one did.
#[derive(Clone, Debug, Default)]
pub struct Systemd {
    socket: Option<OsString>,
    /// How often it is to hear of the loop.
    interval: Option<Span>,
    /// When it is to hear next.
    due: Time,
}

impl Systemd {
    /// The one that the environment names.
    pub fn from_env() -> Self {
        Self::new(|name| std::env::var_os(name))
    }

    fn new(variable: impl Fn(&str) -> Option<OsString>) -> Self {
        let socket = variable(NOTIFY_SOCKET).filter(|path| !path.is_empty());
        let number = |name| variable(name)?.to_str()?.parse::<u64>().ok();
        let is_meant = number(WATCHDOG_PID).is_none_or(|pid| pid == u64::from(std::process::id()));
        let silence = number(WATCHDOG_USEC).filter(|silence| is_meant && *silence > 0);
        // Half of it, so that one turn that comes late is forgiven.
        let interval = silence.filter(|_| socket.is_some()).map(|silence| Span(silence / 2));
        Self { socket, interval, due: Time::default() }
    }

    /// Has a child speak for this process: if this one is to be watched, the child's loop is.
    pub fn delegate(child: &mut Command) {
        let own = std::process::id().to_string();
        if std::env::var_os(WATCHDOG_PID).is_some_and(|pid| pid == *own) {
            child.env_remove(WATCHDOG_PID);
        }
    }

    /// When the loop must turn though nothing comes, so that it is not taken for one that hangs.
    pub fn due(&self) -> Option<Time> {
        self.interval.map(|_| self.due)
    }

    /// The loop has turned: says so, if it is time. To be called by the loop itself.
    pub fn turned(&mut self, now: Time) {
        if let Some(interval) = self.interval
            && self.due <= now
        {
            self.due = now + interval;
            self.tell("WATCHDOG=1");
        }
    }

    /// The daemon has begun to end.
    pub fn stopping(&self, status: &str) {
        self.tell(&format!("STOPPING=1\nSTATUS={status}"));
    }

    /// Sends a state, such as `READY=1`; an error if it does not arrive where somebody should listen.
    pub fn notify(&self, state: &str) -> io::Result<()> {
        let Some(socket) = &self.socket else { return Ok(()) };
        let sender = UnixDatagram::unbound()?;
        sender.set_nonblocking(true)?;
        sender.send_to_addr(state.as_bytes(), &address(socket)?).map(drop)
    }

    fn tell(&self, state: &str) {
        if let Err(error) = self.notify(state) {
            tracing::warn!(%error, "the service manager does not listen");
        }
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
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    fn received(socket: &UnixDatagram) -> Option<String> {
        socket.set_nonblocking(true).unwrap();
        let mut buffer = [0; 256];
        let length = socket.recv(&mut buffer).ok()?;
        Some(String::from_utf8(buffer[..length].to_vec()).unwrap())
    }

    /// A service manager's socket, and how a process that finds these variables sees it.
    fn manager(variables: &[(&str, &str)]) -> (UnixDatagram, Systemd) {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("bireme-notify-{}-{count}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let socket = UnixDatagram::bind_addr(&address).unwrap();
        let systemd = Systemd::new(|variable| {
            let other = variables.iter().find(|(name, _)| *name == variable);
            let socket = (variable == NOTIFY_SOCKET).then(|| format!("@{name}").into());
            socket.or(other.map(|(_, value)| value.into()))
        });
        (socket, systemd)
    }

    #[test]
    fn systemd_is_told_at_a_path() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        let systemd = Systemd { socket: Some(path.into()), ..Systemd::default() };
        systemd.notify("READY=1").unwrap();
        assert_eq!(received(&socket).unwrap(), "READY=1");
    }

    #[test]
    fn systemd_is_told_at_an_abstract_name() {
        let (socket, systemd) = manager(&[]);
        systemd.stopping("draining");
        assert_eq!(received(&socket).unwrap(), "STOPPING=1\nSTATUS=draining");
    }

    #[test]
    fn nobody_listening_is_no_error_and_a_dead_socket_is() {
        Systemd::default().notify("READY=1").unwrap();
        let dir = tempfile::tempdir().unwrap();
        let gone = dir.path().join("gone").into_os_string();
        let systemd = Systemd { socket: Some(gone), ..Systemd::default() };
        assert!(systemd.notify("READY=1").is_err());
        systemd.stopping("for whoever listens");
    }

    #[test]
    fn a_turning_loop_is_heard_of_at_half_the_interval() {
        let (socket, mut systemd) = manager(&[(WATCHDOG_USEC, "3000000")]);
        let at = |ms| Time::default() + Span::millis(ms);
        let mut heard = Vec::new();
        for ms in [0, 1, 1_499, 1_500, 2_999, 9_000, 10_499] {
            systemd.turned(at(ms));
            heard.extend(received(&socket).map(|state| (ms, state)));
        }
        let pings = [0, 1_500, 9_000].map(|ms| (ms, "WATCHDOG=1".to_owned()));
        assert_eq!(heard, pings);
        assert_eq!(systemd.due(), Some(at(10_500)));
    }

    #[test]
    fn only_who_is_meant_is_watched() {
        let own = std::process::id().to_string();
        let watched = |pid, silence| {
            manager(&[(WATCHDOG_PID, pid), (WATCHDOG_USEC, silence)]).1.due().is_some()
        };
        assert!(watched(&own, "1000"));
        assert!(!watched("1", "1000"));
        assert!(!watched(&own, "0") && !watched(&own, "soon"));
        let nobody = Systemd::new(|name| (name == WATCHDOG_USEC).then(|| "1000".into()));
        assert_eq!(nobody.due(), None);
    }
}

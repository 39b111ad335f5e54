//! Signals, for a process that has nothing else to wait for.

use std::io::{self, Read as _};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use bireme_core::Span;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use signal_hook::consts::{SIGCHLD, SIGINT, SIGTERM};
use signal_hook::low_level::pipe;

/// The signals that this process catches.
#[derive(Debug)]
pub(crate) struct Signals {
    child: UnixStream,
    interrupt: UnixStream,
    terminate: UnixStream,
}

impl Signals {
    /// Catches SIGCHLD, SIGINT and SIGTERM from now on.
    pub(crate) fn catch() -> io::Result<Self> {
        Ok(Self { child: catch(SIGCHLD)?, interrupt: catch(SIGINT)?, terminate: catch(SIGTERM)? })
    }

    /// Waits for a signal, or for so long; returns the number of one that asks this process to end. Children that ended may
    /// have sent one signal together.
    pub(crate) fn wait(&self, at_most: Option<Span>) -> io::Result<Option<i32>> {
        poll_any([&self.child, &self.interrupt, &self.terminate], at_most)?;
        drain(&self.child);
        let stops = [(&self.interrupt, SIGINT), (&self.terminate, SIGTERM)];
        Ok(stops.into_iter().find(|(stream, _)| drain(stream)).map(|(_, signal)| signal))
    }

    /// Waits until a child has ended, or for so long. Signals that ask this process to end stay for the next wait.
    pub(crate) fn wait_child(&self, at_most: Span) -> io::Result<()> {
        poll_any([&self.child], Some(at_most))?;
        drain(&self.child);
        Ok(())
    }
}

fn catch(signal: i32) -> io::Result<UnixStream> {
    let (near, far) = UnixStream::pair()?;
    near.set_nonblocking(true)?;
    pipe::register(signal, far)?;
    Ok(near)
}

/// Waits until something has come, or a signal, or for so long.
fn poll_any<const N: usize>(streams: [&UnixStream; N], at_most: Option<Span>) -> io::Result<()> {
    let at_most = at_most.map(|span| timespec(span.to_std()));
    match poll(&mut streams.map(|stream| PollFd::new(stream, PollFlags::IN)), at_most.as_ref()) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Whether anything had come.
fn drain(mut stream: &UnixStream) -> bool {
    let mut bytes = [0; 64];
    let mut came = false;
    while stream.read(&mut bytes).is_ok_and(|length| length > 0) {
        came = true;
    }
    came
}

fn timespec(duration: Duration) -> Timespec {
    Timespec::try_from(duration).unwrap_or(Timespec { tv_sec: i64::MAX, tv_nsec: 0 })
}

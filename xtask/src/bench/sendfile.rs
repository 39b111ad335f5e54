//! What moving bytes takes at least: `sendfile` from one file of shared memory, through TCP, into another that was used
//! before, and nothing else.

use std::fs::File;
use std::io::Write as _;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rustix::fs::sendfile;
use rustix::net::sockopt::set_tcp_congestion;
use rustix::pipe::{SpliceFlags, fcntl_setpipe_size, pipe, splice};

use crate::cluster::usage::now;

/// Where shared memory is.
const SHARED_MEMORY: &str = "/dev/shm";
/// Bytes that are taken out of the socket at a time, at most; a smaller pipe makes the pieces smaller.
const PIECE_BYTES: usize = 1 << 20;
/// The congestion control of the daemons' loopback ports.
const UNPACED: &str = "reno";

/// Two files of shared memory, neither of which has a name.
pub(super) struct Sendfile {
    source: File,
    target: File,
    length: u64,
}

impl Sendfile {
    /// Files of so many bytes.
    pub(super) fn new(length: u64) -> Result<Self> {
        let file = || tempfile::tempfile_in(SHARED_MEMORY).context("cannot use shared memory");
        let filled = || {
            let mut file = file()?;
            let piece = vec![7; PIECE_BYTES];
            let mut left = length;
            while left > 0 {
                let count = piece.len().min(usize::try_from(left)?);
                file.write_all(piece.get(..count).unwrap_or_default())?;
                left -= count as u64;
            }
            anyhow::Ok(file)
        };
        Ok(Self { source: filled()?, target: filled()?, length })
    }

    /// Sends all bytes once, from the end that accepted, as daemons do.
    pub(super) fn send(&self) -> Result<Duration> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        // As on the daemons' loopback ports: what it is compared with is not paced either.
        set_tcp_congestion(&listener, UNPACED)?;
        let address = listener.local_addr()?;
        let started = now();
        let received = thread::scope(|scope| {
            let receiver =
                scope.spawn(move || receive(&TcpStream::connect(address)?, &self.target));
            let (socket, _) = listener.accept()?;
            let mut sent = 0;
            while sent < self.length {
                let left = usize::try_from(self.length - sent)?;
                let count = sendfile(&socket, &self.source, Some(&mut sent), left)?;
                ensure!(count > 0, "the file is shorter than it was");
            }
            socket.shutdown(Shutdown::Write)?;
            receiver.join().expect("it does not panic")
        })?;
        ensure!(received == self.length, "{received} of {} bytes came", self.length);
        Ok(started.elapsed())
    }
}

/// Moves what comes into the file, over what is there, without looking at it.
fn receive(socket: &TcpStream, file: &File) -> Result<u64> {
    let (out, into) = pipe()?;
    // Where it may not be so large it is what it was.
    let _ = fcntl_setpipe_size(&into, PIECE_BYTES);
    let mut at = 0;
    loop {
        let mut count = splice(socket, None, &into, None, PIECE_BYTES, SpliceFlags::MOVE)?;
        if count == 0 {
            return Ok(at);
        }
        while count > 0 {
            count -= splice(&out, None, file, Some(&mut at), count, SpliceFlags::MOVE)?;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt as _;

    use super::*;

    #[test]
    fn every_byte_arrives() {
        let bare = Sendfile::new(3 * PIECE_BYTES as u64 + 5).unwrap();
        bare.target.write_all_at(b"other", 0).unwrap();
        assert!(bare.send().unwrap() > Duration::ZERO);
        let mut first = [0; 5];
        bare.target.read_exact_at(&mut first, 0).unwrap();
        assert_eq!(first, [7; 5]);
    }
}

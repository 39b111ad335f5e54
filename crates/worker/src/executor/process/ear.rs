//! What a process prints, kept with the attempt that printed it.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex};

use bireme_core::AttemptId;
use bireme_executor::{Mark, Reached, Seal};
use rustix::io::{ioctl_fionread, read};
use tokio::io::Interest;
use tokio::net::unix::pipe::Receiver;

use super::keeper::Owner;
use crate::executor::command::tail::Tail;
use crate::logs::{Stream, Writer};
use crate::sync::lock;

/// Looks at a pipe and at the mark, at most, before what was seen last is taken for good: a process that moves its mark all the
/// time harms nothing but the order in what it prints.
const LOOKS: usize = 64;

/// Hears one of a process's streams.
pub(super) struct Ear<'a, O> {
    pub(super) shared: &'a Arc<O>,
    pub(super) number: u64,
    pub(super) mark: &'a Mark,
    pub(super) seal: Seal,
    pub(super) stream: Stream,
}

impl<O: Owner> Ear<'_, O> {
    /// Reads to the end, keeps all of it, and the last lines in `tail`.
    pub(super) async fn listen(&self, pipe: io::Result<OwnedFd>, tail: &Mutex<Tail>) {
        let Ok(pipe) = pipe.and_then(Receiver::from_owned_fd) else { return };
        while let Ok(ready) = pipe.ready(Interest::READABLE).await {
            match pipe.try_io(|| take(&pipe, self.mark)) {
                Ok((printed, reached)) => self.keep(&printed, reached, tail).await,
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return,
                Err(_) if ready.is_read_closed() => return,
                Err(_) => {}
            }
        }
    }

    /// Keeps what was printed: the disk may take its time.
    async fn keep(&self, printed: &[u8], reached: Option<Reached>, tail: &Mutex<Tail>) {
        let parts = self.seal.parts(printed).filter_map(|(ended, part)| {
            lock(tail).push(part);
            Some((self.writer(ended, reached)?, part.to_vec()))
        });
        let parts: Vec<_> = parts.collect();
        let stream = self.stream;
        let keep = move || parts.iter().for_each(|(writer, part)| writer.write(stream, part));
        // It panics only with a bug, and says so itself.
        let _ = tokio::task::spawn_blocking(keep).await;
    }

    fn writer(&self, ended: Option<AttemptId>, reached: Option<Reached>) -> Option<Arc<Writer>> {
        self.shared.writer(self.number, ended, reached)
    }
}

/// Takes everything that lies in a pipe, and how far the process had come when all of that lay there. It would block where
/// there is nothing.
fn take(pipe: &impl AsFd, mark: &Mark) -> io::Result<(Vec<u8>, Option<Reached>)> {
    let pipe = pipe.as_fd();
    let (mut length, mut reached) = (0, mark.get()?);
    for _ in 0..LOOKS {
        let before = reached;
        length = ioctl_fionread(pipe)?;
        reached = mark.get()?;
        let started = |mark: Option<Reached>| mark.map(|mark| mark.started);
        if started(reached) == started(before) {
            break;
        }
    }
    if length == 0 {
        return Err(io::ErrorKind::WouldBlock.into());
    }
    let mut printed = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
    let mut taken = 0;
    // Nobody else reads, so that it is all there and no more is waited for.
    while let Some(rest) = printed.get_mut(taken..).filter(|rest| !rest.is_empty()) {
        match read(pipe, rest)? {
            0 => break,
            more => taken += more,
        }
    }
    printed.truncate(taken);
    Ok((printed, reached))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::thread;

    use bireme_core::id::{AttemptNo, Epoch, GraphId, TaskId};
    use bireme_executor::{Pen, Pipes};
    use rustix::event::{PollFd, PollFlags, poll};

    use super::*;

    fn attempt(index: u32) -> AttemptId {
        let task = TaskId { graph: GraphId(1), index };
        AttemptId { task, no: AttemptNo { epoch: Epoch(1), n: 1 } }
    }

    /// A process that runs attempts as fast as it can, of which one in three prints its number.
    fn process(pen: &Pen, pipes: &Pipes, mut prints_to: io::PipeWriter) {
        for number in 1..=20_000 {
            pen.set(Reached { started: u64::from(number), runs: true });
            if number % 3 == 0 {
                // At once, so that no word is heard in two parts.
                prints_to.write_all(format!("{number} ").as_bytes()).unwrap();
            }
            pipes.end(attempt(number));
        }
    }

    #[test]
    fn what_short_attempts_print_one_after_the_other_is_told_apart() {
        let directory = tempfile::tempdir().unwrap();
        let (path, seal) = (directory.path().join("mark"), Seal::new([7; Seal::BYTES]));
        let mark = Mark::create(&path, seal).unwrap();
        let pen = Pen::open(&path).unwrap();
        let (reader, writer) = io::pipe().unwrap();
        let pipes = Pipes::open([&writer], seal).unwrap();
        let process = thread::spawn(move || process(&pen, &pipes, writer));

        let mut heard = Vec::new();
        loop {
            poll(&mut [PollFd::new(&reader, PollFlags::IN)], None).unwrap();
            let Ok((printed, reached)) = take(&reader, &mark) else { break };
            for (ended, part) in seal.parts(&printed) {
                let by =
                    ended.map_or(reached.unwrap().started, |attempt| attempt.task.index.into());
                let words = str::from_utf8(part).unwrap().split_terminator(' ');
                heard.extend(words.map(|word| (word.parse::<u64>().unwrap(), by)));
            }
        }
        process.join().unwrap();
        let expected: Vec<_> = (3..=20_000).step_by(3).map(|number| (number, number)).collect();
        assert!(heard == expected, "{:?}", heard.iter().find(|(number, by)| number != by));
    }
}

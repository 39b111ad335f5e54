//! What a supervisor hands down to each life of its daemon, and the line that stays open between them.
//!
//! The daemon's standard input is a socket. The first message on it says who the daemon is and carries the descriptors that
//! outlive it. After that the supervisor asks the daemon to end by a byte, and by its own death: then the line breaks. The
//! daemon says when it is ready and when it is about to end, for whatever reason of its own; one that ends without a word
//! has died.

mod message;

use std::fs::File;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::TcpListener;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use bireme_core::id::{WorkerLife, WorkerUid};
use bireme_core::limits;
use bireme_core::protocol::PreviousLife;

/// What a daemon gets from its supervisor.
#[derive(Debug)]
pub(crate) struct Inheritance {
    /// Who it is.
    pub(crate) identity: Identity,
    /// Its directory in shared memory.
    pub(crate) pool_dir: PathBuf,
    /// How the life before ended.
    pub(crate) previous: Option<PreviousLife>,
    /// The open port for peers and clients.
    pub(crate) grpc: TcpListener,
    /// The open port for people and Prometheus.
    pub(crate) http: TcpListener,
    /// The file of the black box.
    pub(crate) black_box: OwnedFd,
}

/// Who a daemon is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Identity {
    /// The same in every life.
    pub(crate) uid: WorkerUid,
    /// New in every life.
    pub(crate) life: WorkerLife,
}

/// What one end says to the other after the first message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
enum Word {
    /// The daemon has joined its scheduler.
    Ready = b'r',
    /// The daemon is about to end, and has a reason.
    Leaving = b'l',
    /// The supervisor wants the daemon to end.
    End = b'e',
}

/// The supervisor's end of the line.
#[derive(Debug)]
pub(crate) struct Heir(UnixStream);

/// What a daemon has said by the time that it is gone.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Said {
    /// It had joined its scheduler.
    pub(crate) ready: bool,
    /// It had a reason to end.
    pub(crate) leaving: bool,
}

/// The daemon's end of the line.
#[derive(Debug)]
pub(crate) struct Lifeline(UnixStream);

/// What a daemon hears.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Heard {
    /// It is to end.
    End,
    /// Its supervisor is dead.
    Orphaned,
}

/// A line: the supervisor's end, and what is to be the daemon's standard input.
pub(crate) fn line() -> io::Result<(Heir, OwnedFd)> {
    let (near, far) = UnixStream::pair()?;
    near.set_write_timeout(Some(limits::REAP_WAIT.to_std()))?;
    Ok((Heir(near), far.into()))
}

impl Heir {
    /// Hands everything down. Waits until the daemon has read most of it.
    pub(crate) fn bequeath(&self, inheritance: &Inheritance) -> io::Result<()> {
        message::send(&self.0, inheritance)
    }

    /// Asks the daemon to end. One that does not listen any more has ended.
    pub(crate) fn ask_to_end(&self) {
        let _ = (&self.0).write_all(&[Word::End as u8]);
    }

    /// What the daemon has said, now that it is gone.
    pub(crate) fn said(self) -> Said {
        let mut said = Said::default();
        let mut words = [0; 16];
        // Not to be waited for: whoever else has the other end says nothing.
        let readable = self.0.set_nonblocking(true).and_then(|()| (&self.0).read(&mut words));
        for word in words.iter().take(readable.unwrap_or(0)) {
            said.ready |= *word == Word::Ready as u8;
            said.leaving |= *word == Word::Leaving as u8;
        }
        said
    }
}

impl Inheritance {
    /// Takes over what a supervisor hands down to this process, once.
    pub(crate) fn receive() -> io::Result<(Self, Lifeline)> {
        let line = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
        let inheritance = message::receive(&line)?;
        // The line ends where this process does, and not where its children do.
        rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
        Ok((inheritance, Lifeline(line)))
    }
}

impl Lifeline {
    /// Tells the supervisor that the daemon is ready.
    pub(crate) fn say_ready(&self) {
        self.say(Word::Ready);
    }

    /// Tells the supervisor that the daemon is about to end, and not to be started again.
    pub(crate) fn say_leaving(&self) {
        self.say(Word::Leaving);
    }

    fn say(&self, word: Word) {
        // Whoever listens for the supervisor's death learns of it.
        let _ = (&self.0).write_all(&[word as u8]);
    }

    /// Waits for the supervisor's next word.
    pub(crate) fn listen(&self) -> Heard {
        let mut word = [0];
        loop {
            match (&self.0).read(&mut word) {
                Ok(1) if word == [Word::End as u8] => return Heard::End,
                Ok(0) => return Heard::Orphaned,
                Err(error) if error.kind() != ErrorKind::Interrupted => return Heard::Orphaned,
                _ => {}
            }
        }
    }

    /// Another hold of the same end.
    pub(crate) fn try_clone(&self) -> io::Result<Self> {
        self.0.try_clone().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use bireme_core::Exit;
    use bireme_core::id::{AttemptId, AttemptNo, Epoch, GraphId, TaskId};

    use super::*;
    use crate::blackbox;

    fn inheritance(started: u32) -> Inheritance {
        let attempt = |index| AttemptId {
            task: TaskId { graph: GraphId(1), index },
            no: AttemptNo { epoch: Epoch(1), n: 1 },
        };
        Inheritance {
            identity: Identity { uid: WorkerUid(1), life: WorkerLife(2) },
            pool_dir: "/dev/shm/some".into(),
            previous: Some(PreviousLife {
                life: WorkerLife(3),
                exit: Exit { code: 0, signal: 9 },
                started: (0..started).map(attempt).collect(),
            }),
            grpc: TcpListener::bind("127.0.0.1:0").unwrap(),
            http: TcpListener::bind("127.0.0.1:0").unwrap(),
            black_box: blackbox::create().unwrap(),
        }
    }

    #[test]
    fn everything_arrives_however_much_has_started() {
        let most = u32::try_from(limits::BLACK_BOX).unwrap();
        let sent = inheritance(most);
        let (heir, far) = line().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| heir.bequeath(&sent).unwrap());
            let got = message::receive(&UnixStream::from(far)).unwrap();
            assert_eq!((got.identity, &got.pool_dir), (sent.identity, &sent.pool_dir));
            assert_eq!(got.previous, sent.previous);
            assert_eq!(got.grpc.local_addr().unwrap(), sent.grpc.local_addr().unwrap());
            assert_eq!(got.http.local_addr().unwrap(), sent.http.local_addr().unwrap());
            blackbox::BlackBox::open(got.black_box).unwrap();
        });
    }

    #[test]
    fn both_ends_hear_each_other() {
        let (heir, far) = line().unwrap();
        let lifeline = Lifeline(far.into());
        heir.ask_to_end();
        assert_eq!(lifeline.listen(), Heard::End);
        lifeline.say_ready();
        lifeline.say_leaving();
        assert_eq!(heir.said(), Said { ready: true, leaving: true });
        assert_eq!(lifeline.listen(), Heard::Orphaned);
        let (heir, _far) = line().unwrap();
        assert_eq!(heir.said(), Said::default());
    }

    #[test]
    fn what_is_no_inheritance_is_refused() {
        let (near, far) = UnixStream::pair().unwrap();
        (&near).write_all(&[0; 8]).unwrap();
        assert_eq!(message::receive(&far).unwrap_err().kind(), ErrorKind::InvalidData);
        (&near).write_all(&u64::MAX.to_le_bytes()).unwrap();
        assert_eq!(message::receive(&far).unwrap_err().kind(), ErrorKind::InvalidData);
        drop(near);
        assert_eq!(message::receive(&far).unwrap_err().kind(), ErrorKind::UnexpectedEof);
    }
}

//! Copies that are kept here for actors that live elsewhere.
//!
//! A copy is built in a directory of its own; when it is whole it takes the place of an earlier one, which was good until then.
//! It becomes the actor's own directory when an incarnation begins here with it. From that moment on nothing of an earlier
//! incarnation is kept any more, whoever sends it: a host that has lost its scheduler, and waits for this copy, answers nobody.
//! Of which incarnation a directory is, and over which of its streams it came, is written in it, so that a daemon that was
//! started anew knows it too.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};

use bireme_core::actor::Durability;
use bireme_core::id::{ActorId, Incarnation, WorkerUid};
use bireme_core::limits;
use bireme_core::reason::{Reason, Refusal};

use crate::actors::log::copy::{Life, begin_checkpoint, end_checkpoint, life_of, note_life};
use crate::actors::log::{self, Kept as Brought, Log};
use crate::rpc::actor_copies::{Hello, Kept, Said};
use crate::sync::lock;

/// Actors whose directories may be moved about at the same time, about.
const TURNS: usize = 16;

/// All copies that are kept here.
#[derive(Debug)]
pub(crate) struct Keeper {
    /// Who keeps them.
    worker: WorkerUid,
    directory: PathBuf,
    /// Held while directories of an actor are looked at, moved or removed, which takes its time: by threads that may wait.
    turns: [Mutex<()>; TURNS],
    /// Copies that are sent at this moment.
    open: Mutex<BTreeMap<ActorId, Open>>,
}

/// A copy that is sent at this moment.
#[derive(Debug)]
struct Open {
    incarnation: Incarnation,
    copy: Arc<Mutex<Copy>>,
}

/// A copy that somebody sends.
#[derive(Debug)]
pub(crate) struct Copy {
    /// None once nothing more is to be kept.
    log: Option<Log>,
    durability: Durability,
    /// Where it goes when it is whole.
    place: PathBuf,
    /// The checkpoint that is coming in.
    checkpoint: Option<File>,
    kept: Kept,
}

/// What an incarnation begins with.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Past<'a> {
    /// What the incarnation before has left elsewhere.
    Brought(&'a Brought),
    /// Nothing.
    None,
    /// The log that is here: its own, or a copy.
    Here,
}

impl Keeper {
    /// Keeps copies beside the actors that live here.
    pub(crate) fn new(worker: WorkerUid, directory: PathBuf) -> Self {
        Self { worker, directory, turns: Default::default(), open: Mutex::default() }
    }

    fn path(&self, actor: ActorId, what: &str) -> PathBuf {
        self.directory.join(format!("{:032x}{what}", actor.0))
    }

    /// Where the log of an actor is that lives here.
    pub(crate) fn home_of(&self, actor: ActorId) -> PathBuf {
        self.path(actor, "")
    }

    fn copy_of(&self, actor: ActorId) -> PathBuf {
        self.path(actor, ".copy")
    }

    fn unfinished(&self, actor: ActorId) -> PathBuf {
        self.path(actor, ".new")
    }

    /// Keeps others away from the directories of an actor.
    fn turn_of(&self, actor: ActorId) -> MutexGuard<'_, ()> {
        #[expect(
            clippy::indexing_slicing,
            reason = "what is left of a division is less than what it was divided by"
        )]
        lock(&self.turns[(actor.0 % TURNS as u128) as usize])
    }

    /// Begins a copy, unless it is another's to keep, a later incarnation or stream of it is known, or this one lives here. For a
    /// thread that may wait.
    pub(crate) fn begin(&self, hello: Hello) -> Result<Arc<Mutex<Copy>>, Refusal> {
        let Hello { actor, incarnation, worker, stream, synced, first } = hello;
        self.must_be_meant(worker)?;
        let life = Life { incarnation, stream };
        let durability = if synced { Durability::Disk } else { Durability::Process };
        let _turn = self.turn_of(actor);
        let unreadable = |error: io::Error| {
            let message = format!("it cannot be read what is kept of the actor: {error}");
            Refusal::new(Reason::StoreFull, message)
        };
        let lives = life_of(&self.home_of(actor)).map_err(unreadable)?;
        let kept = life_of(&self.copy_of(actor)).map_err(unreadable)?;
        let sent = life_of(&self.unfinished(actor)).map_err(unreadable)?;
        if lives.incarnation >= incarnation || kept.max(sent) > life {
            return Err(superseded());
        }
        self.close(actor, incarnation);
        let count = lock(&self.open).len();
        if count >= limits::ACTORS {
            let message = format!("{count} copies are kept here, the limit: add workers");
            return Err(Refusal::new(Reason::Busy, message));
        }
        let log = Log::begin_copy(self.unfinished(actor), life, first, durability);
        let log = log.map_err(|error| {
            Refusal::new(Reason::StoreFull, format!("the copy cannot be begun: {error}"))
        })?;
        let (place, kept) = (self.copy_of(actor), Kept::default());
        let copy = Copy { log: Some(log), durability, place, checkpoint: None, kept };
        let copy = Arc::new(Mutex::new(copy));
        lock(&self.open).insert(actor, Open { incarnation, copy: Arc::clone(&copy) });
        Ok(copy)
    }

    /// Where a worker listened another may listen now, which has nothing of what that one kept.
    fn must_be_meant(&self, worker: Option<WorkerUid>) -> Result<(), Refusal> {
        let own = self.worker;
        match worker.filter(|meant| *meant != own) {
            None => Ok(()),
            Some(meant) => {
                let message = format!(
                    "worker {meant} is to keep the copy, and {own} listens here now: the scheduler will name another"
                );
                Err(Refusal::at(Reason::WorkerUnknown, "hello.worker", message))
            }
        }
    }

    /// Writes nothing more to the copy that is sent of this or an earlier incarnation.
    fn close(&self, actor: ActorId, incarnation: Incarnation) {
        let mut open = lock(&self.open);
        let is_over = open.get(&actor).is_some_and(|open| open.incarnation <= incarnation);
        let closed = if is_over { open.remove(&actor) } else { None };
        drop(open);
        if let Some(closed) = closed {
            lock(&closed.copy).close();
        }
    }

    /// The stream of a copy is over: nothing more is written to it.
    pub(crate) fn ended(&self, actor: ActorId, copy: &Arc<Mutex<Copy>>) {
        let mut open = lock(&self.open);
        if open.get(&actor).is_some_and(|known| Arc::ptr_eq(&known.copy, copy)) {
            open.remove(&actor);
        }
        drop(open);
        lock(copy).close();
    }

    /// An incarnation is about to begin here: nothing of an earlier one is kept from here on. Leaves what it begins with in its
    /// own directory. For a thread that may wait.
    pub(crate) fn begin_here(
        &self,
        actor: ActorId,
        incarnation: Incarnation,
        past: Past<'_>,
        durability: Durability,
    ) -> io::Result<()> {
        let _turn = self.turn_of(actor);
        self.close(actor, incarnation);
        let (home, copy) = (self.home_of(actor), self.copy_of(actor));
        log::remove(&self.unfinished(actor))?;
        match past {
            Past::Here
                if copy.exists() && life_of(&copy)?.incarnation >= life_of(&home)?.incarnation =>
            {
                note_life(&copy, incarnation.into(), durability)?;
                log::remove(&home)?;
                return fs::rename(copy, home);
            }
            Past::Here if home.exists() => {}
            Past::Here => return Ok(()),
            Past::Brought(kept) => Log::seed(&home, kept, durability)?,
            // Left by an actor of which nobody knows any more.
            Past::None => {
                log::remove(&home)?;
                fs::create_dir_all(&home)?;
            }
        }
        // What was here is good until this is.
        note_life(&home, incarnation.into(), durability)?;
        log::remove(&copy)
    }

    /// The actor has ended for good, or lives elsewhere: what is kept here of this and earlier incarnations goes. For a thread
    /// that may wait.
    pub(crate) fn forget(&self, actor: ActorId, incarnation: Incarnation) -> io::Result<()> {
        let _turn = self.turn_of(actor);
        self.close(actor, incarnation);
        for place in [self.home_of(actor), self.unfinished(actor), self.copy_of(actor)] {
            if life_of(&place)?.incarnation <= incarnation {
                log::remove(&place)?;
            }
        }
        Ok(())
    }
}

impl Copy {
    /// Whether taking this in is a matter of a short write.
    pub(crate) fn is_quick(&self, said: &Said) -> bool {
        self.durability == Durability::Process && matches!(said, Said::Records { .. })
    }

    /// Nothing more is written to it. If it is whole, it stays.
    pub(crate) fn close(&mut self) {
        self.log = None;
    }

    /// Takes something in. Returns what is kept then. Nothing more is after an error.
    pub(crate) fn keep(&mut self, said: Said) -> Result<Kept, Refusal> {
        self.take_in(said)?.map_err(|error| {
            self.close();
            Refusal::new(Reason::StoreFull, format!("the copy cannot be written: {error}"))
        })
    }

    fn take_in(&mut self, said: Said) -> Result<io::Result<Kept>, Refusal> {
        let log = self.log.as_mut().ok_or_else(superseded)?;
        let done = match said {
            Said::Checkpoint { bytes, complete } => {
                let checkpoint = &mut self.checkpoint;
                let kept = take_checkpoint(log, checkpoint, &bytes, complete, self.durability);
                kept.map(|lsn| {
                    self.kept.checkpoint = self.kept.checkpoint.max(lsn);
                    self.kept.lsn = self.kept.lsn.max(lsn);
                })
            }
            Said::Records { file, frames, last } => {
                let kept = log.take_in(file, &frames, last);
                let kept = kept.and_then(|()| log.sync());
                kept.map(|()| self.kept.lsn = self.kept.lsn.max(last))
            }
            Said::Whole { .. } if self.kept.is_whole => {
                let message = "the copy is whole already";
                return Err(Refusal::at(Reason::Malformed, "whole", message));
            }
            Said::Whole { last } => {
                let placed = log.take_place_of(&self.place);
                placed.map(|()| {
                    self.kept.lsn = self.kept.lsn.max(last);
                    self.kept.is_whole = true;
                })
            }
        };
        Ok(done.map(|()| self.kept))
    }
}

/// Takes bytes of a checkpoint in. Returns up to which record it goes once it is complete.
fn take_checkpoint(
    log: &mut Log,
    file: &mut Option<File>,
    bytes: &[u8],
    complete: Option<u64>,
    durability: Durability,
) -> io::Result<u64> {
    let mut open = match file.take() {
        Some(open) => open,
        None => begin_checkpoint(log.directory())?,
    };
    open.write_all(bytes)?;
    let Some(lsn) = complete else {
        *file = Some(open);
        return Ok(0);
    };
    end_checkpoint(log.directory(), &open, durability)?;
    log.drop_up_to(lsn)?;
    Ok(lsn)
}

fn superseded() -> Refusal {
    let message = "a later incarnation of the actor, or a later stream of this one, is known here";
    Refusal::new(Reason::Superseded, message)
}

#[cfg(test)]
mod tests;

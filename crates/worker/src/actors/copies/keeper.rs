//! Copies that are kept here for actors that live elsewhere.
//!
//! A copy is built in a directory of its own; when it is whole it takes the place of an earlier one, which was good until then.
//! It becomes the actor's own directory when an incarnation begins here with it. From that moment on nothing of an earlier
//! incarnation is kept any more, whoever sends it: a host that has lost its scheduler, and waits for this copy, answers nobody.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use bireme_core::actor::Durability;
use bireme_core::id::{ActorId, Incarnation};
use bireme_core::limits;
use bireme_core::reason::{Reason, Refusal};

use crate::actors::log::copy::{begin_checkpoint, end_checkpoint};
use crate::actors::log::{self, Log};
use crate::rpc::actor_copies::{Hello, Kept, Said};
use crate::sync::lock;

/// All copies that are kept here.
#[derive(Debug)]
pub(crate) struct Keeper {
    directory: PathBuf,
    /// By actor: the greatest incarnation that is known, and its copy unless it lives here.
    held: Mutex<BTreeMap<ActorId, Held>>,
}

#[derive(Debug)]
struct Held {
    incarnation: Incarnation,
    copy: Option<Arc<Mutex<Copy>>>,
}

impl Held {
    /// Nothing more is written to the copy.
    fn close(&mut self) {
        if let Some(copy) = self.copy.take() {
            lock(&copy).close();
        }
    }
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

impl Keeper {
    /// Keeps copies beside the actors that live here.
    pub(crate) fn new(directory: PathBuf) -> Self {
        Self { directory, held: Mutex::default() }
    }

    fn path(&self, actor: ActorId, what: &str) -> PathBuf {
        self.directory.join(format!("{:032x}{what}", actor.0))
    }

    fn copy_of(&self, actor: ActorId) -> PathBuf {
        self.path(actor, ".copy")
    }

    fn unfinished(&self, actor: ActorId) -> PathBuf {
        self.path(actor, ".new")
    }

    /// Begins a copy, unless a later incarnation is known, or this one lives here.
    pub(crate) fn begin(&self, hello: Hello) -> Result<Arc<Mutex<Copy>>, Refusal> {
        let Hello { actor, incarnation, synced, first } = hello;
        let durability = if synced { Durability::Disk } else { Durability::Process };
        let mut held = lock(&self.held);
        if held.len() >= limits::ACTORS {
            let message = format!("copies of {} actors were kept here, the limit", held.len());
            return Err(Refusal::new(Reason::Busy, message));
        }
        if let Some(known) = held.get_mut(&actor) {
            let is_late = known.incarnation > incarnation
                || (known.incarnation == incarnation && known.copy.is_none());
            if is_late {
                return Err(superseded());
            }
            known.close();
        }
        let log = Log::begin_copy(self.unfinished(actor), first, durability);
        let log = log.map_err(|error| {
            Refusal::new(Reason::StoreFull, format!("the copy cannot be begun: {error}"))
        })?;
        let (place, kept) = (self.copy_of(actor), Kept::default());
        let copy = Copy { log: Some(log), durability, place, checkpoint: None, kept };
        let copy = Arc::new(Mutex::new(copy));
        held.insert(actor, Held { incarnation, copy: Some(Arc::clone(&copy)) });
        Ok(copy)
    }

    /// An incarnation is about to begin here: nothing of an earlier one is kept from here on. With `restores` it begins with the
    /// copy, if there is one that is whole; otherwise with something else, and the copy goes.
    pub(crate) fn give_up(
        &self,
        actor: ActorId,
        incarnation: Incarnation,
        home: &Path,
        restores: bool,
    ) -> io::Result<()> {
        let mut held = lock(&self.held);
        if let Some(known) = held.get_mut(&actor) {
            known.close();
        }
        held.insert(actor, Held { incarnation, copy: None });
        log::remove(&self.unfinished(actor))?;
        let copy = self.copy_of(actor);
        if !restores {
            return log::remove(&copy);
        }
        if copy.exists() {
            log::remove(home)?;
            fs::rename(copy, home)?;
        }
        Ok(())
    }

    /// The actor has ended for good: what is kept of this and earlier incarnations goes.
    pub(crate) fn forget(&self, actor: ActorId, incarnation: Incarnation) -> io::Result<()> {
        let mut held = lock(&self.held);
        if let Some(known) = held.get_mut(&actor) {
            if known.incarnation > incarnation {
                return Ok(());
            }
            known.close();
            held.remove(&actor);
        }
        log::remove(&self.unfinished(actor))?;
        log::remove(&self.copy_of(actor))
    }

    /// An actor that lived here is not remembered any more.
    pub(crate) fn pass_over(&self, actor: ActorId) {
        let mut held = lock(&self.held);
        if held.get(&actor).is_some_and(|held| held.copy.is_none()) {
            held.remove(&actor);
        }
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
    Refusal::new(Reason::Superseded, "a later incarnation of the actor is known here")
}

#[cfg(test)]
mod tests;

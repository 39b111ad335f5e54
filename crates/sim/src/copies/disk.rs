//! What a worker keeps of the actor, in three directories as the real one does, and who is kept out of them.

use bireme_core::id::Incarnation;

use super::Bug;

/// A directory.
#[derive(Clone, Debug, Default)]
pub(super) struct Directory {
    /// Of which incarnation it is, and over which of its streams it came, if it did.
    pub(super) life: Life,
    /// The calls that were written there, in order.
    pub(super) calls: Vec<u64>,
    /// So many of them have reached the disk.
    pub(super) synced: usize,
    /// The machine was started anew since: nobody can know that all is there.
    pub(super) is_doubtful: bool,
}

/// All that is there.
#[derive(Clone, Debug, Default)]
pub(super) struct Disk {
    pub(super) home: Option<Directory>,
    pub(super) copy: Option<Directory>,
    pub(super) unfinished: Option<Directory>,
}

/// An incarnation and one of its streams; 0 is none.
pub(super) type Life = (Incarnation, u64);

fn life(directory: Option<&Directory>) -> Life {
    directory.map(|directory| directory.life).unwrap_or_default()
}

impl Disk {
    /// Begins a copy, unless a later incarnation or stream of it is known, or this one lives here.
    pub(super) fn begin_copy(&mut self, begun: Life, bug: Option<Bug>) -> bool {
        let (incarnation, _) = begun;
        let (lives, _) = life(self.home.as_ref());
        let known = life(self.copy.as_ref()).max(life(self.unfinished.as_ref()));
        let is_late = match bug {
            Some(Bug::Unfenced) => false,
            Some(Bug::LastStreamWins) => lives >= incarnation || known.0 > incarnation,
            _ => lives >= incarnation || known > begun,
        };
        if is_late {
            return false;
        }
        self.unfinished = Some(Directory { life: begun, ..Directory::default() });
        true
    }

    /// A copy is whole.
    pub(super) fn place_copy(&mut self) {
        self.copy = self.unfinished.take();
    }

    /// The directory with which an incarnation would begin here.
    pub(super) fn past(&self) -> Option<&Directory> {
        match (&self.home, &self.copy) {
            (Some(home), Some(copy)) if copy.life.0 < home.life.0 => Some(home),
            (home, copy) => copy.as_ref().or(home.as_ref()),
        }
    }

    /// An incarnation begins here with the log that is here. Returns the calls in it.
    pub(super) fn begin_here(&mut self, incarnation: Incarnation) -> Option<Vec<u64>> {
        let past = self.past()?.clone();
        (self.copy, self.unfinished) = (None, None);
        let calls = past.calls.clone();
        self.home = Some(Directory { life: (incarnation, 0), is_doubtful: false, ..past });
        Some(calls)
    }

    /// An incarnation begins here with calls that came from elsewhere, or with none.
    pub(super) fn begin_anew(&mut self, incarnation: Incarnation, calls: Vec<u64>, synced: bool) {
        let synced = if synced { calls.len() } else { 0 };
        *self = Self {
            home: Some(Directory { life: (incarnation, 0), calls, synced, is_doubtful: false }),
            ..Self::default()
        };
    }

    /// The actor has ended for good, or lives elsewhere.
    pub(super) fn forget(&mut self, incarnation: Incarnation) {
        for directory in [&mut self.home, &mut self.copy, &mut self.unfinished] {
            directory.take_if(|directory| directory.life.0 <= incarnation);
        }
    }

    /// The machine is started anew: of what had not reached the disk so much is left as `left` says of a length.
    pub(super) fn lose_power(&mut self, mut left: impl FnMut(usize) -> usize) {
        for directory in [&mut self.home, &mut self.copy, &mut self.unfinished] {
            let Some(directory) = directory else { continue };
            let unsynced = directory.calls.len() - directory.synced;
            directory.calls.truncate(directory.synced + left(unsynced));
            directory.is_doubtful = true;
        }
    }
}

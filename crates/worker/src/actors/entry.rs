//! An actor as its worker has it.

use std::collections::BTreeMap;
use std::sync::Arc;

use bireme_core::actor::call::ReplyKind;
use bireme_core::actor::host::{Host, Table};
use bireme_core::actor::place::ActorReport;
use bireme_core::actor::{ActorSpec, Delivery};
use bireme_core::id::Digest;
use bireme_core::numbered::Numbered;
use bireme_core::{ObjectId, Span, Time};
use bireme_proto::pb;

use super::log::{Kept, Log};
use crate::machine::Hosting;
use crate::store::{Draft, Stored};

/// An incarnation with everything that belongs to it; or what is remembered of the last one.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact that the others do not decide")]
pub(super) struct Entry {
    /// Absent while the log is being opened.
    pub(super) host: Option<Host>,
    pub(super) hosting: Box<Hosting>,
    /// Its id as messages have it.
    pub(super) named: pb::ActorId,
    pub(super) spec: Arc<ActorSpec>,
    /// Values of the spec's inputs.
    pub(super) inputs: Vec<Stored>,
    /// What its payload names.
    pub(super) blobs: Vec<(Digest, Stored)>,
    /// What it begins with, until its process has it.
    pub(super) kept: Option<Kept>,
    pub(super) log: Option<Log>,
    /// The disk is being waited for.
    pub(super) syncing: bool,
    /// The checkpoint that is being made.
    pub(super) keeping: Option<Keeping>,
    /// A checkpoint is being written: the incarnation lasts at least until that is done.
    pub(super) writing: bool,
    /// Its own code wants one.
    pub(super) wishes: bool,
    /// The process that has it, or is to have it.
    pub(super) process: Option<u64>,
    /// Calls that the process was given and that have not ended.
    pub(super) runs: Numbered<Running>,
    /// Those of them that were asked to return.
    pub(super) stops: BTreeMap<u64, Stop>,
    /// When the process that is to let go of it has to have done so.
    pub(super) leaves_by: Option<Time>,
    /// Values of inputs, by the host's ticket. Kept until the host lets go of them, or their call has ended.
    pub(super) tickets: BTreeMap<u64, Vec<Stored>>,
    /// Values of inputs of calls that are played again, by the numbers of their records.
    pub(super) logged: BTreeMap<u64, Vec<Stored>>,
    /// Room that its process was given for values.
    pub(super) drafts: Vec<Draft>,
    /// The wish that it comes to rest, to begin again elsewhere.
    pub(super) moves: Option<u64>,
    /// What the next incarnation begins with there, and its size in bytes. It is in the store, and nobody knows until the
    /// end of this one is told.
    pub(super) moved: Option<(ObjectId, u64)>,
    pub(super) alive: bool,
    /// How it ended, once it has.
    pub(super) over: Option<Ended>,
    pub(super) timer: Option<Time>,
    /// What was last told of the lease is that it is over.
    pub(super) fenced: bool,
}

/// How an incarnation ended.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) report: Option<ActorReport>,
    pub(super) forget: bool,
    /// When the entry goes.
    pub(super) expires: Time,
}

/// A call that the process was given.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) reply: ReplyKind,
    /// Where its result is to be stored.
    pub(super) result: Option<ObjectId>,
    pub(super) ticket: u64,
    /// The last item that it gave.
    pub(super) items: u64,
    /// What keeps those of its inputs that were written into files for it.
    pub(super) _drafts: Vec<Draft>,
}

/// A call that was asked to return.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stop {
    /// When.
    pub(super) asked: Time,
    /// It may go on for so long.
    pub(super) grace: Span,
    /// When somebody looks what has become of it.
    pub(super) look: Time,
}

/// What an actor's code was given to read and to write. None of it is given to anybody else while that may run.
#[derive(Debug)]
pub(super) struct Means {
    _arguments: BTreeMap<u64, Vec<Stored>>,
    _logged: BTreeMap<u64, Vec<Stored>>,
    _inputs: Vec<Stored>,
    _drafts: Vec<Draft>,
    _runs: Numbered<Running>,
    _blobs: Vec<(Digest, Stored)>,
}

/// A checkpoint that is being made.
#[derive(Debug)]
pub(super) struct Keeping {
    pub(super) lsn: u64,
    pub(super) table: Table,
    pub(super) since: Time,
}

impl Entry {
    pub(super) fn new(hosting: Box<Hosting>, inputs: Vec<Stored>) -> Self {
        let spec = Arc::new(hosting.spec.clone());
        Self {
            host: None,
            named: hosting.actor.into(),
            hosting,
            spec,
            inputs,
            blobs: Vec::new(),
            kept: None,
            log: None,
            syncing: false,
            keeping: None,
            writing: false,
            wishes: false,
            process: None,
            runs: Numbered::default(),
            stops: BTreeMap::new(),
            leaves_by: None,
            tickets: BTreeMap::new(),
            logged: BTreeMap::new(),
            drafts: Vec::new(),
            moves: None,
            moved: None,
            alive: false,
            over: None,
            timer: None,
            fenced: false,
        }
    }

    /// When something is to be done for it though nothing happens.
    pub(super) fn due(&self, unheard: Option<Time>) -> Option<Time> {
        let host = self.host.as_ref().and_then(Host::next_timer);
        let expires = self.over.as_ref().map(|over| over.expires);
        let lease = unheard.filter(|_| !self.fenced && self.over.is_none());
        let lease = lease.map(|since| since + self.spec.lease);
        let stops = self.stops.values().map(|stop| stop.look).min();
        [host, expires, lease, self.leaves_by, stops].into_iter().flatten().min()
    }

    /// Takes away what code that does not return may still read and write.
    pub(super) fn take_means(&mut self) -> Means {
        self.stops.clear();
        self.leaves_by = None;
        Means {
            _arguments: self.tickets.clone(),
            _logged: std::mem::take(&mut self.logged),
            _inputs: std::mem::take(&mut self.inputs),
            _drafts: std::mem::take(&mut self.drafts),
            _runs: std::mem::take(&mut self.runs),
            _blobs: std::mem::take(&mut self.blobs),
        }
    }

    /// Whether it leaves a log on this worker's disk.
    pub(super) fn keeps_log(&self) -> bool {
        self.spec.delivery == Delivery::EffectivelyOnce
    }

    /// Gives back what its code was given, of which none runs any more. Arguments of calls that wait stay.
    pub(super) fn clear_means(&mut self) {
        self.stops.clear();
        self.leaves_by = None;
        self.logged.clear();
        self.inputs.clear();
        self.drafts.clear();
        self.runs.clear();
        self.blobs.clear();
    }
}

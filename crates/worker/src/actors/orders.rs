//! From the driver, and to it: incarnations to be hosted, wishes about them, leases.

use std::sync::Arc;

use bireme_core::actor::host::{Config, Event, Host};
use bireme_core::actor::place::{ActorOrder, ActorReport, EndKind, Hosted};
use bireme_core::actor::{Delivery, OnSchedulerLoss};
use bireme_core::id::{ActorId, Digest, Incarnation, WorkerId};
use bireme_core::{ErrorClass, Reason, TaskError};
use rustix::process::Signal;

use super::copies::Waiting;
use super::copies::keeper::{Keeper, Past};
use super::entry::Entry;
use super::log::{Found, Kept, Log, LogError};
use super::{Actors, Table, Turn};
use crate::failure::failure;
use crate::machine::{self, Hosting};
use crate::rpc::payload::blobs;
use crate::store::Stored;

impl Actors {
    /// Hosts an incarnation. `inputs` are the values of its spec's inputs, `checkpoint` is what it begins with, if anything.
    pub(crate) fn host(
        &self,
        hosting: Box<Hosting>,
        inputs: Vec<Stored>,
        checkpoint: Option<Stored>,
    ) {
        let keeps_log = hosting.spec.delivery == Delivery::EffectivelyOnce;
        if !keeps_log && checkpoint.is_none() {
            return self.shared.turn().host(hosting, inputs, Ok((None, Found::default())));
        }
        let shared = Arc::clone(&self.shared);
        self.shared.setup.bulk.spawn_blocking(move || {
            let found = find(&shared.keeper, keeps_log, &hosting, checkpoint);
            shared.turn().host(hosting, inputs, found);
        });
    }

    /// Does something with an actor that is, or was, hosted.
    pub(crate) fn order(&self, order: ActorOrder) {
        self.shared.turn().order(order);
    }

    /// What a call wants is here, or not to be had.
    pub(crate) fn gathered(
        &self,
        ticket: u64,
        missing: Option<(bireme_core::ObjectId, Option<Box<TaskError>>)>,
        values: Vec<Stored>,
    ) {
        self.shared.turn().gathered(ticket, missing, values);
    }

    /// A blob has come, or why not.
    pub(crate) fn blob_came(&self, digest: Digest, came: &Result<Stored, Box<TaskError>>) {
        self.shared.turn().blob_came(digest, came);
    }

    /// The scheduler has accepted this worker under a number.
    pub(crate) fn joined(&self, worker: WorkerId) {
        self.shared.turn().joined(worker);
    }

    /// The scheduler is not heard any more.
    pub(crate) fn unheard(&self) {
        self.shared.turn().unheard();
    }
}

/// Reads what earlier incarnations left: in the checkpoint that was brought along, or in the log that is here.
fn find(
    keeper: &Keeper,
    keeps_log: bool,
    hosting: &Hosting,
    checkpoint: Option<Stored>,
) -> Result<(Option<Log>, Found), LogError> {
    let problem = |refusal: bireme_core::reason::Refusal| LogError::Broken {
        path: "the checkpoint of the incarnation before".to_owned(),
        problem: refusal.message,
    };
    let brought = checkpoint.map(|checkpoint| {
        let bytes = checkpoint.load()?.bytes().unwrap_or_default();
        Kept::read(bytes).map_err(problem)
    });
    let brought = brought.transpose()?;
    let rested = brought.is_some();
    if !keeps_log {
        let mut found = Found::default();
        if let Some(mut kept) = brought {
            found.restored.lsn = kept.lsn;
            found.restored.table = kept.take_table().map_err(problem)?;
            found.kept = Some(kept);
        }
        found.restored.rested = rested;
        return Ok((None, found));
    }
    let past = match &brought {
        Some(kept) => Past::Brought(kept),
        None if hosting.restores => Past::Here,
        None => Past::None,
    };
    let (actor, durability) = (hosting.actor, hosting.spec.durability);
    keeper.begin_here(actor, hosting.incarnation, past, durability)?;
    let directory = keeper.home_of(actor);
    if hosting.restores && brought.is_none() && !Log::exists(&directory) {
        let problem = "the log of the incarnation before is not here";
        return Err(LogError::Io(std::io::Error::other(problem)));
    }
    let (log, mut found) = Log::open(directory, durability)?;
    found.restored.rested = rested;
    Ok((Some(log), found))
}

impl Turn<'_> {
    /// Takes an incarnation on, with what was found of earlier ones.
    fn host(
        &mut self,
        mut hosting: Box<Hosting>,
        inputs: Vec<Stored>,
        found: Result<(Option<Log>, Found), LogError>,
    ) {
        if self.table.closed {
            return;
        }
        self.take_places(&mut hosting);
        match found {
            Ok((Some(log), found)) if hosting.spec.peers > 0 || hosting.copies.unheard => {
                self.begin_with_copies(Waiting { hosting, inputs, log, found });
            }
            Ok(found) => self.begin(hosting, inputs, found),
            Err(error) => {
                let message = format!("the actor's state cannot be restored: {error}");
                let error = failure(ErrorClass::Store, Reason::InputLost, message);
                self.never_began(&hosting, EndKind::Failed, Some(error));
            }
        }
    }

    /// Begins an incarnation whose past is known, and is wherever it has to be.
    pub(super) fn begin(
        &mut self,
        hosting: Box<Hosting>,
        inputs: Vec<Stored>,
        (log, found): (Option<Log>, Found),
    ) {
        let actor = hosting.actor;
        let mut entry = Entry::new(hosting, inputs);
        let has_past = found.kept.is_some() || !found.restored.records.is_empty();
        for (lsn, values) in found.inputs {
            let stored = values
                .into_iter()
                .map(|value| self.shared.setup.store.lay_out(Arc::new(value), None));
            if let Ok(stored) = stored.collect::<Result<_, _>>() {
                entry.logged.insert(lsn, stored);
            }
        }
        let incarnation = entry.hosting.incarnation;
        let restored = has_past.then_some(found.restored);
        (entry.log, entry.kept) = (log, found.kept);
        let mut effects = Vec::new();
        let before = self.table.entries.remove(&actor).and_then(|before| {
            if let Some(timer) = before.timer {
                self.table.timers.remove(&(timer, actor));
            }
            // Of incarnations that lived elsewhere in between it knows nothing, and would not say so.
            let follows = incarnation.0 <= before.hosting.incarnation.0 + 1;
            let host = before.host.filter(|_| follows)?;
            // Calls that wait go over to the next incarnation, and so does what was gathered for them.
            entry.tickets = before.tickets;
            Some(host)
        });
        if before.is_none() {
            self.forget_callers_of(actor);
        }
        let worker = self.table.worker;
        let host = if let Some(mut before) = before {
            before.set_worker(worker);
            before.succeed(self.now, incarnation, restored, &mut effects)
        } else {
            let spec = Arc::clone(&entry.spec);
            Host::new(self.now, Config { actor, incarnation, spec, worker, restored })
        };
        entry.host = Some(host);
        self.table.entries.insert(actor, entry);
        self.carry_out(actor, effects.into_iter());
        self.set_timer(actor);
        match self.find_blobs(actor) {
            _ if !self.has_program(actor) => self.find_process(actor),
            Ok(true) => self.find_process(actor),
            Ok(false) => {}
            Err(error) => self.feed_later(actor, Event::Refused(error)),
        }
    }

    /// An incarnation cannot even be tried.
    fn never_began(&mut self, hosting: &Hosting, end: EndKind, cause: Option<Box<TaskError>>) {
        let (actor, incarnation) = (hosting.actor, hosting.incarnation);
        self.tell(ActorReport::Ended { actor, incarnation, end, cause, checkpoint: None });
    }

    /// Finds the blobs that an actor's payload names. Returns whether all are here; the others are fetched.
    fn find_blobs(&mut self, actor: ActorId) -> Result<bool, Box<TaskError>> {
        let Table { entries, blobs: awaited, .. } = &mut *self.table;
        let Some(entry) = entries.get_mut(&actor) else { return Ok(false) };
        let mut all = true;
        for digest in blobs(&entry.spec.payload, &entry.spec.runtime)? {
            if entry.blobs.iter().any(|(known, _)| *known == digest) {
                continue;
            }
            if let Some(blob) = self.shared.setup.store.blob(digest) {
                entry.blobs.push((digest, blob));
                continue;
            }
            all = false;
            let waiting = awaited.entry(digest).or_default();
            if waiting.is_empty() {
                self.shared.setup.courier.fetch(digest);
            }
            waiting.insert(actor);
        }
        Ok(all)
    }

    fn blob_came(&mut self, digest: Digest, came: &Result<Stored, Box<TaskError>>) {
        for actor in self.table.blobs.remove(&digest).unwrap_or_default() {
            match came {
                Err(error) => self.feed_later(actor, Event::Refused(error.clone())),
                Ok(blob) => {
                    if let Some(entry) = self.table.entries.get_mut(&actor) {
                        entry.blobs.push((digest, blob.clone()));
                    }
                    if matches!(self.find_blobs(actor), Ok(true)) {
                        self.find_process(actor);
                    }
                }
            }
        }
    }

    fn order(&mut self, order: ActorOrder) {
        match order {
            ActorOrder::Checkpoint { actor, incarnation, request } => {
                if self.is_current(actor, incarnation) {
                    self.feed(actor, Event::CheckpointAsked { request });
                }
            }
            ActorOrder::Copy { actor, incarnation, copies } => {
                self.copy_to(actor, incarnation, copies);
            }
            ActorOrder::Move { actor, incarnation, request, quiesce, lose_state } => {
                if self.is_current(actor, incarnation) {
                    if let Some(entry) = self.table.entries.get_mut(&actor) {
                        // The host refuses a further wish, and goes on with the first.
                        entry.moves.get_or_insert(request);
                    }
                    self.feed(actor, Event::MoveAsked { request, quiesce, lose_state });
                }
            }
            ActorOrder::End { actor, incarnation, grace, forget, reason } => {
                if let Some(hosting) = self.give_up_waiting(actor, incarnation) {
                    self.never_began(&hosting, EndKind::Killed, None);
                }
                let entry = self.table.entries.get(&actor);
                if entry.is_none_or(|entry| entry.hosting.incarnation <= incarnation) {
                    self.feed(actor, Event::EndAsked { grace, forget, reason });
                    self.forget_if_over(actor, incarnation, forget);
                }
            }
            ActorOrder::Host(_) | ActorOrder::Settle { .. } => {}
        }
    }

    fn is_current(&self, actor: ActorId, incarnation: Incarnation) -> bool {
        let entry = self.table.entries.get(&actor);
        entry.is_some_and(|entry| entry.hosting.incarnation == incarnation)
    }

    /// Removes what is left of an actor that is to be forgotten and has no living incarnation here.
    fn forget_if_over(&mut self, actor: ActorId, life: Incarnation, forget: bool) {
        // Of one that is not known any more nobody can say that it has left nothing.
        let may_be = |entry: &Entry| entry.over.is_some() && entry.keeps_log();
        if forget && self.table.entries.get(&actor).is_none_or(may_be) {
            self.remove_directory(actor, life);
        }
    }

    /// The process has made the actor.
    pub(super) fn became_alive(&mut self, actor: ActorId, checkpoints: bool) {
        let Some(entry) = self.table.entries.get_mut(&actor) else { return };
        entry.alive = true;
        let incarnation = entry.hosting.incarnation;
        self.feed(actor, Event::Alive { checkpoints });
        self.tell(ActorReport::Alive(Hosted { actor, incarnation, alive: true, checkpoints }));
        self.have_spare_of(actor);
    }

    fn joined(&mut self, worker: WorkerId) {
        (self.table.worker, self.table.unheard) = (worker, None);
        let actors: Vec<_> = self.table.entries.keys().copied().collect();
        for actor in actors {
            if let Some(entry) = self.table.entries.get_mut(&actor) {
                if let Some(host) = &mut entry.host {
                    host.set_worker(worker);
                }
                if std::mem::take(&mut entry.fenced) {
                    self.feed_later(actor, Event::LeaseRenewed);
                }
            }
            self.set_timer(actor);
        }
    }

    fn unheard(&mut self) {
        self.table.unheard.get_or_insert(self.now);
        let actors: Vec<_> = self.table.entries.keys().copied().collect();
        for actor in actors {
            self.set_timer(actor);
        }
    }

    /// Ends the lease of an actor that stops when the scheduler is not heard for too long.
    pub(super) fn look_at_lease(&mut self, actor: ActorId) {
        let unheard = self.table.unheard;
        let Some(entry) = self.table.entries.get_mut(&actor) else { return };
        let is_over = unheard.is_some_and(|since| since + entry.spec.lease <= self.now);
        if is_over && !entry.fenced {
            entry.fenced = true;
            let stops = entry.spec.on_scheduler_loss == OnSchedulerLoss::Stop
                || entry.spec.delivery == Delivery::EffectivelyOnce;
            if stops {
                self.feed(actor, Event::LeaseEnded);
            }
        }
    }

    /// Forgets an incarnation that has been over for long. Its callers are told to look elsewhere.
    pub(super) fn drop_if_expired(&mut self, actor: ActorId) -> bool {
        let over = self.table.entries.get(&actor).and_then(|entry| entry.over.as_ref());
        let expired = over.is_some_and(|over| over.report.is_none() && over.expires <= self.now);
        if expired {
            self.table.entries.remove(&actor);
            self.forget_callers_of(actor);
        }
        expired
    }

    /// The host of an actor is dropped, with all that it knew: nothing is gathered for its calls any more.
    fn forget_callers_of(&mut self, actor: ActorId) {
        let gathering = &mut self.table.gathering;
        for (asked, _) in gathering.extract_if(.., |_, (of, _)| *of == actor) {
            self.shared.setup.inbox.tell(machine::Event::Ungather(asked));
        }
        self.refuse_lines_of(actor);
    }

    /// Ends everything.
    pub(super) fn close(&mut self) {
        self.table.closed = true;
        self.table.copying.clear();
        self.table.crew.signal_all(Signal::KILL);
        self.close_peers();
    }
}

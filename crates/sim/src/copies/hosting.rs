//! What workers do with the orders that they hear: incarnations begin, are called, come to rest and end.

use std::collections::{BTreeMap, BTreeSet};

use bireme_core::actor::copies::{CopyPlaces, CopySet};
use bireme_core::actor::place::{ActorOrder, ActorReport, Checkpoint, EndKind, HostOrder};
use bireme_core::id::{HolderId, Incarnation};
use bireme_core::object::ObjectId;
use bireme_core::protocol::Report;
use bireme_core::{ErrorClass, Span, TaskError};
use bireme_scheduler::machine::ConnId;
use smallvec::SmallVec;

use super::{ACTOR, CALM, Item, Life, Node, WORKERS, World};

impl World {
    pub(super) fn on_heard(&mut self, conn: ConnId, order: ActorOrder) -> Result<(), String> {
        let heard = |node: &Node| node.conn.is_some_and(|(own, _)| own == conn);
        let Some(at) = self.nodes.iter().position(heard) else { return Ok(()) };
        self.trace.line(self.agenda.now(), || match &order {
            ActorOrder::Host(host) => {
                let (life, restores, copies) = (host.incarnation.0, host.restores, &host.copies);
                let brought = host.checkpoint.as_ref().map(|input| input.object);
                format!(
                    "to worker {at}: host {life}, restores {restores} or {brought:?}, {copies:?}"
                )
            }
            order => format!("to worker {at}: {order:?}"),
        });
        let current = self.nodes[at].life.as_ref().map(|life| life.incarnation);
        match order {
            ActorOrder::Host(order) => self.on_host(at, order),
            ActorOrder::Copy { incarnation, copies, .. } if current == Some(incarnation) => {
                return self.on_places(at, copies);
            }
            ActorOrder::End { incarnation, forget, .. } => {
                if current.is_none_or(|current| current <= incarnation) {
                    if current == Some(incarnation) {
                        self.end(at, EndKind::Killed, None);
                    } else {
                        self.nodes[at].life = None;
                    }
                    if forget {
                        self.nodes[at].disk.forget(incarnation);
                    }
                }
            }
            ActorOrder::Settle { incarnation, .. } => {
                let node = &mut self.nodes[at];
                let ended = node.ended.as_ref().and_then(ended);
                if ended == Some(incarnation) {
                    node.ended = None;
                }
                node.settled = node.settled.max(incarnation);
            }
            ActorOrder::Move { incarnation, request, .. } if current == Some(incarnation) => {
                self.on_move(at, request);
            }
            ActorOrder::Checkpoint { incarnation, request, .. } => {
                let made = Ok(Checkpoint::default());
                let actor = ACTOR;
                self.tell(at, ActorReport::Checkpointed { actor, incarnation, request, made });
            }
            ActorOrder::Copy { .. } | ActorOrder::Move { .. } => {}
        }
        Ok(())
    }

    fn on_host(&mut self, at: usize, order: Box<HostOrder>) {
        let took = self.rng.span(100, 300_000);
        let node = &mut self.nodes[at];
        let incarnation = order.incarnation;
        let known = node.life.as_ref().map(|life| life.incarnation);
        let known = known.or_else(|| node.ended.as_ref().and_then(ended)).unwrap_or_default();
        if known.max(node.settled) >= incarnation {
            return;
        }
        node.ended = None;
        node.life = Some(Life {
            incarnation,
            set: CopySet::new(0, &order.copies),
            order: Some(order),
            streams: BTreeMap::new(),
            calls: Vec::new(),
            answered: 0,
            is_alive: false,
        });
        self.agenda.after(took, Item::Begin(at, incarnation));
    }

    /// An incarnation begins, if what it was brought is there.
    pub(super) fn begin(&mut self, at: usize, incarnation: Incarnation) -> Result<(), String> {
        let is_it = |life: &&mut Life| life.incarnation == incarnation;
        let Some(life) = self.nodes[at].life.as_mut().filter(is_it) else { return Ok(()) };
        let Some(order) = life.order.take() else { return Ok(()) };
        let calls = match &order.checkpoint {
            Some(input) => {
                let object = input.object;
                let Some(calls) = self.fetch(at, object) else {
                    if let Some(life) = &mut self.nodes[at].life {
                        life.order = Some(order);
                    }
                    self.miss(at, object);
                    self.agenda.after(Span::millis(700), Item::Begin(at, incarnation));
                    return Ok(());
                };
                self.nodes[at].disk.begin_anew(incarnation, calls.clone(), self.synced);
                calls
            }
            None if order.restores => {
                let disk = &mut self.nodes[at].disk;
                let is_heir = disk.copy.is_some();
                let Some(calls) = disk.begin_here(incarnation) else {
                    self.seen.unreadable += 1;
                    self.end(at, EndKind::Failed, None);
                    return Ok(());
                };
                self.seen.heirs += u64::from(is_heir);
                calls
            }
            None => {
                self.nodes[at].disk.begin_anew(incarnation, Vec::new(), self.synced);
                Vec::new()
            }
        };
        // Whoever sent a copy of an earlier one is not listened to any more.
        self.nodes[at].open = None;
        let copies = order.copies;
        if let Some(life) = &mut self.nodes[at].life {
            life.set = CopySet::new(calls.len() as u64, &copies);
            (life.answered, life.calls) = (calls.len(), calls);
        }
        self.begin_copies(at, &copies.members);
        self.go_on(at)
    }

    /// The calls in a checkpoint, if a worker that has it can be reached.
    fn fetch(&self, at: usize, object: ObjectId) -> Option<Vec<u64>> {
        let has = |holder: &usize| self.nodes[*holder].values.contains_key(&object);
        let holder = (0..WORKERS).find(has)?;
        let is_there = holder == at || self.hears(at, holder);
        self.nodes[holder].values.get(&object).filter(|_| is_there).cloned()
    }

    fn miss(&mut self, at: usize, object: ObjectId) {
        let left = |place: &usize| matches!(object, ObjectId::Held { holder, .. } if holder == holder_of(*place));
        let asked = (0..WORKERS).find(left).and_then(|place| Some(self.nodes[place].conn?.1));
        let Some((conn, _)) = self.nodes[at].conn else { return };
        let asked: SmallVec<_> = asked.into_iter().collect();
        let report = Box::new(Report::InputMissing { object, asked, made_by: None });
        self.agenda.after(Span::millis(1), Item::Reported(conn, report));
    }

    fn on_places(&mut self, at: usize, places: CopyPlaces) -> Result<(), String> {
        let Some(life) = &mut self.nodes[at].life else { return Ok(()) };
        if let Some(order) = &mut life.order {
            order.copies = places;
            return Ok(());
        }
        let changes = life.set.assign(places);
        for worker in &changes.dropped {
            life.streams.remove(worker);
        }
        self.begin_copies(at, &changes.begun);
        self.tell_of_copies(at);
        self.go_on(at)
    }

    /// An incarnation comes alive when its first copies are whole, and answers what is durable.
    pub(super) fn go_on(&mut self, at: usize) -> Result<(), String> {
        let Some(life) = self.nodes[at].life.as_mut().filter(|life| life.order.is_none()) else {
            return Ok(());
        };
        let incarnation = life.incarnation;
        if !life.is_alive && life.set.is_ready() {
            life.is_alive = true;
            let (hosted, calls) = (life.hosted(), life.calls.iter().copied().collect());
            self.come_alive(incarnation, calls)?;
            self.tell(at, ActorReport::Alive(hosted));
        }
        let Some(life) = self.nodes[at].life.as_mut().filter(|life| life.is_alive) else {
            return Ok(());
        };
        let durable = usize::try_from(life.set.durable()).unwrap_or(usize::MAX);
        let due: Vec<u64> = life.calls.iter().take(durable).skip(life.answered).copied().collect();
        life.answered = life.answered.max(durable);
        due.into_iter().try_for_each(|call| self.answer(incarnation, call))
    }

    /// It has every call that anybody was answered.
    fn come_alive(&mut self, incarnation: Incarnation, calls: BTreeSet<u64>) -> Result<(), String> {
        if incarnation < self.newest.0 {
            return Ok(()); // It answers nothing that the later one does not have.
        }
        if let Some(lost) = self.answered.difference(&calls).next() {
            let life = incarnation.0;
            return Err(format!(
                "incarnation {life} begins without call {lost}, which was answered"
            ));
        }
        self.newest = (incarnation, calls);
        Ok(())
    }

    fn answer(&mut self, incarnation: Incarnation, call: u64) -> Result<(), String> {
        let (newest, calls) = &self.newest;
        if incarnation < *newest && !calls.contains(&call) {
            let (own, later) = (incarnation.0, newest.0);
            return Err(format!("incarnation {own} answers call {call} beside {later}"));
        }
        self.answered.insert(call);
        self.seen.answers += 1;
        Ok(())
    }

    /// Somebody calls the actor, wherever it was found.
    pub(super) fn call(&mut self) -> Result<(), String> {
        // When nothing goes wrong any more, one call is like another.
        let pause = if self.agenda.now() < CALM { 400_000 } else { 20_000_000 };
        self.agenda.after(self.rng.span(1_000, pause), Item::Call);
        let lives = |(at, start): &&(usize, u64)| {
            let node = &self.nodes[*at];
            node.start == *start && node.life.as_ref().is_some_and(|life| life.is_alive)
        };
        let places: Vec<usize> = self.known.iter().filter(lives).map(|(at, _)| *at).collect();
        for at in places {
            self.last += 1;
            let call = self.last;
            let (delay, is_synced) = (self.rng.span(0, 9_000), self.rng.chance(10));
            let node = &mut self.nodes[at];
            let (Some(life), Some(home)) = (&mut node.life, &mut node.disk.home) else { continue };
            life.calls.push(call);
            home.calls.push(call);
            let (count, incarnation) = (life.calls.len(), life.incarnation);
            if self.synced {
                self.agenda.after(delay, Item::Synced(at, incarnation, count));
            } else {
                life.set.kept_here(count as u64);
                home.synced = if is_synced { count } else { home.synced };
            }
            self.hand_on(at, &[call]);
            self.go_on(at)?;
        }
        Ok(())
    }

    pub(super) fn on_synced(
        &mut self,
        at: usize,
        incarnation: Incarnation,
        count: usize,
    ) -> Result<(), String> {
        let node = &mut self.nodes[at];
        let is_it = |life: &&mut Life| life.incarnation == incarnation;
        let (Some(life), Some(home)) = (node.life.as_mut().filter(is_it), &mut node.disk.home)
        else {
            return Ok(());
        };
        home.synced = home.synced.max(count);
        life.set.kept_here(count as u64);
        self.go_on(at)
    }

    fn on_move(&mut self, at: usize, request: u64) {
        let Some(life) = &mut self.nodes[at].life else { return };
        let incarnation = life.incarnation;
        let at_rest = life.is_alive && life.set.durable() == life.calls.len() as u64;
        if !at_rest {
            let made = Err(error(ErrorClass::User, "calls still run"));
            let actor = ACTOR;
            return self.tell(at, ActorReport::Checkpointed { actor, incarnation, request, made });
        }
        let object = ObjectId::Held { holder: holder_of(at), n: incarnation.0.into() };
        let (calls, size) = (life.calls.clone(), (life.calls.len() as u64).max(1));
        self.nodes[at].values.insert(object, calls);
        self.seen.moves += 1;
        self.end(at, EndKind::Moved, Some((object, size)));
    }

    /// An incarnation ends.
    pub(super) fn end(&mut self, at: usize, end: EndKind, checkpoint: Option<(ObjectId, u64)>) {
        let Some(Life { incarnation, .. }) = self.nodes[at].life.take() else { return };
        let class =
            if end == EndKind::Failed { ErrorClass::Store } else { ErrorClass::ProcessDied };
        let cause = matches!(end, EndKind::Failed | EndKind::Crashed);
        let cause = cause.then(|| error(class, "by chance"));
        let report = ActorReport::Ended { actor: ACTOR, incarnation, end, cause, checkpoint };
        self.nodes[at].has_failed |= end == EndKind::Failed;
        self.nodes[at].ended = Some(report.clone());
        self.tell(at, report);
    }
}

/// Whose the values are that incarnations leave with a worker.
fn holder_of(at: usize) -> HolderId {
    HolderId(1 << 63 | at as u64)
}

fn ended(report: &ActorReport) -> Option<Incarnation> {
    match report {
        ActorReport::Ended { incarnation, .. } => Some(*incarnation),
        _ => None,
    }
}

fn error(class: ErrorClass, what: &str) -> Box<TaskError> {
    Box::new(TaskError::new(class, "SIMULATED", what))
}

//! A scheduler with one actor: it looks at what it can reach, again and again, and makes the best of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use bireme_core::actor::Delivery;
use bireme_core::actor::call::{CallCode, CallFailure};
use bireme_core::actor::caller;
use bireme_core::actor::host::{Config, Event, Host, Restored};
use bireme_core::actor::place::{ActorPlace, ActorState, EndKind};
use bireme_core::id::{Incarnation, WorkerId};
use bireme_core::{Span, Time};

use super::daemon::{Awaited, Hosting};
use super::files::Files;
use super::plan::{ACTOR, LEASE};
use super::process::Process;
use super::{Item, World};

/// How often it looks.
const LOOK: Span = Span::millis(10);
/// What it waits beyond a lease.
const MARGIN: Span = Span::millis(300);

/// What it knows.
#[derive(Debug, Default)]
pub(super) struct Scheduler {
    pub(super) incarnation: u32,
    /// Where that is, and in which life of the daemon.
    pub(super) place: Option<(usize, u64)>,
    alive: bool,
    pub(super) dead: Option<&'static str>,
    restarts: u32,
    /// The next incarnation does not begin before.
    not_before: Time,
    /// The worker that has the log.
    pub(super) home: Option<usize>,
    /// What an incarnation left that came to rest, if it left anything, and where it did.
    carried: Option<(Option<Files>, usize)>,
    /// Nobody can ask it until then.
    pub(super) down: Time,
    /// No stream to a worker can be had until then.
    pub(super) outage: Time,
    waiters: Vec<(usize, u64, Incarnation)>,
    /// Streams that broke, until their callers hear of it.
    pub(super) broken: BTreeMap<u64, usize>,
}

impl Scheduler {
    /// What is on its way to another worker.
    pub(super) fn carried(&self) -> Option<&Files> {
        self.carried.as_ref().and_then(|(files, _)| files.as_ref())
    }
}

impl World {
    pub(super) fn ask_scheduler(&mut self, user: usize, after: Incarnation, wait: Span) {
        let who = self.users.get_mut(user).expect("it is one");
        who.asked += 1;
        let asked = who.asked;
        let wait = if self.agenda.now() < self.scheduler.down { Span::millis(40) } else { wait };
        self.scheduler.waiters.push((user, asked, after));
        self.agenda.after(wait.max(Span::millis(1)), Item::Resolve { user, asked });
    }

    pub(super) fn on_resolve_waited(&mut self, user: usize, asked: u64) -> Result<(), String> {
        let before = self.scheduler.waiters.len();
        self.scheduler.waiters.retain(|(who, n, _)| (*who, *n) != (user, asked));
        if self.scheduler.waiters.len() == before {
            return Ok(());
        }
        if self.now() < self.scheduler.down {
            return self.drive_user(user, caller::Event::Unresolved);
        }
        let place = Box::new(self.place());
        self.drive_user(user, caller::Event::Resolved(Ok(place)))
    }

    fn place(&self) -> ActorPlace {
        let it = &self.scheduler;
        let state = match (it.dead, it.alive) {
            (Some(_), _) => ActorState::Dead,
            (None, true) => ActorState::Alive,
            (None, false) => ActorState::Restarting,
        };
        let worker = it.place.filter(|_| it.alive && it.dead.is_none());
        ActorPlace {
            actor: ACTOR,
            incarnation: Incarnation(it.incarnation),
            state,
            worker: worker.map(|(worker, _)| WorkerId(u32::try_from(worker).unwrap_or_default())),
            addresses: Vec::new(),
            machine: String::new(),
            lease: LEASE,
            cause: None,
        }
    }

    fn answer_waiters(&mut self) -> Result<(), String> {
        let place = self.place();
        let is_due = |after: Incarnation| {
            place.state == ActorState::Dead
                || (place.state == ActorState::Alive && place.incarnation > after)
        };
        let (due, rest) = std::mem::take(&mut self.scheduler.waiters)
            .into_iter()
            .partition(|(_, _, after)| is_due(*after));
        self.scheduler.waiters = rest;
        let due: Vec<(usize, u64, Incarnation)> = due;
        for (user, _, _) in due {
            let found = if self.rng.chance(10) && place.state == ActorState::Dead {
                Err(Box::new(CallFailure::new(CallCode::Gone, "it has ended")))
            } else {
                Ok(Box::new(place.clone()))
            };
            self.drive_user(user, caller::Event::Resolved(found))?;
        }
        Ok(())
    }

    /// Whether scheduler and worker hear each other.
    fn hears(&self, worker: usize) -> bool {
        let now = self.agenda.now();
        let Some(daemon) = self.daemons.get(worker) else { return false };
        now >= self.scheduler.down && now >= daemon.cut
    }

    pub(super) fn on_look(&mut self, again: bool) -> Result<(), String> {
        if again {
            self.agenda.after(LOOK, Item::Look { again });
        }
        for worker in 0..self.daemons.len() {
            self.renew(worker)?;
        }
        if self.now() < self.scheduler.down {
            return Ok(());
        }
        for worker in 0..self.daemons.len() {
            self.clear_stale(worker)?;
        }
        if self.scheduler.dead.is_none() {
            match self.scheduler.place {
                Some((worker, life)) => self.look_at(worker, life)?,
                None => self.begin_incarnation()?,
            }
        }
        self.answer_waiters()
    }

    /// Leases go on, or end.
    fn renew(&mut self, worker: usize) -> Result<(), String> {
        let (hears, now) = (self.hears(worker), self.now());
        let Some(daemon) = self.daemons.get_mut(worker).filter(|daemon| daemon.up) else {
            return Ok(());
        };
        if hears {
            daemon.heard = now;
        }
        let is_over = now >= daemon.heard + LEASE;
        if daemon.hosting.is_none() || is_over == daemon.fenced {
            return Ok(());
        }
        daemon.fenced = is_over;
        self.line(|| format!("the lease of worker {worker} is over: {is_over}"));
        self.drive(worker, if is_over { Event::LeaseEnded } else { Event::LeaseRenewed })
    }

    /// Incarnations that are not the actor's any more end.
    fn clear_stale(&mut self, worker: usize) -> Result<(), String> {
        let (hears, it) = (self.hears(worker), &self.scheduler);
        let (current, dead) = (it.incarnation, it.dead.is_some());
        let is_here = it.place.is_none_or(|(at, _)| at == worker);
        let Some(daemon) = self.daemons.get_mut(worker).filter(|_| hears) else { return Ok(()) };
        let Some(hosting) = &daemon.hosting else { return Ok(()) };
        if !dead && is_here && hosting.incarnation == current {
            return Ok(());
        }
        if hosting.host.owes_nothing() {
            daemon.hosting = None;
            return Ok(());
        }
        if hosting.told == Some(dead) {
            return Ok(());
        }
        let is_over = hosting.host.is_over();
        daemon.hosting.as_mut().into_iter().for_each(|hosting| {
            hosting.told = is_over.then_some(dead);
        });
        let reason = "it is not wanted here".to_owned();
        self.drive(worker, Event::EndAsked { grace: Span::ZERO, forget: dead, reason })
    }

    /// Looks how the present incarnation is.
    fn look_at(&mut self, worker: usize, life: u64) -> Result<(), String> {
        let (hears, now) = (self.hears(worker), self.now());
        let once = self.plan.spec.delivery == Delivery::EffectivelyOnce;
        let Some(daemon) = self.daemons.get(worker) else { return Ok(()) };
        if !hears {
            // Nobody knows what it does: the log is there alone, else the lease decides.
            if !once && now >= daemon.heard.max(self.scheduler.down) + LEASE + MARGIN {
                self.lost("nothing is heard of it");
            }
            return Ok(());
        }
        if !daemon.up || daemon.life != life {
            self.lost("its daemon died");
            return Ok(());
        }
        let Some(hosting) = &daemon.hosting else {
            self.lost("its worker does not know it");
            return Ok(());
        };
        if let Some(end) = hosting.over {
            return self.on_incarnation_over(worker, end);
        }
        self.scheduler.alive = hosting.process.as_ref().is_some_and(|process| process.alive);
        Ok(())
    }

    #[expect(clippy::unnecessary_wraps, reason = "as all that happens in the world")]
    fn on_incarnation_over(&mut self, worker: usize, end: EndKind) -> Result<(), String> {
        match end {
            EndKind::Crashed | EndKind::Killed => self.lost("it ended"),
            EndKind::Diverged => self.end("it diverged"),
            EndKind::Exited => self.end("it ended itself"),
            EndKind::Failed => self.end("it cannot be made"),
            EndKind::Moved => {
                let daemon = self.daemons.get_mut(worker).expect("it is one");
                let files = daemon.disk.take().filter(|files| files.rested);
                if files.is_none() && self.plan.spec.delivery == Delivery::EffectivelyOnce {
                    self.ledger.leave_state();
                }
                self.scheduler.carried = Some((files, worker));
                self.scheduler.home = None;
                (self.scheduler.place, self.scheduler.alive) = (None, false);
            }
        }
        Ok(())
    }

    pub(super) fn end(&mut self, why: &'static str) {
        self.line(|| format!("the actor is dead: {why}"));
        self.scheduler.dead = Some(why);
    }

    /// An incarnation is lost.
    fn lost(&mut self, why: &'static str) {
        let incarnation = self.scheduler.incarnation;
        self.line(|| format!("incarnation {incarnation} is lost: {why}"));
        let restart = self.plan.spec.restart;
        if restart.max_restarts.is_some_and(|most| self.scheduler.restarts >= most) {
            return self.end("it was lost too often");
        }
        self.scheduler.restarts += 1;
        self.scheduler.not_before = self.now() + restart.backoff;
        (self.scheduler.place, self.scheduler.alive) = (None, false);
    }

    fn begin_incarnation(&mut self) -> Result<(), String> {
        if self.now() < self.scheduler.not_before {
            return Ok(());
        }
        let moved_from = self.scheduler.carried.as_ref().map(|(_, from)| *from);
        let usable = |worker: &usize| {
            self.hears(*worker) && self.daemons.get(*worker).is_some_and(|daemon| daemon.up)
        };
        let may = |worker: &usize| match self.scheduler.home {
            Some(home) => *worker == home,
            None => Some(*worker) != moved_from,
        };
        let fit: Vec<usize> = (0..self.daemons.len()).filter(usable).filter(may).collect();
        if fit.is_empty() {
            return Ok(());
        }
        let worker = *self.rng.pick(&fit);
        self.host_on(worker)
    }

    /// The next incarnation begins at a worker.
    fn host_on(&mut self, worker: usize) -> Result<(), String> {
        if self.scheduler.home.is_some()
            && self.daemons.get(worker).is_none_or(|it| it.disk.is_none())
        {
            // It ended itself, and its daemon died before that was heard.
            self.end("its log is not there any more");
            return Ok(());
        }
        self.scheduler.incarnation += 1;
        let incarnation = self.scheduler.incarnation;
        let once = self.plan.spec.delivery == Delivery::EffectivelyOnce;
        let carried = self.scheduler.carried.take().map(|(files, _)| files);
        let now = self.now();
        let daemon = self.daemons.get_mut(worker).expect("it is one");
        let now = now + daemon.skew;
        daemon.flush();
        self.ledger.lost(daemon.hosting.iter().flat_map(|hosting| &hosting.unwritten));
        let was_moved = carried.is_some();
        if let Some(files) = carried {
            daemon.disk = files;
        }
        let keeps = |files: &Files| once || was_moved || files.incarnation + 1 == incarnation;
        let files = daemon.disk.take().filter(keeps).unwrap_or_default();
        let restored = Restored {
            lsn: files.lsn,
            table: files.table.clone(),
            records: files.records.clone(),
            rested: files.rested,
        };
        let state = files.state.clone();
        daemon.disk = Some(Files { incarnation, rested: false, ..files });
        daemon.processes += 1;
        let process = Process::new(daemon.processes, state);
        let number = process.number;
        let mut effects = Vec::new();
        let host = match daemon.hosting.take() {
            Some(old) if old.incarnation + 1 == incarnation && !was_moved => {
                old.host.succeed(now, Incarnation(incarnation), Some(restored), &mut effects)
            }
            _ => Host::new(
                now,
                Config {
                    actor: ACTOR,
                    incarnation: Incarnation(incarnation),
                    spec: Arc::clone(&self.plan.spec),
                    worker: WorkerId(u32::try_from(worker).unwrap_or_default()),
                    restored: Some(restored),
                },
            ),
        };
        daemon.hosting = Some(Hosting::new(host, process, incarnation));
        daemon.fenced = false;
        let life = daemon.life;
        self.scheduler.place = Some((worker, life));
        self.scheduler.home = once.then_some(worker);
        self.line(|| format!("incarnation {incarnation} begins at worker {worker}"));
        let at = self.rng.span(200, 4_000);
        let what = Awaited::Alive { process: number };
        self.agenda.after(at, Item::Daemon { worker, life, what });
        self.carry_out(worker, effects)
    }
}

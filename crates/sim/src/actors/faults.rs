//! What goes wrong.

use bireme_core::actor::host::Event;
use bireme_core::{Span, Time};

use super::daemon::Awaited;
use super::{Item, World};
use crate::rng::Rng;

/// Something that goes wrong, or is asked for at a bad time.
#[derive(Clone, Debug)]
pub(super) enum Fault {
    /// The streams of a user break.
    Break(usize),
    /// All streams break, and none can be had for a while.
    Outage(Span),
    /// Somebody wants a checkpoint.
    Checkpoint,
    /// A user goes.
    Close(usize),
    /// A worker hears nothing of the scheduler for a while.
    Cut(usize, Span),
    /// The scheduler is away for a while.
    Down(Span),
    /// A worker's clock leaps ahead.
    Jump(usize, Span),
    /// A user's clock does.
    JumpUser(usize, Span),
    /// The process dies, and leaves its mark, or does not.
    Kill(bool),
    /// A daemon dies, and with it its process.
    KillDaemon(usize),
    /// The incarnation is ended, or the actor.
    End { grace: Span, forget: bool },
    /// The log cannot be written any more.
    LogFails,
    /// The actor is to move.
    Move { quiesce: Option<Span>, lose_state: bool },
}

impl Fault {
    pub(super) fn any(rng: &mut Rng, workers: usize) -> Self {
        let user = rng.place(4);
        let worker = rng.place(workers);
        match rng.below(30) {
            0..6 => Self::Break(user),
            6 => Self::Outage(rng.span(1_000, 900_000)),
            7 if rng.chance(30) => Self::Close(user),
            7 => Self::Checkpoint,
            8..10 => Self::Cut(worker, rng.span(50_000, 2_500_000)),
            10..12 => Self::Down(rng.span(20_000, 2_500_000)),
            12 => Self::Jump(worker, rng.span(1_000, 5_000_000)),
            13 => Self::JumpUser(user, rng.span(1_000, 500_000)),
            14..20 => Self::Kill(rng.chance(70)),
            20..24 => Self::KillDaemon(worker),
            24 => Self::End { grace: rng.span(0, 50_000), forget: rng.chance(15) },
            25 => Self::LogFails,
            _ => Self::Move {
                quiesce: rng.chance(50).then(|| rng.span(0, 100_000)),
                lose_state: rng.chance(20),
            },
        }
    }
}

impl World {
    pub(super) fn strike(&mut self, fault: &Fault) -> Result<(), String> {
        self.line(|| format!("FAULT {fault:?}"));
        let now = self.now();
        let here = self.scheduler.place.map(|(worker, _)| worker);
        match fault {
            Fault::Break(user) => {
                let conn = self.users.get(*user).and_then(|user| user.conn);
                if let Some(conn) = conn {
                    self.hang_up(conn, true);
                }
            }
            Fault::Close(user) => return self.close(*user),
            Fault::Outage(span) => {
                self.scheduler.outage = now + *span;
                for conn in self.conns.keys().copied().collect::<Vec<_>>() {
                    self.hang_up(conn, true);
                }
            }
            Fault::Cut(worker, span) => self.cut(*worker, now + *span),
            Fault::Down(span) => self.scheduler.down = now + *span,
            Fault::Jump(worker, span) => {
                if let Some(daemon) = self.daemons.get_mut(*worker) {
                    daemon.skew = Span(daemon.skew.0 + span.0);
                }
            }
            Fault::JumpUser(user, span) => {
                if let Some(user) = self.users.get_mut(*user) {
                    user.skew = Span(user.skew.0 + span.0);
                }
            }
            Fault::Kill(marked) => {
                if let Some(here) = here {
                    self.kill_process(here, *marked);
                }
            }
            Fault::KillDaemon(worker) => self.kill_daemon(*worker),
            Fault::LogFails => {
                let daemon = here.and_then(|here| self.daemons.get_mut(here));
                let hosting = daemon.and_then(|daemon| daemon.hosting.as_mut());
                if let Some(hosting) = hosting {
                    hosting.log_fails = true;
                }
            }
            Fault::Checkpoint | Fault::End { .. } | Fault::Move { .. } => {
                return here.map_or(Ok(()), |here| self.ask(here, fault));
            }
        }
        Ok(())
    }

    /// Asks an incarnation for something, if the scheduler can.
    fn ask(&mut self, here: usize, fault: &Fault) -> Result<(), String> {
        let now = self.now();
        let is_reached = self.daemons.get(here).is_some_and(|daemon| now >= daemon.cut);
        if now < self.scheduler.down || !is_reached || self.scheduler.dead.is_some() {
            return Ok(());
        }
        let request = now.0;
        let event = match fault {
            Fault::End { grace, forget } => {
                if *forget {
                    self.end("somebody wanted that");
                }
                let reason = "somebody wanted that".to_owned();
                Event::EndAsked { grace: *grace, forget: *forget, reason }
            }
            Fault::Move { quiesce, lose_state } => {
                let hosting = self.daemons.get_mut(here).and_then(|it| it.hosting.as_mut());
                if let Some(hosting) = hosting {
                    hosting.leaving.wished(request);
                }
                Event::MoveAsked { request, quiesce: *quiesce, lose_state: *lose_state }
            }
            _ => Event::CheckpointAsked { request },
        };
        self.drive(here, event)
    }

    fn cut(&mut self, worker: usize, until: Time) {
        if let Some(daemon) = self.daemons.get_mut(worker) {
            daemon.cut = daemon.cut.max(until);
        }
    }

    /// The process dies; the daemon hears of it a little later.
    pub(super) fn kill_process(&mut self, worker: usize, marked: bool) {
        let life = self.life(worker);
        let Some(daemon) = self.daemons.get_mut(worker) else { return };
        let Some(process) = daemon.hosting.as_mut().and_then(|it| it.process.as_mut()) else {
            return;
        };
        process.exiting = true;
        process.alive = false;
        let what = Awaited::Died { process: process.number, marked };
        self.agenda.after(Span(40), Item::Daemon { worker, life, what });
    }

    fn kill_daemon(&mut self, worker: usize) {
        let after = self.rng.span(5_000, 700_000);
        let Some(daemon) = self.daemons.get_mut(worker).filter(|daemon| daemon.up) else { return };
        daemon.up = false;
        daemon.life += 1;
        let hosting = daemon.hosting.take();
        let life = daemon.life;
        self.ledger.lost(hosting.iter().flat_map(|hosting| &hosting.unwritten));
        if let Some(process) = hosting.and_then(|hosting| hosting.process) {
            self.bury(worker, process.number);
        }
        for (conn, known) in
            self.conns.iter().map(|(conn, known)| (*conn, known.worker)).collect::<Vec<_>>()
        {
            if known == worker {
                self.hang_up(conn, true);
            }
        }
        self.agenda.after(after, Item::Daemon { worker, life, what: Awaited::Started });
    }
}

//! The daemons of workers: drivers of hosts, with the files that outlive them.

use bireme_core::actor::call::{CallCode, CallFailure};
use bireme_core::actor::host::{Effect, Event, Host, Line, Record, Run, RunEnd, RunNo, Table};
use bireme_core::actor::place::{Checkpoint, EndKind};
use bireme_core::actor::wire::{ToCaller, ToHost};
use bireme_core::error::{ErrorClass, TaskError};
use bireme_core::{Span, Time};

use super::files::{Files, Leaving};
use super::plan::LEASE;
use super::process::{Process, State};
use super::{Item, World};

/// What a message from a process takes.
const PIPE: Span = Span(60);

/// One worker.
#[derive(Debug)]
pub(super) struct Daemon {
    pub(super) up: bool,
    pub(super) life: u64,
    /// Its clock is ahead by that.
    pub(super) skew: Span,
    pub(super) hosting: Option<Hosting>,
    pub(super) disk: Option<Files>,
    /// When it heard from the scheduler last.
    pub(super) heard: Time,
    /// It hears nothing from the scheduler until then.
    pub(super) cut: Time,
    /// Its hosts know that the lease is over.
    pub(super) fenced: bool,
    pub(super) processes: u64,
    lines: u64,
}

/// An incarnation that is hosted.
#[derive(Debug)]
pub(super) struct Hosting {
    pub(super) host: Host,
    pub(super) incarnation: u32,
    pub(super) process: Option<Process>,
    /// Records that are not in the file yet.
    pub(super) unwritten: Vec<Record>,
    /// They never will be.
    pub(super) log_fails: bool,
    keeping: Option<(u64, Table, State)>,
    pub(super) leaving: Leaving,
    pub(super) over: Option<EndKind>,
    /// What it was told of its end.
    pub(super) told: Option<bool>,
    timer: Option<Time>,
}

/// Something that a daemon waits for.
#[derive(Debug)]
pub(super) enum Awaited {
    /// The process has made the actor.
    Alive {
        process: u64,
    },
    /// A process has died, and this is its mark.
    Died {
        process: u64,
        marked: bool,
    },
    /// A call in the process comes to its end.
    Done {
        process: u64,
        run: RunNo,
    },
    /// The daemon hears so.
    Ended {
        process: u64,
        run: RunNo,
        end: Box<RunEnd>,
    },
    /// The daemon hears that the actor ends itself.
    Exited {
        process: u64,
    },
    Gathered {
        incarnation: u32,
        ticket: u64,
    },
    /// A streaming call gives an item.
    Item {
        process: u64,
        run: RunNo,
    },
    ItemHeard {
        process: u64,
        run: RunNo,
        n: u64,
    },
    Kept {
        incarnation: u32,
    },
    LineLost(u64),
    /// The daemon hears that the process, which ends, will not begin a call.
    NotBegun {
        process: u64,
        run: RunNo,
    },
    Started,
    /// The daemon hears that the process has given a call back.
    TakenBack {
        process: u64,
        run: RunNo,
    },
    Timer,
    Written {
        incarnation: u32,
    },
}

impl Hosting {
    pub(super) fn new(host: Host, process: Process, incarnation: u32) -> Self {
        Self {
            host,
            incarnation,
            process: Some(process),
            unwritten: Vec::new(),
            log_fails: false,
            keeping: None,
            leaving: Leaving::default(),
            over: None,
            told: None,
            timer: None,
        }
    }

    /// The process of that number, if it lives.
    fn process(&mut self, number: u64) -> Option<&mut Process> {
        self.process.as_mut().filter(|process| process.number == number)
    }
}

impl Default for Daemon {
    fn default() -> Self {
        Self {
            up: true,
            life: 1,
            skew: Span::ZERO,
            hosting: None,
            disk: None,
            heard: Time(1),
            cut: Time(0),
            fenced: false,
            processes: 0,
            lines: 0,
        }
    }
}

impl Daemon {
    /// Writes what is to be written, if that can be.
    pub(super) fn flush(&mut self) {
        let (Some(hosting), Some(disk)) = (&mut self.hosting, &mut self.disk) else { return };
        if !hosting.log_fails && disk.incarnation == hosting.incarnation {
            disk.records.append(&mut hosting.unwritten);
        }
    }

    fn process(&mut self, number: u64) -> Option<&mut Process> {
        self.hosting.as_mut()?.process(number)
    }
}

pub(super) fn died(message: &str) -> Box<TaskError> {
    Box::new(TaskError::new(ErrorClass::ProcessDied, "PROCESS_DIED", message))
}

impl World {
    pub(super) fn on_awaited(
        &mut self,
        worker: usize,
        life: u64,
        what: Awaited,
    ) -> Result<(), String> {
        let Some(daemon) = self.daemons.get_mut(worker) else { return Ok(()) };
        if let Awaited::Started = what {
            daemon.up = true;
            return Ok(());
        }
        if daemon.life != life {
            return Ok(());
        }
        match what {
            Awaited::Alive { process } => self.on_process_alive(worker, process),
            Awaited::Died { process, marked } => self.on_process_dead(worker, process, marked),
            Awaited::Done { process, run } => self.on_done(worker, process, run),
            Awaited::Ended { process, run, end } => {
                let took = self.rng.span(10, 500);
                self.drive_if(worker, process, Event::Ended { run, end: *end, took })
            }
            Awaited::Exited { process } => self.drive_if(worker, process, Event::Exited),
            Awaited::Gathered { incarnation, ticket } => {
                let fails = self.rng.chance(15);
                let lost = || CallFailure::new(CallCode::ArgumentFailed, "it was lost");
                let inputs = if fails { Err(Box::new(lost())) } else { Ok(()) };
                self.drive_of(worker, incarnation, Event::Gathered { ticket, inputs })
            }
            Awaited::Item { process, run } => self.on_item_time(worker, process, run),
            Awaited::ItemHeard { process, run, n } => {
                let value = Box::new(bireme_core::Value::text(n.to_string()));
                self.drive_if(worker, process, Event::Item { run, n, value })
            }
            Awaited::Kept { incarnation } => self.on_kept(worker, incarnation),
            Awaited::LineLost(line) => self.drive(worker, Event::LineLost(Line(line))),
            Awaited::NotBegun { process, run } => {
                self.drive_if(worker, process, Event::NotBegun(run))
            }
            Awaited::Started => Ok(()),
            Awaited::TakenBack { process, run } => {
                self.drive_if(worker, process, Event::TakenBack(run))
            }
            Awaited::Timer => self.on_host_timer(worker),
            Awaited::Written { incarnation } => self.on_written(worker, incarnation),
        }
    }

    /// Tells a host something about its process, if it still has that.
    fn drive_if(&mut self, worker: usize, process: u64, event: Event) -> Result<(), String> {
        match self.daemons.get_mut(worker).and_then(|daemon| daemon.process(process)) {
            Some(_) => self.drive(worker, event),
            None => Ok(()),
        }
    }

    fn drive_of(&mut self, worker: usize, of: u32, event: Event) -> Result<(), String> {
        let hosting = self.daemons.get(worker).and_then(|daemon| daemon.hosting.as_ref());
        match hosting {
            // What was asked for by the incarnation before goes on.
            Some(hosting) if hosting.incarnation >= of => self.drive(worker, event),
            _ => Ok(()),
        }
    }

    pub(super) fn drive(&mut self, worker: usize, event: Event) -> Result<(), String> {
        let now = self.now();
        let Some(daemon) = self.daemons.get_mut(worker) else { return Ok(()) };
        let now = now + daemon.skew;
        let Some(hosting) = &mut daemon.hosting else { return Ok(()) };
        self.seen.saw(&event);
        if let Event::Ended { end, .. } = &event {
            self.seen.saw(end);
        }
        let mut effects = Vec::new();
        hosting.host.handle(now, event, &mut effects);
        hosting.host.check()?;
        self.carry_out(worker, effects)
    }

    pub(super) fn carry_out(&mut self, worker: usize, effects: Vec<Effect>) -> Result<(), String> {
        for effect in effects {
            self.seen.saw(&effect);
            self.carry_out_one(worker, effect)?;
        }
        self.pump(worker)?;
        self.set_host_timer(worker);
        Ok(())
    }

    fn carry_out_one(&mut self, worker: usize, effect: Effect) -> Result<(), String> {
        let life = self.life(worker);
        match effect {
            Effect::Append { lsn, record } => self.append(worker, lsn, record),
            Effect::Checkpoint { lsn, table } => self.checkpoint(worker, lsn, *table),
            Effect::Checkpointed { request, made: Err(_) } => {
                self.hosting(worker).leaving.given_up(request);
                Ok(())
            }
            Effect::Checkpointed { .. } | Effect::Ungather { .. } => Ok(()),
            Effect::Credit { run, n } => {
                let daemon = self.daemons.get_mut(worker).expect("it is one");
                let hosting = daemon.hosting.as_mut().expect("it speaks");
                let Some(process) = &mut hosting.process else { return Ok(()) };
                let number = process.number;
                if process.credit(run, n) {
                    let what = Awaited::Item { process: number, run };
                    self.agenda.after(PIPE, Item::Daemon { worker, life, what });
                }
                Ok(())
            }
            Effect::Gather { ticket, .. } => {
                let incarnation = self.hosting(worker).incarnation;
                let at = self.rng.span(50, 5_000);
                let what = Awaited::Gathered { incarnation, ticket };
                self.agenda.after(at, Item::Daemon { worker, life, what });
                Ok(())
            }
            Effect::Over { end, forget, .. } => self.on_over(worker, end, forget),
            Effect::Probe { run, probe } => self.pass_on(worker, run, *probe),
            Effect::Run(run) => self.on_given(worker, *run),
            Effect::Say { line, word } => self.send_down(worker, line, word),
            Effect::Stop { run, .. } => self.on_stop(worker, run),
            Effect::TakeBack { run } => self.take_back(worker, run),
        }
    }

    pub(super) fn life(&self, worker: usize) -> u64 {
        self.daemons.get(worker).map_or(0, |daemon| daemon.life)
    }

    fn hosting(&mut self, worker: usize) -> &mut Hosting {
        let daemon = self.daemons.get_mut(worker).expect("it is one");
        daemon.hosting.as_mut().expect("a host speaks")
    }

    fn set_host_timer(&mut self, worker: usize) {
        let life = self.life(worker);
        let now = self.now();
        let Some(daemon) = self.daemons.get_mut(worker) else { return };
        let skew = daemon.skew;
        let Some(hosting) = &mut daemon.hosting else { return };
        let Some(at) = hosting.host.next_timer() else { return };
        let at = (at - skew).max(now);
        if hosting.timer.is_none_or(|set| at < set) {
            hosting.timer = Some(at);
            self.agenda.at(at, Item::Daemon { worker, life, what: Awaited::Timer });
        }
    }

    fn on_host_timer(&mut self, worker: usize) -> Result<(), String> {
        let now = self.now();
        let Some(daemon) = self.daemons.get_mut(worker) else { return Ok(()) };
        let now = now + daemon.skew;
        let Some(hosting) = &mut daemon.hosting else { return Ok(()) };
        hosting.timer = None;
        if hosting.host.next_timer().is_some_and(|at| at <= now) {
            return self.drive(worker, Event::TimerDue);
        }
        self.set_host_timer(worker);
        Ok(())
    }

    fn append(&mut self, worker: usize, lsn: u64, record: Record) -> Result<(), String> {
        let (life, at) = (self.life(worker), self.rng.span(0, 2_500));
        let daemon = self.daemons.get_mut(worker).expect("it is one");
        let hosting = daemon.hosting.as_mut().expect("it speaks");
        let incarnation = hosting.incarnation;
        self.seen.saw(&record);
        self.ledger.was_poisoned |= matches!(record, Record::Poisoned { .. });
        hosting.unwritten.push(record);
        let disk = daemon.disk.as_ref().ok_or("there are no files")?;
        let next = disk.lsn + (disk.records.len() + hosting.unwritten.len()) as u64;
        if !hosting.log_fails && next != lsn {
            return Err(format!("record {lsn} is appended where {next} is due"));
        }
        let what = Awaited::Written { incarnation };
        self.agenda.after(at, Item::Daemon { worker, life, what });
        Ok(())
    }

    fn on_written(&mut self, worker: usize, incarnation: u32) -> Result<(), String> {
        let daemon = self.daemons.get_mut(worker).expect("it is one");
        let Some(hosting) = &mut daemon.hosting else { return Ok(()) };
        if hosting.incarnation != incarnation {
            return Ok(());
        }
        if hosting.log_fails {
            return self.drive(worker, Event::LogFailed(died("no space left on device")));
        }
        daemon.flush();
        let end = daemon.disk.as_ref().map_or(0, |disk| disk.lsn + disk.records.len() as u64);
        self.drive(worker, Event::Durable { lsn: end })
    }

    fn checkpoint(&mut self, worker: usize, lsn: u64, table: Table) -> Result<(), String> {
        let (life, at) = (self.life(worker), self.rng.span(100, 6_000));
        let hosting = self.hosting(worker);
        let incarnation = hosting.incarnation;
        let Some(process) = &hosting.process else { return Ok(()) };
        if !process.running.is_empty() {
            return Err("a checkpoint is asked for while calls run".to_owned());
        }
        hosting.keeping = Some((lsn, table, process.state.clone()));
        let what = Awaited::Kept { incarnation };
        self.agenda.after(at, Item::Daemon { worker, life, what });
        Ok(())
    }

    fn on_kept(&mut self, worker: usize, incarnation: u32) -> Result<(), String> {
        let fails = self.rng.chance(self.plan.bad_checkpoints);
        let daemon = self.daemons.get_mut(worker).expect("it is one");
        daemon.flush();
        let Some(hosting) = &mut daemon.hosting else { return Ok(()) };
        let Some((lsn, table, state)) = hosting.keeping.take() else { return Ok(()) };
        if hosting.incarnation != incarnation || hosting.process.is_none() {
            return Ok(());
        }
        let fails = fails || hosting.log_fails;
        self.trace.line(self.agenda.now(), || {
            format!("the checkpoint of worker {worker} up to {lsn} fails: {fails}")
        });
        if fails {
            return self.drive(worker, Event::StateKept(Err(died("the disk is full"))));
        }
        let disk = daemon.disk.get_or_insert_default();
        let old = usize::try_from(lsn.saturating_sub(disk.lsn)).unwrap_or_default();
        disk.records.drain(..old.min(disk.records.len()));
        (disk.lsn, disk.table, disk.state) = (lsn, table, state);
        disk.incarnation = incarnation;
        hosting.leaving.kept();
        let kept = Checkpoint { lsn, bytes: 10, took: Span(5) };
        self.drive(worker, Event::StateKept(Ok(kept)))
    }

    fn on_over(&mut self, worker: usize, end: EndKind, forget: bool) -> Result<(), String> {
        let life = self.life(worker);
        self.line(|| format!("the incarnation at worker {worker} is over: {end:?}"));
        self.seen.saw(&end);
        if end == EndKind::Diverged {
            let beside = self.plan.runs_beside();
            if !(self.plan.lies.is_some() || (self.ledger.was_poisoned && beside)) {
                return Err("a replay diverged".to_owned());
            }
            self.ledger.diverged = true;
        }
        let daemon = self.daemons.get_mut(worker).expect("it is one");
        let hosting = daemon.hosting.as_mut().expect("it speaks");
        hosting.over = Some(end);
        if let Some(process) = &mut hosting.process {
            let number = process.number;
            if self.rng.chance(50) {
                for run in process.leave_undone() {
                    let what = Awaited::NotBegun { process: number, run };
                    self.agenda.after(PIPE, Item::Daemon { worker, life, what });
                }
            }
            let what = Awaited::Died { process: number, marked: true };
            self.agenda.after(PIPE, Item::Daemon { worker, life, what });
        }
        if let Some(disk) = &mut daemon.disk {
            disk.rested = end == EndKind::Moved && hosting.leaving.has_checkpoint;
        }
        if forget {
            daemon.flush();
            let daemon = self.daemons.get_mut(worker).expect("it is one");
            let process = daemon.hosting.as_ref().and_then(|hosting| hosting.process.as_ref());
            if let (Some(process), Some(disk), EndKind::Exited) = (process, &mut daemon.disk, end) {
                // Nothing is left but what it was in the end.
                disk.state = process.state.clone();
                disk.records.clear();
            }
            self.ledger.last_files = daemon.disk.take();
            self.ledger.was_killed |= end == EndKind::Killed;
        }
        Ok(())
    }

    fn on_process_alive(&mut self, worker: usize, process: u64) -> Result<(), String> {
        let fails = self.plan.bombs && self.rng.chance(1);
        let checkpoints = !self.plan.stateless;
        let Some(it) = self.daemons.get_mut(worker).and_then(|it| it.process(process)) else {
            return Ok(());
        };
        if it.exiting {
            return Ok(());
        }
        if fails {
            return self.drive(worker, Event::Refused(died("no such file")));
        }
        it.alive = true;
        let told = self.rng.span(50, 1_000);
        self.agenda.after(told, Item::Look { again: false });
        self.drive(worker, Event::Alive { checkpoints })
    }

    fn on_process_dead(&mut self, worker: usize, process: u64, marked: bool) -> Result<(), String> {
        let Some(daemon) = self.daemons.get_mut(worker) else { return Ok(()) };
        let Some(hosting) = &mut daemon.hosting else { return Ok(()) };
        let Some(dead) = hosting.process.take_if(|it| it.number == process) else { return Ok(()) };
        hosting.keeping = None;
        let reached = marked.then(|| dead.mark());
        self.bury(worker, process);
        self.drive(worker, Event::ProcessLost { reached, error: died("killed by signal 9") })
    }

    /// Who called from inside a process is no more.
    pub(super) fn bury(&mut self, worker: usize, process: u64) {
        let inside: Vec<usize> = (0..self.users.len())
            .filter(|user| {
                let inside = self.users.get(*user).and_then(|user| user.inside);
                inside.is_some_and(|(at, of, _)| (at, of) == (worker, process))
            })
            .collect();
        for user in inside {
            let who = self.users.get_mut(user).expect("it is one");
            who.is_dead = true;
            let (id, conn) = (who.id, who.conn.take());
            self.ledger.abandon(id);
            if let Some(conn) = conn {
                self.hang_up(conn, false);
            }
        }
    }

    pub(super) fn on_said(&mut self, conn: u64, word: ToHost) -> Result<(), String> {
        let Some(known) = self.conns.get_mut(&conn) else { return Ok(()) };
        let worker = known.worker;
        let Some(daemon) = self.daemons.get_mut(worker) else { return Ok(()) };
        if !daemon.up || daemon.life != known.life {
            return Ok(());
        }
        self.seen.saw(&word);
        let user = known.user;
        self.trace.line(self.agenda.now(), || format!("user {user} to worker {worker}: {word:?}"));
        let mut old = None;
        if matches!(word, ToHost::Open(_)) {
            daemon.lines += 1;
            known.opens += 1;
            old = known.line.replace(daemon.lines * 1_000 + worker as u64);
        }
        let Some(line) = known.line else { return Ok(()) };
        let is_hosted = daemon.hosting.is_some();
        if let Some(old) = old {
            self.drive(worker, Event::LineLost(Line(old)))?;
        }
        if !is_hosted {
            let why = CallFailure::new(CallCode::Fenced, "it is not hosted here");
            return self.send_down(worker, Line(line), ToCaller::OpenRefused(Box::new(why)));
        }
        self.drive(worker, Event::Said { line: Line(line), word })
    }

    fn send_down(&mut self, worker: usize, line: Line, word: ToCaller) -> Result<(), String> {
        self.seen.saw_word(&word);
        if matches!(word, ToCaller::Reply { .. } | ToCaller::Item { .. }) {
            self.must_not_be_fenced(worker, &word)?;
        }
        let (now, jitter) = (self.now(), self.rng.span(0, 300));
        let found = self.conns.iter_mut().find(|(_, conn)| conn.line == Some(line.0));
        let Some((conn, known)) = found else { return Ok(()) };
        known.down = known.down.max(now + known.latency + jitter);
        let (at, opens, conn) = (known.down, known.opens, *conn);
        self.agenda.at(at, Item::Heard { conn, opens, word });
        Ok(())
    }

    /// Where a host stops at the end of its lease, no later incarnation lives while it speaks or begins anything.
    fn must_not_be_fenced(&self, worker: usize, what: &ToCaller) -> Result<(), String> {
        let ran = match what {
            ToCaller::Reply { ending, .. } => ending.outcome.code().is_none(),
            _ => true,
        };
        let Some(hosting) = self.daemons.get(worker).and_then(|it| it.hosting.as_ref()) else {
            return Ok(());
        };
        let stops = self.plan.stops();
        let is_old = hosting.incarnation < self.scheduler.incarnation;
        if ran && stops && is_old && !hosting.host.is_over() {
            return Err(format!("incarnation {} speaks beside a later one", hosting.incarnation));
        }
        Ok(())
    }

    fn on_given(&mut self, worker: usize, run: Run) -> Result<(), String> {
        let (heard, now) = (self.daemons.get(worker).map(|it| it.heard), self.now());
        let too_late = heard.is_some_and(|heard| now > heard + LEASE + Span::millis(25));
        if self.plan.stops() && too_late {
            return Err(format!("{} begins after the end of the lease", Self::name(run.id)));
        }
        self.line(|| {
            format!("{} is given as {} (again: {})", Self::name(run.id), run.run.0, run.replay)
        });
        if let Some(process) = &mut self.hosting(worker).process {
            process.give(run);
        }
        self.pump(worker)
    }

    #[expect(clippy::unnecessary_wraps, reason = "as all that happens in the world")]
    fn on_stop(&mut self, worker: usize, run: RunNo) -> Result<(), String> {
        let (life, heeds) = (self.life(worker), self.rng.chance(70));
        let Some(process) = &mut self.hosting(worker).process else { return Ok(()) };
        let number = process.number;
        if process.unqueue(run) {
            let end = Box::new(RunEnd::Cancelled);
            let what = Awaited::Ended { process: number, run, end };
            self.agenda.after(PIPE, Item::Daemon { worker, life, what });
        } else if let Some(running) = process.running.get_mut(&run).filter(|_| heeds) {
            running.stopped = true;
            let what = Awaited::Done { process: number, run };
            self.agenda.after(PIPE, Item::Daemon { worker, life, what });
        }
        Ok(())
    }
}

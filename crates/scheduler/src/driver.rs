//! Owns the machine and the only event loop.
//!
//! A turn of the loop: take what is in the inbox, up to [`limits::INBOX_DRAIN`] events; hand each event to the machine and
//! carry out its effects; then flush every woken stream once. Decoding and the sockets are elsewhere, on the same thread.

pub(crate) mod account;
pub(crate) mod calls;
pub(crate) mod clock;
pub(crate) mod mail;
pub(crate) mod outbox;
pub(crate) mod streams;

use std::mem;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use bireme_core::id::{Digest, SessionId, SessionToken, SubmissionId};
use bireme_core::limits;
use bireme_core::link::Hello;
use bireme_core::protocol::{Announce, Secret};
use bireme_core::reason::{Reason, Refusal};
use bireme_core::session::{Command, Open, Opened};
use bireme_core::time::{Span, Time};
use bireme_daemon::{Alarm, Lookout, Systemd, Task};

use crate::driver::account::{Accounts, Step};
use crate::driver::calls::Calls;
use crate::driver::clock::Clock;
use crate::driver::mail::{Answer, BadCommand, By, Mail, WorkerBatch};
use crate::driver::outbox::Bell;
use crate::driver::streams::{Streams, Whom};
use crate::machine::{ConnId, Effect, Event, Machine, Peer};
use crate::metrics::Published;
use crate::state::{State, StateError};

/// What those who look at the machine see.
pub(crate) struct Scene<'a> {
    /// The machine.
    pub(crate) machine: &'a Machine,
    /// Who is connected.
    pub(crate) streams: &'a Streams,
    /// Where the loop spent its time.
    pub(crate) accounts: &'a Accounts,
    /// When.
    pub(crate) now: Time,
}

/// What a driver is made of.
pub(crate) struct Parts {
    /// The machine.
    pub(crate) machine: Machine,
    /// What outlives it.
    pub(crate) state: State,
    /// The time of its events.
    pub(crate) clock: Clock,
    /// How it greets.
    pub(crate) hello: Hello,
    /// What workers know issued tokens by, where any are asked for.
    pub(crate) token_key: Option<Secret>,
    /// For hashing.
    pub(crate) seed: u64,
    /// Token of the session that owns what nobody owns.
    pub(crate) nobody: SessionToken,
    /// Where the numbers for Prometheus go.
    pub(crate) published: Published,
}

/// Feeds the machine and carries out what it asks for.
pub(crate) struct Driver {
    machine: Machine,
    state: State,
    clock: Clock,
    hello: Hello,
    token_key: Option<Secret>,
    nobody: SessionToken,
    published: Published,
    systemd: Systemd,
    inbox: mpsc::Receiver<Mail>,
    bell: Arc<Bell>,
    lookout: Arc<Lookout>,
    streams: Streams,
    calls: Calls,
    accounts: Accounts,
    effects: Vec<Effect>,
    /// When sessions are told what waits for them though nothing comes.
    flush_at: Option<Time>,
    /// When the last step ended, in nanoseconds.
    step_ns: u64,
    /// Why the loop must end.
    broken: Option<StateError>,
    stopped: Option<oneshot::Sender<()>>,
}

impl Driver {
    /// A driver that reads this inbox.
    pub(crate) fn new(parts: Parts, inbox: mpsc::Receiver<Mail>, bell: Arc<Bell>) -> Self {
        let Parts { machine, state, clock, hello, token_key, seed, nobody, published } = parts;
        Self {
            machine,
            state,
            clock,
            hello,
            token_key,
            nobody,
            published,
            systemd: Systemd::default(),
            inbox,
            bell,
            lookout: Arc::default(),
            streams: Streams::new(seed),
            calls: Calls::default(),
            accounts: Accounts::default(),
            effects: Vec::new(),
            flush_at: None,
            step_ns: clock.nanos(),
            broken: None,
            stopped: None,
        }
    }

    /// Has the service manager hear that the loop turns.
    pub(crate) fn report_to(&mut self, systemd: Systemd) {
        self.systemd = systemd;
    }

    /// Runs until it is told to stop, or cannot go on.
    pub(crate) async fn run(mut self) -> Result<(), StateError> {
        let mut alarm = Alarm::new(self.clock.instant(self.now()));
        let lookout = Arc::clone(&self.lookout);
        let _keeps = Task::spawn(async move { lookout.keep().await });
        self.publish(true);
        loop {
            let due = self.next_timer().map(|due| self.clock.instant(due));
            alarm.set(self.clock.instant(self.now()), due);
            let bell = Arc::clone(&self.bell);
            let first = tokio::select! {
                biased;
                mail = self.inbox.recv() => match mail {
                    Some(mail) => Some(mail),
                    None => return Ok(()),
                },
                () = bell.rung() => None,
                () = alarm.rung() => None,
            };
            self.turn(first);
            if let Some(error) = self.broken.take() {
                return Err(error);
            }
            if let Some(reply) = self.stopped.take() {
                // Whoever asked may have given up waiting.
                let _ = reply.send(());
                return Ok(());
            }
        }
    }

    /// The moment at which the loop must turn even if nothing comes.
    fn next_timer(&self) -> Option<Time> {
        let (publish, watchdog) = (self.published.due(), self.systemd.due());
        let (timer, deadline) = (self.machine.next_timer(), self.calls.next_deadline());
        [timer, deadline, self.flush_at, publish, watchdog].into_iter().flatten().min()
    }

    /// One turn of the loop.
    fn turn(&mut self, first: Option<Mail>) {
        let began = self.clock.nanos();
        let idle = Span(began.saturating_sub(self.step_ns) / 1_000);
        self.step_ns = began;
        let mut events = 0;
        let mut only_chunks = first.is_some();
        let mut next = first;
        while let Some(mail) = next {
            only_chunks &= mail.is_only_chunks();
            events += self.on_mail(mail);
            self.carry_out();
            next = if events < limits::INBOX_DRAIN { self.inbox.try_recv().ok() } else { None };
        }
        if let Some(due) = self.machine.next_timer()
            && due <= self.now()
        {
            self.accounts.lag(due, self.now());
            self.handle(Event::TimerDue);
            self.carry_out();
        }
        for conn in self.bell.take() {
            self.streams.wake_conn(conn);
        }
        let whom = self.whom_to_tell(only_chunks);
        let told = self.streams.flush(&mut self.machine, whom);
        if told.any {
            self.step_done(Step::Flush);
        }
        if told.sessions {
            self.lookout.answered();
        }
        if self.calls.is_watched() {
            let Self { machine, streams, accounts, calls, step_ns, .. } = self;
            calls.look(&Scene { machine, streams, accounts, now: Time(*step_ns / 1_000) });
            self.step_done(Step::Look);
        }
        self.accounts.turn(events as u64, idle);
        self.publish(events > 0);
        self.systemd.turned(self.now());
    }

    /// Who is told of news in this turn. If only chunks have come, sessions have hardly more to hear than that they were
    /// accepted, which nobody waits for: it goes with the results of a short graph, or after [`limits::FLUSH_LATE`].
    fn whom_to_tell(&mut self, only_chunks: bool) -> Whom {
        let now = self.now();
        if only_chunks && now < *self.flush_at.get_or_insert(now + limits::FLUSH_LATE) {
            return Whom::Workers;
        }
        self.flush_at = None;
        Whom::All
    }

    /// Carries out one piece of mail. Returns how many events that was.
    fn on_mail(&mut self, mail: Mail) -> usize {
        match mail {
            Mail::Asked(event) => self.handle(event),
            Mail::Attached { conn, open, stream } => {
                self.streams.insert(conn, stream);
                self.open(Some(conn), open);
            }
            Mail::Commanded { by, command, reply } => self.on_commanded(by, command, reply),
            Mail::Commands { conn, commands } => return self.on_commands(conn, commands),
            Mail::Ended { conn, because } => {
                if let Some(peer) = self.streams.end(conn, because.as_ref()) {
                    self.handle(Event::Disconnected { conn, peer });
                }
            }
            Mail::Joined { conn, join, stream } => {
                self.streams.insert(conn, stream);
                self.handle(Event::WorkerJoined { conn, join: *join });
            }
            Mail::Look(look) => {
                look(&self.scene());
                self.step_done(Step::Look);
            }
            // A caller that has gone does not need the answer.
            Mail::Opened { open, reply } => drop(reply.send(self.open_unseen(open))),
            Mail::Reports { conn, batch } => return self.on_reports(conn, *batch),
            Mail::Stop { why, workers, reply } => {
                self.streams.flush(&mut self.machine, Whom::All);
                self.streams.end_all(&why, workers);
                self.stopped = Some(reply);
            }
            Mail::Wait { longest, watch } => {
                let Self { machine, streams, accounts, calls, step_ns, .. } = self;
                let now = Time(*step_ns / 1_000);
                calls.watch(now + longest, watch, &Scene { machine, streams, accounts, now });
                self.step_done(Step::Look);
            }
        }
        1
    }

    /// Opens a session over a stream, or over none. `None` if the machine refuses.
    fn open(&mut self, conn: Option<ConnId>, open: Open) -> Option<Opened> {
        self.handle(Event::SessionOpened { conn, open });
        let opened = self.effects.iter().find_map(|effect| match effect {
            Effect::SessionOpened { conn: over, opened } if *over == conn => Some(*opened),
            _ => None,
        })?;
        // Nobody is told a number that a later life could give away again.
        if let Err(error) = self.state.reserve_session(opened.session) {
            self.broken = Some(error);
            self.effects.clear();
            return None;
        }
        Some(opened)
    }

    /// Opens a session that is driven by calls.
    fn open_unseen(&mut self, open: Open) -> Result<Opened, Refusal> {
        self.machine.resumed_by(&open)?;
        self.open(None, open).ok_or_else(|| {
            Refusal::new(Reason::ShuttingDown, "the scheduler cannot write its state and ends")
        })
    }

    fn on_commands(&mut self, conn: ConnId, commands: Vec<Result<Command, BadCommand>>) -> usize {
        // Superseded: a newer stream of the session has taken the place of this one.
        let Some(Peer::Session(session)) = self.streams.peer(conn) else { return 1 };
        self.lookout.asked();
        let count = commands.len();
        let mut bad = Vec::new();
        let good = commands.into_iter().filter_map(|command| {
            let command = command.map_err(|refused| bad.push(refused)).ok()?;
            Some(Event::Commanded { session, command })
        });
        let now = Time(self.step_ns / 1_000);
        self.machine.handle_all(now, good, &mut self.effects);
        self.steps_done(Step::Commanded, count);
        for bad in bad {
            self.on_bad_command(conn, bad);
        }
        count
    }

    fn on_bad_command(&mut self, conn: ConnId, bad: BadCommand) {
        if let (Some(graph), Some(Peer::Session(session))) = (bad.chunk_of, self.streams.peer(conn))
        {
            self.handle(Event::ChunkUnreadable { session, graph, refusal: bad.refusal.clone() });
        }
        let Some(pipe) = self.streams.pipe_mut(conn) else { return };
        if pipe.refuse(bad) {
            self.streams.wake_conn(conn);
            return;
        }
        let message = "too many malformed commands, and none of the refusals read";
        let refusal = Refusal::new(Reason::Malformed, message);
        if let Some(peer) = self.streams.end(conn, Some(&refusal)) {
            self.handle(Event::Disconnected { conn, peer });
        }
    }

    fn on_commanded(&mut self, by: By, command: Command, reply: oneshot::Sender<Answer>) {
        let session = match by {
            By::Nobody => self.open(None, nobody(self.nobody)).map(|opened| opened.session),
            By::Number(session) => {
                self.machine.sessions().any(|known| known.id == session).then_some(session)
            }
            By::Token(token) => self.machine.session_of(token),
        };
        match (session, submission(&command)) {
            (Some(session), Some(submission)) => {
                self.calls.expect(session, submission, reply);
                self.handle(Event::Commanded { session, command });
            }
            (None, _) => {
                let message = "there is no such session, or its time ran out: open a new one";
                drop(reply.send(Err(Refusal::at(Reason::SessionUnknown, "session", message))));
            }
            (_, None) => {
                let message = "the command has no answer of its own";
                drop(reply.send(Err(Refusal::new(Reason::Unsupported, message))));
            }
        }
    }

    fn on_reports(&mut self, conn: ConnId, batch: WorkerBatch) -> usize {
        // Superseded: a newer stream of the worker has taken the place of this one.
        let Some(Peer::Worker(worker)) = self.streams.peer(conn) else { return 1 };
        let WorkerBatch { digest, mut announce, reports, heartbeat, actors, ignored } = batch;
        self.accounts.ignored += ignored;
        if let Some(digest) = digest {
            let believed = self.machine.believed(worker);
            announce = believed.filter(|believed| digest_of(believed) == digest);
            if let Some(pipe) = self.streams.pipe_mut(conn) {
                pipe.answer_digest(announce.is_some());
                self.streams.wake_conn(conn);
            }
        }
        if let Some(announce) = announce {
            self.handle(Event::WorkerAnnounced { worker, announce });
        }
        let count = reports.len();
        if count > 0 {
            let reports =
                reports.into_iter().map(|report| Event::WorkerReported { worker, report });
            self.machine.handle_all(Time(self.step_ns / 1_000), reports, &mut self.effects);
            self.steps_done(Step::WorkerReported, count);
        }
        if let Some(heartbeat) = heartbeat {
            self.handle(Event::WorkerBeat { worker, heartbeat, actors });
        }
        count.max(1)
    }

    /// Hands one event to the machine; its effects wait for [`Self::carry_out`].
    fn handle(&mut self, event: Event) {
        let step = Step::from(&event);
        self.machine.handle(self.now(), event, &mut self.effects);
        self.step_done(step);
    }

    /// Carries out everything the machine has asked for.
    fn carry_out(&mut self) {
        let mut effects = mem::take(&mut self.effects);
        for effect in effects.drain(..) {
            match effect {
                Effect::Answered { session, submission, outcome } => {
                    self.calls.answer(session, submission, outcome);
                }
                Effect::Disconnect { conn, refusal } => {
                    self.streams.end(conn, Some(&refusal));
                }
                Effect::SessionGone(session) => self.on_session_gone(session),
                Effect::SessionOpened { conn, opened } => {
                    let peer = Peer::Session(opened.session);
                    if let Some(pipe) = conn.and_then(|conn| self.streams.bind(conn, peer)) {
                        pipe.opened(&self.hello, opened);
                        self.streams.wake(peer);
                    }
                }
                Effect::Wake(peer) => self.streams.wake(peer),
                Effect::WorkerJoined { conn, worker } => {
                    let peer = Peer::Worker(worker);
                    if let Some(pipe) = self.streams.bind(conn, peer) {
                        pipe.joined(&self.hello, worker, self.token_key);
                        self.streams.wake(peer);
                    }
                }
            }
        }
        self.effects = effects;
    }

    fn on_session_gone(&mut self, session: SessionId) {
        self.calls.forget_session(session);
        let peer = Peer::Session(session);
        // The answer to its last command still goes out.
        if let Some(conn) = self.streams.flush_peer(peer, &mut self.machine) {
            self.streams.end(conn, None);
        }
    }

    /// The moment of the last step's end: precise enough, and free.
    fn now(&self) -> Time {
        Time(self.step_ns / 1_000)
    }

    fn step_done(&mut self, step: Step) {
        self.steps_done(step, 1);
    }

    /// Enters steps of one kind that were done together: one look at the clock for all of them.
    fn steps_done(&mut self, step: Step, count: usize) {
        let now = self.clock.nanos();
        self.accounts.enter(step, count as u64, now.saturating_sub(self.step_ns));
        self.step_ns = now;
    }

    /// Brings the numbers for Prometheus up to date, if it is time.
    fn publish(&mut self, busy: bool) {
        let Self { machine, streams, accounts, published, step_ns, .. } = self;
        let scene = Scene { machine, streams, accounts, now: Time(*step_ns / 1_000) };
        published.turned(&scene, busy);
    }

    fn scene(&self) -> Scene<'_> {
        Scene {
            machine: &self.machine,
            streams: &self.streams,
            accounts: &self.accounts,
            now: self.now(),
        }
    }
}

/// The session that owns what is submitted by nobody in particular.
fn nobody(token: SessionToken) -> Open {
    let ttl = Some(limits::SESSION_TTL_MAX);
    Open { name: "nobody".to_owned(), ttl, ..Open::new(token) }
}

/// The id under which a command is answered.
fn submission(command: &Command) -> Option<SubmissionId> {
    match command {
        Command::Cancel { submission, .. }
        | Command::Close { submission }
        | Command::DropReplicas { submission, .. }
        | Command::Forget { submission, .. }
        | Command::Put { submission, .. }
        | Command::Release { submission, .. }
        | Command::ReleaseValues { submission, .. }
        | Command::Retry { submission, .. } => Some(*submission),
        Command::Chunk(chunk) => Some(chunk.submission),
        Command::Locate { .. } | Command::Ping(_) | Command::Want { .. } => None,
    }
}

/// What a worker sends instead of its announcement.
fn digest_of(announce: &Announce) -> Digest {
    let mut hasher = blake3::Hasher::new();
    announce.fold_digest(&mut |bytes| {
        hasher.update(bytes);
    });
    Digest(*hasher.finalize().as_bytes())
}

//! The only event loop: feeds the machine, and does what it asks for.
//!
//! A turn takes everything that has come (from the scheduler, from executors and transfers through the inbox, timers), lets
//! the machine handle it, carries out the effects of all of it, and then writes to the scheduler once.

mod account;
mod line;
mod memory;
mod outgoing;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bireme_core::actor::place::{ActorReport, EndKind};
use bireme_core::protocol::{Join, Joined};
use bireme_core::{ErrorClass, Reason, Span, Time, limits};
use bireme_daemon::auth::Access;
use bireme_daemon::{Alarm, Shutdown, Systemd};
use futures_util::FutureExt as _;
use smallvec::SmallVec;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

pub(crate) use self::account::Accounts;
use self::account::{Step, Stopwatch};
pub use self::line::DriverError;
use self::line::{Line, News};
use self::memory::Memory;
use self::outgoing::Outgoing;
use crate::actors::Actors;
use crate::clock::Clock;
use crate::executor::relay::Relay;
use crate::executor::{Executors, Job, Kill};
use crate::failure::failure;
use crate::host::{self, CpuMeter};
use crate::inbox::{Inbox, Told};
use crate::machine::{Effect, Event, Execution, Hosting, Machine};
use crate::metrics::Metrics;
use crate::rpc::fleet::{Down, Sealed};
use crate::store::Store;
use crate::sync::lock;
use crate::target::Scheduler;
use crate::transfer::Transfer;

/// What a driver drives.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) machine: Machine,
    pub(crate) clock: Clock,
    pub(crate) seed: u64,
    pub(crate) executors: Executors,
    pub(crate) actors: Actors,
    pub(crate) relay: Arc<Relay>,
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) store: Arc<Store>,
    pub(crate) transfer: Transfer,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) scheduler: Scheduler,
    /// Who is let in here.
    pub(crate) admits: Access,
    pub(crate) join: Join,
    /// Told once the scheduler has accepted this worker.
    pub(crate) joined: watch::Sender<bool>,
    pub(crate) idle_timeout: Option<Span>,
    pub(crate) time_limit: Option<Span>,
}

/// The event loop of a worker.
#[derive(Debug)]
pub(crate) struct Driver {
    parts: Parts,
    outgoing: Outgoing,
    /// Told, and not handled yet; empty between turns.
    told: Vec<Told>,
    /// Asked for, and not carried out yet; empty between turns.
    effects: Vec<Effect>,
    watch: Stopwatch,
    cpu: CpuMeter,
    heartbeat: Span,
    /// When the next heartbeat is due.
    beat: Time,
    /// Nothing has run since.
    idle_since: Time,
    memory: Memory,
    systemd: Systemd,
    /// When reports are written though nothing has ended.
    flush_at: Option<Time>,
    /// The machine says that it is time to leave.
    leaves: bool,
    over: Option<DriverError>,
}

impl Driver {
    pub(crate) fn new(parts: Parts) -> Self {
        Self {
            watch: Stopwatch::new(parts.clock),
            parts,
            outgoing: Outgoing::default(),
            told: Vec::new(),
            effects: Vec::new(),
            cpu: CpuMeter::default(),
            heartbeat: limits::HEARTBEAT,
            beat: Time::default(),
            idle_since: Time::default(),
            memory: Memory::default(),
            systemd: Systemd::default(),
            flush_at: None,
            leaves: false,
            over: None,
        }
    }

    /// Has the service manager hear that the loop turns.
    pub(crate) fn report_to(&mut self, systemd: Systemd) {
        self.systemd = systemd;
    }

    /// Works until the machine says to leave. A shutdown has it leave when its attempts have ended, within
    /// [`limits::DRAIN_WAIT`].
    pub(crate) async fn run(mut self, shutdown: Shutdown) -> Result<(), DriverError> {
        let (scheduler, join) = (self.parts.scheduler.clone(), self.parts.join.clone());
        let mut line = Line::new(scheduler, join, self.parts.seed);
        let inbox = Arc::clone(&self.parts.inbox);
        let begun = shutdown.begun();
        let mut alarm = Alarm::new(self.parts.clock.instant(self.watch.now()));
        tokio::pin!(begun);
        let mut draining = false;
        while !self.leaves && self.over.is_none() {
            let clock = self.parts.clock;
            alarm.set(clock.instant(self.watch.now()), Some(clock.instant(self.due())));
            let blocked = line.outgoing().filter(|_| self.outgoing.is_blocked()).cloned();
            let news = tokio::select! {
                biased;
                news = line.next() => Some(news),
                () = inbox.filled() => None,
                () = room(blocked) => None,
                () = alarm.rung() => None,
                () = &mut begun, if !draining => {
                    draining = true;
                    self.on_shutdown();
                    None
                }
            };
            self.turn(news, &mut line);
        }
        self.leave(line).await
    }

    fn on_shutdown(&mut self) {
        self.systemd.stopping("waiting for the attempts that run, and for others to copy values");
        self.watch.begin();
        self.handle(Event::DrainAsked { deadline: Some(limits::DRAIN_WAIT) });
    }

    /// Takes what has come, and does what follows from it.
    fn turn(&mut self, first: Option<News>, line: &mut Line) {
        self.watch.begin();
        self.parts.store.set_now(self.watch.now());
        // First what was told here: an order may name what a client has just put.
        self.take_told();
        let mut events = 0;
        let mut next = first;
        while let Some(news) = next {
            events += self.on_news(news);
            next = if events < limits::INBOX_DRAIN { line.next().now_or_never() } else { None };
        }
        self.take_told();
        self.take_timers();
        // What is carried out may change how full the store is, and that is news to the machine.
        self.carry_out();
        self.judge_memory();
        self.carry_out();
        if self.holds_back() {
            return;
        }
        self.flush_at = None;
        let Self { parts, outgoing, .. } = self;
        outgoing.flush(&mut parts.machine, &parts.metrics, line.outgoing());
        self.watch.done(Step::Flush);
    }

    /// Whether there is nothing to tell but the starts of attempts, which may end at any moment: an end says as much.
    fn holds_back(&mut self) -> bool {
        if self.outgoing.is_blocked()
            || self.outgoing.has_own()
            || !self.parts.machine.has_only_starts()
        {
            return false;
        }
        let now = self.watch.now();
        now < *self.flush_at.get_or_insert(now + limits::FLUSH_LATE)
    }

    fn handle(&mut self, event: Event) {
        let step = Step::from(&event);
        self.parts.machine.handle(self.watch.now(), event, &mut self.effects);
        self.watch.handled(step);
    }

    /// Takes news of the line; says how many events that was.
    fn on_news(&mut self, news: News) -> usize {
        match news {
            News::Joined { joined, new_epoch, bearer, admits, first } => {
                if new_epoch {
                    self.parts.transfer.forget();
                    if *self.parts.joined.borrow() {
                        self.parts.executors.renew();
                    }
                }
                self.parts.transfer.set_bearer(bearer);
                // A scheduler that was restarted has another token, which its clients and other workers show here.
                if let (Access::Tokens(ours), Access::Tokens(read)) = (&self.parts.admits, &admits)
                {
                    ours.list(read);
                }
                self.on_joined(joined);
                self.on_down(first) + 1
            }
            News::Down(down) => self.on_down(down),
            News::Lost { error, was_up, failures } => {
                self.parts.metrics.joined.store(false, Ordering::Relaxed);
                self.outgoing.close();
                self.parts.actors.unheard();
                if was_up {
                    tracing::warn!(%error, "stream to the scheduler lost");
                    self.handle(Event::Disconnected);
                } else if failures.is_power_of_two() {
                    tracing::warn!(%error, failures, "no stream to the scheduler yet");
                }
                1
            }
            News::Over(error) => {
                self.over = Some(error);
                1
            }
        }
    }

    fn on_joined(&mut self, joined: Joined) {
        tracing::info!(worker = %joined.worker, name = self.parts.join.name, "joined");
        self.parts.metrics.connects_total.count();
        self.parts.metrics.joined.store(true, Ordering::Relaxed);
        self.parts.relay.set_inline_bytes(joined.inline_bytes);
        if let Access::Tokens(tokens) = &self.parts.admits {
            tokens.trust(joined.token_key);
        }
        self.heartbeat = joined.heartbeat;
        self.beat = self.watch.now();
        self.parts.actors.joined(joined.worker);
        self.handle(Event::Connected);
        self.outgoing.open(&self.parts.machine);
        self.parts.joined.send_replace(true);
    }

    fn on_down(&mut self, down: Down) -> usize {
        let Down { announce_equal, orders } = down;
        let events = orders.len() + 1;
        self.parts.metrics.orders_total.add(orders.len() as u64);
        if let Some(equal) = announce_equal {
            if !equal {
                self.outgoing.announce(&self.parts.machine);
            }
            self.handle(Event::AnnounceReplied { equal });
        }
        for order in orders {
            self.handle(Event::Ordered(order));
        }
        events
    }

    /// Takes what executors and transfers told. Bounded by what was handed out to them.
    fn take_told(&mut self) {
        let mut told = std::mem::take(&mut self.told);
        self.parts.inbox.take(&mut told);
        for told in told.drain(..) {
            match told {
                Told::Event(event) => {
                    self.count(&event);
                    self.handle(event);
                }
                Told::Blob(digest, came) => {
                    self.parts.actors.blob_came(digest, &came);
                    self.parts.executors.blob_came(digest, came);
                }
                Told::Environment(runtime, came) => {
                    self.parts.executors.environment_came(runtime, came);
                }
                Told::Relieved(any) => self.on_relieved(any),
                Told::Start(attempt) => self.parts.executors.promote(attempt),
            }
        }
        self.told = told;
    }

    fn count(&mut self, event: &Event) {
        let metrics = &self.parts.metrics;
        match event {
            Event::Ended { outcome, next, .. } => {
                match outcome {
                    Ok(_) => metrics.attempts_finished_total.count(),
                    Err(_) => metrics.attempts_failed_total.count(),
                }
                metrics.attempts_followed_total.add(next.is_some().into());
            }
            Event::Fetched { .. } => metrics.objects_fetched_total.count(),
            Event::Stored { .. } => metrics.objects_put_total.count(),
            Event::FetchFailed { .. } => metrics.fetches_failed_total.count(),
            _ => {}
        }
    }

    /// When the loop has to turn though nothing comes.
    fn due(&self) -> Time {
        let limit = self.parts.time_limit.map(|limit| Time::default() + limit);
        let times = [self.parts.machine.next_timer(), limit, self.flush_at, self.systemd.due()];
        times.into_iter().flatten().fold(self.beat, Time::min)
    }

    fn take_timers(&mut self) {
        let now = self.watch.now();
        if let Some(due) = self.parts.machine.next_timer()
            && due <= now
        {
            self.watch.accounts.lag(due, now);
            self.handle(Event::TimerDue);
        }
        if self.parts.time_limit.is_some_and(|limit| Time::default() + limit <= now) {
            self.parts.time_limit = None;
            tracing::info!("the time limit has come, leaving when all attempts have ended");
            self.handle(Event::DrainAsked { deadline: None });
        }
        if self.beat <= now {
            self.take_pulse(now);
            self.watch.done(Step::Pulse);
        }
        self.systemd.turned(now);
    }

    /// Sees how the worker is, and has the scheduler told.
    fn take_pulse(&mut self, now: Time) {
        let lag = now.since(self.beat);
        self.beat = now + self.heartbeat;
        self.retry_relief();
        let mut heartbeat = self.parts.machine.heartbeat();
        let totals = self.parts.store.totals();
        heartbeat.stored_bytes = totals.held_bytes();
        heartbeat.spilled_bytes = totals.spilled_bytes;
        heartbeat.resident_bytes = host::resident_bytes();
        heartbeat.cpu_percent = self.cpu.percent();
        heartbeat.loop_lag = lag;
        let metrics = &self.parts.metrics;
        metrics.attempts_running.set(heartbeat.running.into());
        metrics.attempts_queued.set(heartbeat.queued.into());
        metrics.loop_lag_us.set(lag.0);
        lock(&metrics.accounts).clone_from(&self.watch.accounts);
        self.outgoing.beat(heartbeat, self.parts.actors.beats(), self.parts.clock);
        if heartbeat.running + heartbeat.queued > 0 {
            self.idle_since = now;
        } else if self.parts.idle_timeout.is_some_and(|limit| now.since(self.idle_since) >= limit) {
            self.parts.idle_timeout = None;
            tracing::info!("nothing has run for long, leaving");
            self.handle(Event::DrainAsked { deadline: None });
        }
    }

    fn carry_out(&mut self) {
        if self.effects.is_empty() {
            return;
        }
        let mut effects = std::mem::take(&mut self.effects);
        for effect in effects.drain(..) {
            self.carry_out_one(effect);
        }
        self.effects = effects;
        self.watch.done(Step::CarryOut);
    }

    fn carry_out_one(&mut self, effect: Effect) {
        let parts = &self.parts;
        match effect {
            Effect::Actor(order) => parts.actors.order(order),
            Effect::Host(hosting) => self.host(hosting),
            Effect::Gathered { ticket, objects, missing } => {
                // One that has left the store since counts as missing.
                let found = objects.iter().map(|object| parts.store.get(*object).ok_or(*object));
                let found: Result<Vec<_>, _> = found.collect();
                let gone = || Some((*found.as_ref().err()?, None));
                let missing = missing.or_else(gone);
                parts.actors.gathered(ticket, missing, found.unwrap_or_default());
            }
            Effect::Drop(object) => {
                parts.store.remove(object);
            }
            Effect::Execute { execution, follow } => self.execute(execution, follow),
            Effect::Fetch { object, holders, size } => parts.transfer.fetch(object, size, holders),
            Effect::Keep(object, value) => {
                if let Err(error) = parts.store.put(object, Arc::new(*value), None) {
                    tracing::warn!(%object, %error, "value of an order is not kept");
                }
            }
            Effect::Kill { attempt, grace, timed_out } => {
                parts.executors.kill(attempt, Kill { grace, timed_out });
            }
            Effect::Leave => self.leaves = true,
            Effect::Peers(peers) => parts.transfer.know(peers),
            Effect::Promote(attempt) => parts.executors.promote(attempt),
            Effect::Recall(attempt) => parts.executors.recall(attempt),
            Effect::Rejoined(attempt) => parts.executors.rejoined(attempt),
            Effect::Wake => self.outgoing.wake(),
        }
    }

    /// Hands an incarnation of an actor over, with the values that it begins with.
    fn host(&self, hosting: Box<Hosting>) {
        let parts = &self.parts;
        let found = hosting.inputs.iter().map(|input| parts.store.get(*input));
        let inputs: Option<Vec<_>> = found.collect();
        let checkpoint = hosting.checkpoint.map(|object| parts.store.get(object));
        match (inputs, checkpoint) {
            (Some(inputs), None) => parts.actors.host(hosting, inputs, None),
            (Some(inputs), Some(Some(checkpoint))) => {
                parts.actors.host(hosting, inputs, Some(checkpoint));
            }
            _ => {
                let message = "what the actor begins with has left the store";
                let cause = failure(ErrorClass::InputLost, Reason::InputLost, message);
                let (actor, incarnation) = (hosting.actor, hosting.incarnation);
                let (end, cause, checkpoint) = (EndKind::Crashed, Some(cause), None);
                let ended = ActorReport::Ended { actor, incarnation, end, cause, checkpoint };
                parts.inbox.tell(Event::ActorTold(ended));
            }
        }
    }

    fn execute(&mut self, execution: Box<Execution>, follow: bool) {
        let parts = &self.parts;
        let handed = parts.clock.now();
        let found = execution.inputs.iter().map(|input| parts.store.get(*input).ok_or(*input));
        match found.collect() {
            Ok(inputs) => parts.executors.execute(Job::new(execution, inputs, handed), follow),
            Err(missing) => {
                parts.inbox.tell(Event::Lost(missing));
                let message = format!("input {missing} has left the store");
                let reason = Reason::InputLost;
                let error = failure(ErrorClass::InputLost, reason, message);
                let job = Job::new(execution, SmallVec::new(), handed);
                parts.relay.refuse(&job, error);
            }
        }
    }

    /// Tells the last reports, and ends what still runs.
    async fn leave(mut self, line: Line) -> Result<(), DriverError> {
        self.systemd.stopping("leaving");
        let told = async {
            while let Some(outgoing) = line.outgoing() {
                let Self { parts, outgoing: queue, .. } = &mut self;
                queue.flush(&mut parts.machine, &parts.metrics, Some(outgoing));
                if !queue.is_blocked() || outgoing.reserve().await.is_err() {
                    break;
                }
            }
            line.hang_up().await;
        };
        // A scheduler that does not read its stream learns of the rest when the stream ends.
        let _ = timeout(limits::LEAVE_WAIT.to_std(), told).await;
        self.parts.actors.close().await;
        self.parts.executors.close().await;
        tracing::info!("left");
        self.over.map_or(Ok(()), Err)
    }
}

/// Resolves when there is room for a message to the scheduler; never where nothing waits for that.
async fn room(blocked: Option<mpsc::Sender<Sealed>>) {
    if let Some(outgoing) = blocked
        && outgoing.reserve().await.is_ok()
    {
        return;
    }
    // If the stream is lost, reading it tells.
    std::future::pending::<()>().await;
}

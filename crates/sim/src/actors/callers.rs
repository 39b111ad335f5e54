//! Users and the drivers of their callers.

use std::collections::BTreeMap;
use std::sync::Arc;

use bireme_core::actor::call::{Call, CallCode, CallFailure, CallId, CallerId, Who};
use bireme_core::actor::caller::{Caller, Config, Effect, Event, Unready};
use bireme_core::actor::host::RunNo;
use bireme_core::actor::place::ActorPlace;
use bireme_core::actor::wire::{ToCaller, ToHost};
use bireme_core::id::{SessionId, WorkerId};
use bireme_core::{Span, Time, limits};

use super::keeping::Keeping;
use super::plan::{ACTOR, HORIZON, Plan};
use super::{Conn, Item, World};

/// Somebody who calls.
#[derive(Debug)]
pub(super) struct User {
    pub(super) id: CallerId,
    pub(super) caller: Caller,
    /// Calls that are still to be made.
    left: u64,
    pub(super) unready: BTreeMap<u64, Call>,
    /// It makes its next call when there is room.
    waits: bool,
    timer: Option<Time>,
    /// The stream that was asked for last.
    pub(super) conn: Option<u64>,
    /// Counts questions to the scheduler.
    pub(super) asked: u64,
    /// Its clock is ahead by that.
    pub(super) skew: Span,
    /// A call of the actor's own process, which waits for it.
    pub(super) inside: Option<(usize, u64, RunNo)>,
    /// It has a call log.
    pub(super) keeping: Option<Keeping>,
    /// Its process has died: nobody listens.
    pub(super) is_dead: bool,
}

/// A caller's number, over all kinds.
pub(super) fn number(caller: CallerId) -> u64 {
    match caller.who {
        Who::Session(session) => u64::from(session.0),
        Who::Actor(_) | Who::Attempt(_) => 1_000 + caller.life,
    }
}

impl User {
    pub(super) fn new(n: usize, plan: &Plan) -> Self {
        let session = SessionId(u32::try_from(n).unwrap_or_default() + 1);
        let id = CallerId { who: Who::Session(session), life: 1 };
        let Plan { on_unknown, most, .. } = *plan;
        let config = Config { on_unknown, most, ..Config::new(id, ACTOR) };
        Self::with(config, plan.calls)
    }

    pub(super) fn with(config: Config, left: u64) -> Self {
        Self {
            id: config.caller,
            caller: Caller::new(config),
            left,
            unready: BTreeMap::new(),
            waits: false,
            timer: None,
            conn: None,
            asked: 0,
            skew: Span::ZERO,
            inside: None,
            keeping: None,
            is_dead: false,
        }
    }

    pub(super) fn is_done(&self) -> bool {
        self.is_dead || (self.left == 0 && self.caller.pending() == 0)
    }
}

impl World {
    pub(super) fn on_call_time(&mut self, user: usize) -> Result<(), String> {
        let call = self.next_call(user);
        let pause = if self.rng.chance(60) { 0 } else { 60_000 };
        let pause = self.rng.span(0, 300 + pause);
        let who = self.users.get_mut(user).expect("it is one");
        if who.left == 0 {
            return Ok(()); // It was closed.
        }
        if !who.caller.has_room() {
            who.waits = true;
            return Ok(());
        }
        who.left -= 1;
        if who.left > 0 {
            self.agenda.after(pause, Item::Call(user));
        }
        let is_ready = self.rng.chance(92);
        let seq = self.make_call(user, call, is_ready)?;
        if !self.is_keeping(user) && self.rng.chance(5) {
            let at = self.rng.span(0, 20_000);
            self.agenda.after(at, Item::Cancel { user, seq });
        }
        Ok(())
    }

    pub(super) fn make_call(
        &mut self,
        user: usize,
        call: Call,
        is_ready: bool,
    ) -> Result<u64, String> {
        let now = self.now();
        let who = self.users.get_mut(user).expect("it is one");
        let mut effects = Vec::new();
        let deadline = call.deadline;
        let given =
            if is_ready { Ok(Arc::new(call.clone())) } else { Err(Unready { deadline, bytes: 0 }) };
        let seq = who.caller.call(now + who.skew, given, &mut effects);
        let seq = seq.ok_or("there is no room for a call")?;
        let id = CallId { caller: who.id, actor: ACTOR, seq };
        let inside = who.inside.is_some();
        who.keeping.iter_mut().for_each(|keeping| keeping.made(&call));
        if !is_ready {
            who.unready.insert(seq, call.clone());
            let at = self.rng.span(0, 5_000);
            self.agenda.after(at, Item::Prepared { user, seq });
        }
        self.line(|| format!("{} is made: {}", Self::name(id), call.method));
        self.ledger.made(&self.plan.spec, id, &call, inside);
        self.carry_out_user(user, effects)?;
        Ok(seq)
    }

    /// A user goes, and waits for nothing any more.
    pub(super) fn close(&mut self, user: usize) -> Result<(), String> {
        let Some(who) = self.users.get_mut(user) else { return Ok(()) };
        (who.left, who.keeping) = (0, None);
        // Where no stream is there to say so over, its host remembers it for that long, and a call of its that gives items
        // waits in its lane for somebody to take them: that is no call that never ends.
        self.plan.horizon = HORIZON + limits::CALLER_TTL;
        self.drive_user(user, Event::Closed)
    }

    pub(super) fn on_prepared(&mut self, user: usize, seq: u64) -> Result<(), String> {
        let fails = !self.is_keeping(user) && self.rng.chance(10);
        let who = self.users.get_mut(user).expect("it is one");
        let Some(call) = who.unready.remove(&seq) else { return Ok(()) };
        let why = "it cannot be encoded";
        let call = if fails {
            Err(Box::new(CallFailure::new(CallCode::UnserializableArgs, why)))
        } else {
            Ok(Arc::new(call))
        };
        self.drive_user(user, Event::Prepared { seq, call })
    }

    /// A call that runs makes one of its own, and waits for it.
    pub(super) fn call_inside(
        &mut self,
        outer: (usize, u64, RunNo),
        id: CallId,
        chain: &[CallId],
    ) -> Result<(), String> {
        let user = self.users.len();
        let caller = CallerId { who: Who::Actor(ACTOR), life: user as u64 };
        let mut inner = User::with(Config::new(caller, ACTOR), 0);
        inner.inside = Some(outer);
        self.users.push(inner);
        let lanes = self.plan.spec.lanes.len() as u64;
        let lane = u32::try_from(self.rng.below(lanes)).ok();
        let chain = chain.iter().copied().chain([id]).collect();
        let call = Call { method: "add".to_owned(), lane, chain, ..Call::default() };
        self.make_call(user, call, true).map(|_| ())
    }

    pub(super) fn on_caller_timer(&mut self, user: usize) -> Result<(), String> {
        let now = self.now();
        let who = self.users.get_mut(user).expect("it is one");
        who.timer = None;
        if who.caller.next_timer().is_some_and(|at| at <= now + who.skew) {
            return self.drive_user(user, Event::TimerDue);
        }
        self.set_caller_timer(user);
        Ok(())
    }

    fn set_caller_timer(&mut self, user: usize) {
        let who = self.users.get_mut(user).expect("it is one");
        let Some(at) = who.caller.next_timer() else { return };
        let at = (at - who.skew).max(self.agenda.now());
        if who.timer.is_none_or(|set| at < set) {
            who.timer = Some(at);
            self.agenda.at(at, Item::CallerTimer(user));
        }
    }

    pub(super) fn drive_user(&mut self, user: usize, event: Event) -> Result<(), String> {
        let now = self.now();
        let who = self.users.get_mut(user).expect("it is one");
        if who.is_dead {
            return Ok(());
        }
        self.seen.saw(&event);
        let mut effects = Vec::new();
        who.caller.handle(now + who.skew, event, &mut effects);
        who.caller.check()?;
        self.carry_out_user(user, effects)
    }

    fn carry_out_user(&mut self, user: usize, effects: Vec<Effect>) -> Result<(), String> {
        let id = self.users.get(user).expect("it is one").id;
        for effect in effects {
            self.seen.saw(&effect);
            match effect {
                Effect::Ended { seq, ending } => {
                    let id = CallId { caller: id, actor: ACTOR, seq };
                    self.line(|| format!("{} = {:?}", Self::name(id), ending.outcome));
                    self.seen.saw_outcome(&ending.outcome);
                    self.ledger.ended(id, *ending)?;
                    self.on_inner_ended(user)?;
                }
                Effect::Item { seq, n, .. } => {
                    self.ledger.item(CallId { caller: id, actor: ACTOR, seq }, n)?;
                    let at = self.rng.span(0, 1_000);
                    self.agenda.after(at, Item::Taken { user, seq, up_to: n });
                }
                Effect::Reach(place) => self.reach(user, &place),
                Effect::Resolve { after, wait } => {
                    self.line(|| {
                        format!("user {user} asks for more than {} within {wait}", after.0)
                    });
                    self.ask_scheduler(user, after, wait);
                }
                Effect::Room => {
                    let who = self.users.get_mut(user).expect("it is one");
                    if std::mem::take(&mut who.waits) {
                        self.agenda.after(Span::ZERO, Item::Call(user));
                    }
                }
                Effect::Say(word) => self.send_up(user, word),
            }
        }
        self.set_caller_timer(user);
        Ok(())
    }

    fn reach(&mut self, user: usize, place: &ActorPlace) {
        let Some(worker) = place.worker.and_then(|worker| usize::try_from(worker.0).ok()) else {
            return;
        };
        let latency = self.rng.span(20, 1_500);
        let now = self.now();
        let who = self.users.get_mut(user).expect("it is one");
        let (life, is_up) = self.daemons.get(worker).map_or((0, false), |it| (it.life, it.up));
        let there = who.conn.filter(|conn| {
            self.conns.get(conn).is_some_and(|conn| conn.worker == worker && conn.life == life)
        });
        if let Some(conn) = there {
            return self.agenda.after(Span::ZERO, Item::Connected { user, conn, up: true });
        }
        if let Some(old) = who.conn.take() {
            self.hang_up(old, false);
        }
        self.last_conn += 1;
        let conn = self.last_conn;
        self.users.get_mut(user).expect("it is one").conn = Some(conn);
        let up = is_up && now >= self.scheduler.outage;
        let new = Conn {
            user,
            worker,
            life,
            latency,
            up: now,
            down: now,
            line: None,
            opens: 0,
            asked: 0,
        };
        self.conns.insert(conn, new);
        self.agenda.after(latency, Item::Connected { user, conn, up });
    }

    pub(super) fn on_connected(&mut self, user: usize, conn: u64, up: bool) -> Result<(), String> {
        let Some(known) = self.conns.get(&conn) else { return Ok(()) };
        if self.users.get(user).expect("it is one").conn != Some(conn) {
            return Ok(());
        }
        let worker = WorkerId(u32::try_from(known.worker).unwrap_or_default());
        let is_there =
            self.daemons.get(known.worker).is_some_and(|it| it.up && it.life == known.life);
        if up && is_there {
            return self.drive_user(user, Event::StreamUp(worker));
        }
        self.conns.remove(&conn);
        self.users.get_mut(user).expect("it is one").conn = None;
        self.drive_user(user, Event::StreamDown(worker))
    }

    /// A stream breaks: what is under way over it is lost.
    pub(super) fn hang_up(&mut self, conn: u64, is_heard: bool) {
        let Some(Conn { user, worker, line, latency, life, .. }) = self.conns.remove(&conn) else {
            return;
        };
        if let Some(line) = line {
            let what = super::daemon::Awaited::LineLost(line);
            self.agenda.after(latency, Item::Daemon { worker, life, what });
        }
        if is_heard {
            self.scheduler.broken.insert(conn, worker);
            self.agenda.after(latency, Item::Disconnected { user, conn });
        }
    }

    pub(super) fn on_disconnected(&mut self, user: usize, conn: u64) -> Result<(), String> {
        let Some(worker) = self.scheduler.broken.remove(&conn) else { return Ok(()) };
        let who = self.users.get_mut(user).expect("it is one");
        if who.conn != Some(conn) {
            return Ok(());
        }
        who.conn = None;
        let worker = WorkerId(u32::try_from(worker).unwrap_or_default());
        self.drive_user(user, Event::StreamDown(worker))
    }

    fn send_up(&mut self, user: usize, word: ToHost) {
        let Some(conn) = self.users.get(user).and_then(|who| who.conn) else { return };
        let jitter = self.rng.span(0, 300);
        let now = self.now();
        let Some(known) = self.conns.get_mut(&conn) else { return };
        known.asked += u64::from(matches!(word, ToHost::Open(_)));
        known.up = known.up.max(now + known.latency + jitter);
        let at = known.up;
        self.agenda.at(at, Item::Said { conn, word });
    }

    pub(super) fn on_heard(&mut self, conn: u64, opens: u64, word: ToCaller) -> Result<(), String> {
        let Some(known) = self.conns.get(&conn) else { return Ok(()) };
        let user = known.user;
        let is_current = self.users.get(user).is_some_and(|who| who.conn == Some(conn));
        if !is_current || known.asked != opens {
            return Ok(());
        }
        self.line(|| format!("user {user} hears: {word:?}"));
        self.drive_user(user, Event::Said(word))
    }

    /// A call that a running one waited for has ended: so does that.
    fn on_inner_ended(&mut self, user: usize) -> Result<(), String> {
        match self.users.get(user).and_then(|who| who.inside) {
            Some((worker, process, run)) => self.on_waited(worker, process, run),
            None => Ok(()),
        }
    }
}

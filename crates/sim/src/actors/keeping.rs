//! A user that is an actor with a call log: when its process dies it makes the calls again that its last checkpoint does not
//! hold, with the same numbers, and is given the replies that it got.

use bireme_core::actor::Delivery;
use bireme_core::actor::call::{Call, CallId, Callee, CallerId, Who};
use bireme_core::actor::caller::{Caller, Config, Event};
use bireme_core::id::ActorId;

use super::callers::User;
use super::plan::{ACTOR, Plan};
use super::{Item, World};
use crate::rng::Rng;

/// The actor that it is.
const ME: ActorId = ActorId(9);

/// What such a user would have in its log.
#[derive(Debug)]
pub(super) struct Keeping {
    /// The number of the first call that the last checkpoint does not hold.
    first: u64,
    /// It, and those after it.
    calls: Vec<Call>,
}

impl Keeping {
    pub(super) fn made(&mut self, call: &Call) {
        self.calls.push(call.clone());
    }
}

fn config(first: u64) -> Config {
    let caller = CallerId { who: Who::Actor(ME), life: Callee::life(0, 0) };
    Config { first, keeps: true, ..Config::new(caller, ACTOR) }
}

impl User {
    /// One that is an actor with a call log.
    pub(super) fn keeping(plan: &Plan) -> Self {
        let mut user = Self::with(config(1), plan.calls);
        user.keeping = Some(Keeping { first: 1, calls: Vec::new() });
        user
    }
}

impl Plan {
    /// Whether somebody who calls has a call log. Its calls are answered again only by an actor that has one too.
    pub(super) fn keeps(&self, rng: &mut Rng) -> bool {
        self.spec.delivery == Delivery::EffectivelyOnce && self.lies.is_none() && rng.chance(40)
    }

    /// What such a user asks next: nothing that it would do otherwise the next time.
    pub(super) fn kept_call(&self, rng: &mut Rng) -> Call {
        let method = *rng.pick(&["add", "add", "add", "odd", "fail", "slow"]);
        let lanes = self.spec.lanes.len() as u64;
        let lane = rng.chance(30).then(|| u32::try_from(rng.below(lanes)).unwrap_or_default());
        Call { method: method.to_owned(), lane, ..Call::default() }
    }
}

impl World {
    /// Adds such a user, and says when it has checkpoints and when its process dies.
    pub(super) fn add_keeping(&mut self, faults: bool) {
        if !self.plan.keeps(&mut self.rng) {
            return;
        }
        let user = self.users.len();
        self.users.push(User::keeping(&self.plan));
        let last = 10_000 + self.plan.calls * 10_000;
        for _ in 0..self.rng.below(8) {
            let at = self.rng.span(0, last);
            self.agenda.after(at, Item::Checkpoint(user));
        }
        let deaths = if faults { self.rng.below(5) } else { 0 };
        for _ in 0..deaths {
            let at = self.rng.span(0, last);
            self.agenda.after(at, Item::PlayAgain(user));
        }
    }

    /// A checkpoint is kept of a user, if no call of its runs.
    pub(super) fn on_checkpoint_of(&mut self, user: usize) -> Result<(), String> {
        let who = self.users.get_mut(user).expect("it is one");
        let next_seq = who.caller.next_seq();
        let Some(keeping) = who.keeping.as_mut().filter(|_| who.caller.pending() == 0) else {
            return Ok(());
        };
        *keeping = Keeping { first: next_seq, calls: Vec::new() };
        self.drive_user(user, Event::Kept { next_seq })
    }

    /// The process of a user dies, and the next one makes its calls again.
    pub(super) fn on_play_again(&mut self, user: usize) -> Result<(), String> {
        let who = self.users.get_mut(user).expect("it is one");
        let Some(keeping) = &mut who.keeping else { return Ok(()) };
        let calls = std::mem::take(&mut keeping.calls);
        who.caller = Caller::new(config(keeping.first));
        who.unready.clear();
        // What it had asked is not heard any more.
        who.asked += 1;
        if let Some(conn) = who.conn.take() {
            self.hang_up(conn, false);
        }
        self.line(|| format!("user {user} dies, and makes {} calls again", calls.len()));
        for call in calls {
            let is_ready = self.rng.chance(92);
            self.make_call(user, call, is_ready)?;
        }
        Ok(())
    }

    /// Whether a user makes the same calls again, whatever happens.
    pub(super) fn is_keeping(&self, user: usize) -> bool {
        self.users.get(user).is_some_and(|who| who.keeping.is_some())
    }

    /// What a user asks next.
    pub(super) fn next_call(&mut self, user: usize) -> Call {
        if self.is_keeping(user) {
            self.plan.kept_call(&mut self.rng)
        } else {
            self.plan.call(&mut self.rng)
        }
    }

    /// Whether a call has been made before, by the process of its user that died.
    pub(super) fn made_before(id: CallId) -> bool {
        id.caller.who == Who::Actor(ME)
    }
}

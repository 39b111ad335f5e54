//! What must hold: of each call as it runs and ends, and of what is left in the end.

use std::collections::{BTreeMap, BTreeSet};

use bireme_core::actor::call::{Call, CallCode, CallId, CallerId, Ending, Outcome};
use bireme_core::actor::host::{Record, Run};
use bireme_core::actor::{ActorSpec, Delivery};

use super::World;
use super::files::Files;
use super::process::State;

/// What is known of a call.
#[derive(Debug)]
struct Told {
    delivery: Delivery,
    is_ordered: bool,
    /// How many times it has begun, replays not counted.
    begun: u32,
    /// How many times it has killed the process.
    killed: u64,
    items: u64,
    ending: Option<Ending>,
    /// How it ended when it was made before, by a process of its caller that died.
    before: Option<Ending>,
}

/// Everything that was asked, run and answered.
#[expect(clippy::struct_excessive_bools, reason = "each is a question of its own")]
#[derive(Debug, Default)]
pub(super) struct Ledger {
    calls: BTreeMap<CallId, Told>,
    /// The calls of a caller that began in a lane for the first time, in their order: in each incarnation where two may live at
    /// once, each of which has calls of its own, else in any.
    order: BTreeMap<(CallerId, u32, Option<u32>), Vec<u64>>,
    /// What an actor left that ended for good.
    pub(super) last_files: Option<Files>,
    /// A call was set aside. Where others ran beside it, they may have seen what it did.
    pub(super) was_poisoned: bool,
    /// A replay gave another reply.
    pub(super) diverged: bool,
    /// Somebody ended it: what was not written yet is lost with it.
    pub(super) was_killed: bool,
    /// It moved without its state, as was wished: what it had done is lost with that.
    left_state: bool,
}

impl Ledger {
    pub(super) fn made(&mut self, spec: &ActorSpec, id: CallId, call: &Call, is_inside: bool) {
        let own = spec.delivery_of(&call.method);
        if World::made_before(id)
            && let Some(told) = self.calls.get_mut(&id)
        {
            told.before = told.ending.take().or(told.before.take());
            return;
        }
        let told = Told {
            delivery: call.delivery.map_or(own, |wanted| wanted.min(own)),
            is_ordered: !call.unordered && !is_inside,
            begun: 0,
            killed: 0,
            items: 0,
            ending: None,
            before: None,
        };
        self.calls.insert(id, told);
    }

    /// Nobody waits for a caller's calls any more.
    pub(super) fn abandon(&mut self, caller: CallerId) {
        let dead = |id: &CallId, told: &Told| id.caller == caller && told.ending.is_none();
        self.calls.retain(|id, told| !dead(id, told));
    }

    /// The actor begins anew, and knows nothing of what it had done.
    pub(super) fn leave_state(&mut self) {
        self.left_state = true;
        self.order.clear();
    }

    /// These were never written. Nobody was told anything that rests on them: the calls that began with them, and those after
    /// them in their lanes, count no more. One that had ended before it ran, of which its caller has not heard either, may begin
    /// now though it was made before them.
    pub(super) fn lost<'a>(&mut self, records: impl Iterator<Item = &'a Record>) {
        for record in records {
            let Record::Call { id, lane, .. } = record else { continue };
            let Some(order) = self.order.get_mut(&(id.caller, *lane, None)) else { continue };
            if let Some(at) = order.iter().position(|seq| *seq == id.seq) {
                order.truncate(at);
            }
        }
    }

    /// Whether a call may run more than once: its caller may have been forgotten in between.
    pub(super) fn may_repeat(&self, id: CallId) -> bool {
        self.calls.get(&id).is_none_or(|told| told.delivery == Delivery::AtLeastOnce)
    }

    /// Whether somebody waits for the end of a call.
    pub(super) fn is_awaited(&self, id: CallId) -> bool {
        self.calls.get(&id).is_some_and(|told| told.ending.is_none())
    }

    pub(super) fn begun(&mut self, run: &Run, life: Option<u32>) -> Result<(), String> {
        let name = World::name(run.id);
        let Some(told) = self.calls.get_mut(&run.id) else { return Ok(()) };
        told.begun += u32::from(!run.replay);
        if told.delivery == Delivery::AtMostOnce && told.begun > 1 {
            return Err(format!("{name} runs twice, and may only once"));
        }
        let is_first = told.begun == 1 && !run.replay && told.delivery != Delivery::AtLeastOnce;
        if is_first && told.is_ordered {
            let order = self.order.entry((run.id.caller, run.lane, life)).or_default();
            if let Some(newest) = order.last().filter(|newest| **newest >= run.id.seq) {
                return Err(format!("{name} begins after {newest} of the same caller and lane"));
            }
            order.push(run.id.seq);
        }
        Ok(())
    }

    /// A call kills the process. One whose crashes are in the log is set aside at last; each fault may keep one out of it.
    pub(super) fn killed(&mut self, id: CallId, most: u64) -> Result<(), String> {
        let Some(told) = self.calls.get_mut(&id) else { return Ok(()) };
        told.killed += 1;
        if told.delivery == Delivery::EffectivelyOnce && told.killed > most {
            let (name, killed) = (World::name(id), told.killed);
            return Err(format!("{name} has killed the process {killed} times, and may {most}"));
        }
        Ok(())
    }

    pub(super) fn item(&mut self, id: CallId, n: u64) -> Result<(), String> {
        let told = self.calls.get_mut(&id).ok_or("an item of no call")?;
        told.items += 1;
        if told.items == n && told.ending.is_none() {
            return Ok(());
        }
        Err(format!("item {n} of {} comes as number {}", World::name(id), told.items))
    }

    pub(super) fn ended(&mut self, id: CallId, ending: Ending) -> Result<(), String> {
        let name = World::name(id);
        let told = self.calls.get_mut(&id).ok_or("the end of no call")?;
        if told.ending.is_some() {
            return Err(format!("{name} ends twice"));
        }
        if ending.outcome.code() == Some(CallCode::Fenced) {
            return Err(format!("{name} ends as FENCED: it is for the next incarnation"));
        }
        if let Outcome::Done { items } = ending.outcome
            && items != told.items
        {
            return Err(format!("{name} has {items} items, of which {} came", told.items));
        }
        told.ending = Some(match told.before.take().filter(|_| !self.left_state) {
            Some(before) => compared(before, ending).map_err(|why| format!("{name} {why}"))?,
            None => ending,
        });
        Ok(())
    }

    /// Which calls have not ended.
    pub(super) fn waiting(&self) -> String {
        let waiting = self.calls.iter().filter(|(_, told)| told.ending.is_none());
        let names: Vec<String> = waiting.map(|(id, _)| World::name(*id)).take(5).collect();
        format!("these calls have not ended: {}", names.join(", "))
    }

    /// What an ending says of whether its call ran is true.
    fn verify_ends(&self) -> Result<(), String> {
        for (id, told) in &self.calls {
            let Some(ending) = &told.ending else { continue };
            let claims_unrun = matches!(
                ending.outcome.code(),
                Some(
                    CallCode::NotRun
                        | CallCode::MailboxFull
                        | CallCode::ArgumentFailed
                        | CallCode::Deadlock
                )
            );
            let ran = ending.outcome.code().is_none();
            if claims_unrun && told.begun > 0 && told.delivery == Delivery::AtMostOnce {
                return Err(format!("{} ran, and it is said that it did not", World::name(*id)));
            }
            if ran && told.begun == 0 && told.delivery == Delivery::AtMostOnce {
                return Err(format!("{} has a result and did not run", World::name(*id)));
            }
        }
        Ok(())
    }

    /// Every effect that was acknowledged is in the state, once, and where its reply said unless that is `unsure`.
    fn verify_state(&self, state: &State, unsure: &BTreeSet<CallId>) -> Result<(), String> {
        let mut seen: BTreeMap<CallId, usize> = BTreeMap::new();
        for (place, (id, _)) in state.applied.iter().enumerate() {
            if seen.insert(*id, place).is_some() {
                return Err(format!("{} is in the state twice", World::name(*id)));
            }
        }
        let mut prefixes = vec![State::default()];
        for (id, chance) in &state.applied {
            let mut next =
                State { applied: Vec::new(), ..prefixes.last().cloned().unwrap_or_default() };
            next.apply(*id, *chance);
            prefixes.push(next);
        }
        for (id, told) in &self.calls {
            let Some(ending) = &told.ending else { continue };
            if told.delivery != Delivery::EffectivelyOnce {
                continue;
            }
            let name = World::name(*id);
            let place = seen.get(id);
            match &ending.outcome {
                Outcome::Failure(failure) => {
                    let out = matches!(
                        failure.code,
                        CallCode::NotRun
                            | CallCode::MailboxFull
                            | CallCode::Poisoned
                            | CallCode::ArgumentFailed
                    );
                    if out && place.is_some() {
                        return Err(format!(
                            "{name} ended as {} and is in the state",
                            failure.code.name()
                        ));
                    }
                }
                Outcome::Value(value) => {
                    let Some(place) = place else {
                        return Err(format!("{name} was acknowledged and is lost"));
                    };
                    let hash = prefixes.get(place + 1).map_or(0, |state| state.hash);
                    let text = value.bytes().unwrap_or_default();
                    let expected = format!("{} {hash}", place + 1);
                    if text != expected.as_bytes() && !unsure.contains(id) {
                        return Err(format!(
                            "{name} was told {text:?}, and the state says {expected}"
                        ));
                    }
                }
                Outcome::Done { .. } | Outcome::Stored { .. } | Outcome::UserError(_) => {
                    if place.is_none() {
                        return Err(format!("{name} was acknowledged and is lost"));
                    }
                }
            }
        }
        Ok(())
    }
}

/// What a caller knows that makes a call again: the same as before, or less.
fn compared(before: Ending, now: Ending) -> Result<Ending, String> {
    match (before.outcome.code(), now.outcome.code()) {
        (None, None) if before.outcome == now.outcome => Ok(now),
        (None, Some(CallCode::Gone | CallCode::ReplayDiverged | CallCode::Unknown)) => Ok(before),
        (None, _) => Err(format!("gave {:?}, and now {:?}", before.outcome, now.outcome)),
        (Some(_), _) => Ok(now),
    }
}

impl World {
    /// Everything has ended: what is left is as it must be.
    pub(super) fn verify(&mut self) -> Result<(), String> {
        self.ledger.verify_ends()?;
        for daemon in &self.daemons {
            if let Some(hosting) = &daemon.hosting {
                hosting.host.check()?;
            }
        }
        let once = self.plan.spec.delivery == Delivery::EffectivelyOnce;
        let is_lost = self.ledger.was_killed || self.ledger.left_state;
        if !once || self.plan.lies.is_some() || self.ledger.diverged || is_lost {
            return Ok(());
        }
        let home = self.scheduler.home.and_then(|home| self.daemons.get(home));
        let carried = self.scheduler.carried();
        let files = self.ledger.last_files.as_ref();
        let files = files.or(carried).or(home.and_then(|home| home.disk.as_ref()));
        match files {
            Some(files) => {
                let beside = self.plan.runs_beside();
                let unsure = if beside { files.beside_poison() } else { BTreeSet::new() };
                self.ledger.verify_state(&files.played(), &unsure)
            }
            None => Err("the log is lost".to_owned()),
        }
    }
}

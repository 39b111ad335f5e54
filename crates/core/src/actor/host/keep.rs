//! Checkpoints: when they are made, who waits for them, and what rests on them.

use super::callers::Rests;
use super::record::Table;
use super::rest::Next;
use super::{Effect, Host, Phase};
use crate::actor::CheckpointPolicy;
use crate::actor::place::{Checkpoint, EndKind};
use crate::error::{ErrorClass, TaskError};
use crate::limits;
use crate::time::{Span, Time};

/// What is known of checkpoints in one incarnation.
#[expect(clippy::struct_excessive_bools, reason = "each is a question of its own")]
#[derive(Debug, Default)]
pub(super) struct Keeper {
    /// The process can give its state.
    pub(super) can: bool,
    /// One is being made, of all calls up to this record.
    asked: Option<u64>,
    /// Somebody was first heard of since: the table that goes with it does not know of that caller.
    pub(super) newcomers: bool,
    /// One is to be made as soon as nothing runs.
    due: bool,
    /// A reply waits for one.
    pub(super) needed: bool,
    /// What is in the state since the last would not come about again from the log alone.
    pub(super) tainted: bool,
    /// Who wants to know of the next.
    askers: Vec<u64>,
    /// Calls since the last.
    calls: u64,
    /// When the last was made, or else the incarnation began.
    last: Time,
    /// How many times in a row none could be made.
    failures: u32,
    /// None is made before, unless somebody asks.
    retry_at: Option<Time>,
    pub(super) made: u64,
    pub(super) newest: Checkpoint,
}

impl Keeper {
    /// A call has changed the state.
    pub(super) fn count_call(&mut self) {
        self.calls += 1;
    }

    fn look(&mut self, now: Time, policy: &CheckpointPolicy, log_bytes: u64) {
        self.retry_at = self.retry_at.filter(|at| *at > now);
        let by_calls = policy.every_calls > 0 && self.calls >= policy.every_calls;
        let most = match policy.every_bytes {
            0 => limits::CALL_LOG_BYTES,
            bytes => bytes.min(limits::CALL_LOG_BYTES),
        };
        let by_time = policy.every > Span::ZERO && now >= self.last + policy.every;
        let by_policy = by_calls || log_bytes >= most || (by_time && self.calls > 0);
        let wanted = self.retry_at.is_none() && (self.needed || by_policy);
        self.due = self.can && self.asked.is_none() && (wanted || !self.askers.is_empty());
    }

    /// Whether nothing is to begin, so that a checkpoint can be made.
    pub(super) fn wants_quiet(&self) -> bool {
        self.due || self.needed || self.asked.is_some()
    }

    pub(super) fn next_timer(&self, policy: &CheckpointPolicy) -> Option<Time> {
        if !self.can || self.due || self.asked.is_some() {
            return None;
        }
        let by_time =
            (policy.every > Span::ZERO && self.calls > 0).then(|| self.last + policy.every);
        self.retry_at.or(by_time)
    }

    /// Whether one is being made.
    pub(super) fn is_asked(&self) -> bool {
        self.asked.is_some()
    }

    /// When the last was made, if one was.
    pub(super) fn age(&self, now: Time) -> Span {
        if self.made == 0 { Span::ZERO } else { now.since(self.last) }
    }
}

impl Host {
    pub(super) fn on_alive(&mut self, now: Time, checkpoints: bool, effects: &mut Vec<Effect>) {
        if !matches!(self.phase, Phase::Starting) {
            return;
        }
        if self.log.is_on() && !checkpoints {
            let why = "an effectively-once actor has to give its state: give the class `__checkpoint__` and `__restore__`, or ask for less";
            let error = TaskError::new(ErrorClass::User, "NO_CHECKPOINTS", why);
            return self.over(now, EndKind::Failed, Some(Box::new(error)), Next::Unknown, effects);
        }
        self.keeper.can = checkpoints;
        self.keeper.last = now;
        if !checkpoints {
            self.answer_askers(&Err(no_checkpoints()), effects);
        }
        if self.log.is_on() {
            self.append(super::log::life(self.incarnation), effects);
        }
        self.phase = Phase::Replaying;
    }

    pub(super) fn on_checkpoint_asked(&mut self, request: u64, effects: &mut Vec<Effect>) {
        let refused = match self.phase {
            Phase::Over(_) => Some("the actor has ended".to_owned()),
            Phase::Replaying | Phase::Serving if !self.keeper.can => Some(no_checkpoints().message),
            _ if self.keeper.askers.len() >= limits::CHECKPOINT_ASKERS => {
                Some(format!("{} wait for the next already", limits::CHECKPOINT_ASKERS))
            }
            _ => None,
        };
        if let Some(why) = refused {
            let made = Err(Box::new(not_made(why)));
            effects.push(Effect::Checkpointed { request, made });
        } else {
            self.keeper.askers.push(request);
        }
    }

    /// Makes a checkpoint if one is due and nothing runs; or moves, where that is what the rest is for.
    pub(super) fn keep_if_due(&mut self, now: Time, effects: &mut Vec<Effect>) {
        self.keeper.look(now, &self.spec.checkpoint, self.log.bytes);
        if !self.given.is_empty() || self.keeper.asked.is_some() {
            return;
        }
        if let Some(moving) = &mut self.moving {
            moving.until = None;
            if !self.keeper.can {
                return self.over(now, EndKind::Moved, None, Next::Elsewhere, effects);
            }
        } else if !self.keeper.due {
            return;
        }
        let lsn = self.log.last();
        self.keeper.due = false;
        self.keeper.asked = Some(lsn);
        self.keeper.newcomers = false;
        let table = Table { left_out: self.log.left_out.clone(), ..self.callers.table() };
        effects.push(Effect::Checkpoint { lsn, table: Box::new(table) });
    }

    pub(super) fn on_state_kept(
        &mut self,
        now: Time,
        kept: Result<Checkpoint, Box<TaskError>>,
        effects: &mut Vec<Effect>,
    ) {
        let Some(lsn) = self.keeper.asked.take() else { return };
        match kept {
            Ok(checkpoint) => self.on_kept(now, lsn, checkpoint, effects),
            Err(error) => self.on_not_kept(now, *error, effects),
        }
    }

    fn on_kept(&mut self, now: Time, lsn: u64, made: Checkpoint, effects: &mut Vec<Effect>) {
        let (askers, newcomers) = (std::mem::take(&mut self.keeper.askers), self.keeper.newcomers);
        self.keeper = Keeper {
            can: true,
            last: now,
            made: self.keeper.made + 1,
            newest: made,
            ..Keeper::default()
        };
        self.log.bytes = 0;
        self.on_durable(lsn, effects);
        for id in std::mem::take(&mut self.log.until_kept) {
            self.release(id, Rests::Checkpoint, effects);
        }
        for request in askers {
            effects.push(Effect::Checkpointed { request, made: Ok(made) });
        }
        // Where the wish to move came while this one was made, its table may be too old to move with.
        if self.moving.is_some() && !newcomers {
            self.over(now, EndKind::Moved, None, Next::Elsewhere, effects);
        }
    }

    fn on_not_kept(&mut self, now: Time, error: TaskError, effects: &mut Vec<Effect>) {
        let keeper = &mut self.keeper;
        let shift = keeper.failures.min(16);
        keeper.failures += 1;
        let pause = Span(limits::CHECKPOINT_RETRY.0 << shift).min(limits::CHECKPOINT_RETRY_MAX);
        keeper.retry_at = Some(now + pause);
        let gives_up = keeper.needed && keeper.failures >= limits::CHECKPOINT_TRIES;
        self.answer_askers(&Err(error.clone()), effects);
        if let Some(moving) = self.moving.take() {
            if moving.lose_state {
                self.moving = Some(moving);
                return self.over(now, EndKind::Moved, None, Next::Elsewhere, effects);
            }
            let made = Err(Box::new(error.clone()));
            effects.push(Effect::Checkpointed { request: moving.request, made });
        }
        if gives_up {
            self.end_crashed(now, Box::new(error), effects);
        }
    }

    pub(super) fn answer_askers(
        &mut self,
        made: &Result<Checkpoint, TaskError>,
        effects: &mut Vec<Effect>,
    ) {
        for request in std::mem::take(&mut self.keeper.askers) {
            let made = made.clone().map_err(Box::new);
            effects.push(Effect::Checkpointed { request, made });
        }
    }
}

pub(super) fn no_checkpoints() -> TaskError {
    not_made("the actor cannot give its state".to_owned())
}

pub(super) fn not_made(why: String) -> TaskError {
    TaskError::new(ErrorClass::User, "NO_CHECKPOINT", why)
}

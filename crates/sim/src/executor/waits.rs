//! Code that waits for others in between, and takes no cpus meanwhile; and code that waits for what it runs in.

use bireme_core::{AttemptId, Span, limits};
use bireme_worker::machine::Event;

use super::{Executor, Run};
use crate::coverage::Moment;
use crate::load::Act;
use crate::rng::mix;
use crate::world::{Item, World};

/// How an attempt stands with its cpus.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Away {
    /// It has given them back.
    Given,
    /// It has them.
    No,
    /// It has asked for them.
    Wanted,
}

/// One attempt in so many waits; and of these, one in so many ends without its cpus, or asks for them no more.
const WAITS: u64 = 6;
const NEVER_RETURNS: u64 = 4;

/// What one attempt in so many runs in has to be made first.
const PREPARES: u64 = 8;

impl Executor {
    /// Enters what the code of an attempt that has just begun does next.
    pub(super) fn begin(&self, world: &mut World, number: u64, run: &Run) {
        let (waits, _) = plan(run);
        let span = Span(run.inputs.reading.0 + run.job.run.0);
        if waits {
            world.agenda.after(Span(span.0 / 2), Item::CodeWaits(self.whose, number));
        } else if run.job.act != Act::Hang {
            world.agenda.after(span, Item::CodeEnds(self.whose, number));
        }
        if prepares(run) {
            world.agenda.after(Span::ZERO, Item::Prepares(self.whose, number));
            world.agenda.after(Span(span.0 / 4), Item::Prepared(self.whose, number));
        }
    }

    /// What code runs in is being made.
    pub(crate) fn prepares(&self, number: u64) -> Option<Event> {
        Some(Event::Prepares(self.running.get(&number)?.execution.attempt))
    }

    /// It is there.
    pub(crate) fn prepared(&self, number: u64) -> Option<Event> {
        Some(Event::Prepared(self.running.get(&number)?.execution.attempt))
    }

    /// The code of an attempt begins to wait for others.
    pub(crate) fn waits(&mut self, world: &mut World, number: u64) -> Option<Event> {
        let whose = self.whose;
        let run = self.running.get_mut(&number)?;
        run.away = Away::Given;
        let (_, returns) = plan(run);
        let span = world.rng.span(1, 20_000);
        let next = if returns {
            Item::CodeReturns(whose, number)
        } else {
            world.coverage.saw(&Moment::EndedAway);
            Item::CodeEnds(whose, number)
        };
        if returns || run.job.act != Act::Hang {
            world.agenda.after(span, next);
        }
        Some(Event::Seceded(run.execution.attempt))
    }

    /// The code of an attempt has what it waited for.
    pub(crate) fn returns(&mut self, number: u64) -> Option<Event> {
        let run = self.running.get_mut(&number)?;
        run.away = Away::Wanted;
        Some(Event::Rejoining(run.execution.attempt))
    }

    /// An attempt has its cpus again: its code goes on.
    pub(crate) fn rejoined(&mut self, world: &mut World, attempt: AttemptId) {
        let whose = self.whose;
        let mut running = self.running.iter_mut();
        let found = running.find(|(_, run)| run.execution.attempt == attempt);
        let Some((number, run)) = found.filter(|(_, run)| run.away == Away::Wanted) else { return };
        run.away = Away::No;
        if run.job.act != Act::Hang {
            let rest = Span(run.job.run.0 / 2).min(limits::WORKER_LOST);
            world.agenda.after(rest, Item::CodeEnds(whose, *number));
        }
    }
}

/// Whether what an attempt runs in has to be made first.
fn prepares(run: &Run) -> bool {
    is_of_load(run) && luck(run).rotate_left(32).is_multiple_of(PREPARES)
}

/// Whether an attempt waits, and whether it asks for its cpus again.
fn plan(run: &Run) -> (bool, bool) {
    let luck = luck(run);
    let waits = is_of_load(run) && luck.is_multiple_of(WAITS);
    (waits, !(luck / WAITS).is_multiple_of(NEVER_RETURNS))
}

fn luck(run: &Run) -> u64 {
    mix(run.job.identity, u64::from(run.execution.attempt.no.n))
}

/// Scenarios number their jobs, and measure time: theirs wait for nothing.
fn is_of_load(run: &Run) -> bool {
    run.job.identity > u64::from(u32::MAX)
}

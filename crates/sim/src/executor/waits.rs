//! Code that waits for others in between, and takes no cpus meanwhile.

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

/// Whether an attempt waits, and whether it asks for its cpus again.
fn plan(run: &Run) -> (bool, bool) {
    let no = run.execution.attempt.no;
    let luck = mix(run.job.identity, u64::from(no.n));
    // Scenarios number their jobs, and measure time: theirs do not wait.
    let of_load = run.job.identity > u64::from(u32::MAX);
    (of_load && luck.is_multiple_of(WAITS), !(luck / WAITS).is_multiple_of(NEVER_RETURNS))
}

//! What goes wrong, and when: a plan made before the run starts.

use bireme_core::{Span, Time};

use crate::load::Load;
use crate::rng::Rng;

/// The deadline of a worker that nobody is left to take over from.
const LAST_RESORT: Span = Span::secs(2);

/// Something that goes wrong.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Fault {
    /// A worker's daemon dies with everything it holds; its next life starts after a while.
    Crash { worker: usize, back: Span },
    /// A session's client dies with all it has heard, and comes back as the same session.
    CrashSession { session: usize, away: Span },
    /// A session's client never comes back.
    Abandon { session: usize },
    /// Files of a worker's values are cut, and it finds that out when they are read.
    Cut { worker: usize },
    /// The stream of a worker breaks, and the worker stays away for a while.
    CutWorker { worker: usize, away: Span },
    /// The same for a session.
    CutSession { session: usize, away: Span },
    /// Somebody has the scheduler send a worker away in order; its next life starts after a while.
    Dismiss { worker: usize, deadline: Option<Span> },
    /// Somebody on its machine asks a worker to leave; its next life starts after a while.
    Drain { worker: usize, back: Span },
    /// A worker has no room for large values for a while, neither in memory nor on disk.
    Fill { worker: usize, span: Span },
    /// Another worker comes with the name of one that may be there.
    Impostor { worker: usize },
    /// Nobody can fetch anything from a worker for a while.
    Isolate { worker: usize, span: Span },
    /// A worker's store finds some of its values gone.
    Lose { worker: usize },
    /// The scheduler dies with everything it knows but how far its numbers are given away, and starts anew after a while.
    Restart { away: Span },
    /// Somebody has the scheduler send a worker away at once; its next life starts after a while.
    Stop { worker: usize, grace: Span },
    /// Something else than values fills a worker's memory for a while.
    Pause { worker: usize, span: Span },
    /// A session's client dies with all it has heard; another comes, and knows only the session's name.
    TakeOver { session: usize, away: Span },
    /// Nothing gets through a worker's stream for a while, and then everything does.
    StallWorker { worker: usize, span: Span },
    /// The same for a session.
    StallSession { session: usize, span: Span },
}

/// Faults and their times.
pub(crate) fn plan(rng: &mut Rng, load: &Load) -> Vec<(Time, Fault)> {
    let until = *rng.pick(&[20_000, 100_000, 1_000_000]);
    // A session that is alone gets its number again from a new scheduler, and only then is the epoch all that tells attempts
    // of two lives apart.
    let restarts = load.sessions.len() == 1 && rng.chance(60);
    let count = if restarts { rng.between(4, 12) } else { rng.between(1, 6) };
    let one = |rng: &mut Rng| {
        if restarts { Fault::Restart { away: rng.span(0, 1_000) } } else { fault(rng, load) }
    };
    let mut plan: Vec<_> =
        (0..count).map(|_| (Time(rng.between(1_000, until)), one(rng))).collect();
    plan.sort_by_key(|(time, _)| *time);
    set_deadlines(&mut plan, load.workers.len());
    plan
}

/// Whoever is sent away without a deadline stays as long as nobody can take what only it has: that must not become of all.
fn set_deadlines(plan: &mut [(Time, Fault)], workers: usize) {
    let mut without = 0;
    for (_, fault) in plan {
        if let Fault::Dismiss { deadline, .. } = fault
            && deadline.is_none()
        {
            without += 1;
            if without == workers {
                *deadline = Some(LAST_RESORT);
                without -= 1;
            }
        }
    }
}

fn fault(rng: &mut Rng, load: &Load) -> Fault {
    let worker = rng.place(load.workers.len());
    let session = rng.place(load.sessions.len());
    // Rarely so long that the other side gives up.
    let long = |rng: &mut Rng, limit: u64| {
        if rng.chance(25) { rng.span(limit, limit + 3_000_000) } else { rng.span(0, 400_000) }
    };
    match rng.below(21) {
        15 => Fault::CrashSession { session, away: rng.span(0, 1_000_000) },
        16 => {
            let deadline = rng.span(0, 2_000_000);
            Fault::Dismiss { worker, deadline: (!deadline.0.is_multiple_of(4)).then_some(deadline) }
        }
        17 if rng.chance(50) => Fault::Stop { worker, grace: Span::ZERO },
        17 => Fault::Stop { worker, grace: rng.span(1, 100_000) },
        18 => Fault::Restart { away: rng.span(0, 1_000) },
        19 => Fault::Restart { away: rng.span(0, 2_000_000) },
        20 => Fault::Lose { worker },
        0 | 1 => Fault::Crash { worker, back: long(rng, 5_000_000) },
        2..=4 => Fault::CutWorker { worker, away: long(rng, 4_000_000) },
        5 | 6 => Fault::CutSession { session, away: rng.span(0, 2_000_000) },
        7 => Fault::Drain { worker, back: rng.span(0, 1_000_000) },
        8 => Fault::Pause { worker, span: rng.span(100, 500_000) },
        9 => match rng.below(3) {
            0 => Fault::Impostor { worker },
            1 if rng.chance(50) => Fault::Abandon { session },
            _ => Fault::StallSession { session, span: rng.span(100, 500_000) },
        },
        10..=12 => Fault::Isolate { worker, span: rng.span(1_000, 1_000_000) },
        _ => Fault::StallWorker { worker, span: long(rng, 14_000_000) },
    }
}

//! What does not end when it should: calls that were asked to return, and actors that their processes were asked to drop.

use bireme_core::actor::host::RunNo;
use bireme_core::id::ActorId;
use bireme_core::{ErrorClass, Reason, Span, Time, limits};
use bireme_executor::Reached;
use bireme_proto::pb::executor_order::{ActorCancel, Order};

use super::Turn;
use super::entry::Stop;
use crate::failure::failure;

/// What becomes of a call that was asked to return and has not.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Verdict {
    /// It has had its time.
    End,
    /// Somebody looks again then.
    Look(Time),
}

impl Stop {
    /// A call that has not begun, as far as its process marks it, is not ended by force: that it is taken back, or how it ended,
    /// is said in a moment. One of which nobody can see whether it has begun gets as long for that, at least.
    fn judge(self, now: Time, run: u64, reached: Option<Reached>) -> Verdict {
        let last = self.asked + self.grace.max(limits::CALL_CANCEL_HEARD);
        if now < self.asked + self.grace {
            return Verdict::Look(self.asked + self.grace);
        }
        match reached {
            Some(Reached { started, runs: true }) if started == run => Verdict::End,
            _ if now >= last => Verdict::End,
            // Twice as late each time.
            Some(_) => Verdict::Look(last.min(now + now.since(self.asked).max(Span::millis(1)))),
            None => Verdict::Look(last),
        }
    }
}

impl Turn<'_> {
    /// Asks a call to return. If it does not within `grace`, its process is killed, or its actor leaves that.
    pub(super) fn stop(&mut self, actor: ActorId, run: RunNo, grace: Option<Span>) {
        let grace_us = grace.map_or(0, |grace| grace.0.max(1));
        let order = ActorCancel { actor: Some(actor.into()), call: run.0, grace_us };
        self.say_to_process(actor, Order::ActorCancel(order));
        let (Some(grace), Some(entry)) = (grace, self.table.entries.get_mut(&actor)) else {
            return;
        };
        let (asked, look) = (self.now, self.now + grace);
        let is_sooner = entry.stops.get(&run.0).is_none_or(|stop| look < stop.asked + stop.grace);
        if is_sooner && entry.runs.contains(run.0) {
            entry.stops.insert(run.0, Stop { asked, grace, look });
        }
    }

    /// Ends what has had its time. An incarnation that began later is another entry, of which nothing is overdue.
    pub(super) fn end_overdue(&mut self, actor: ActorId) {
        let now = self.now;
        let Some(entry) = self.table.entries.get_mut(&actor) else { return };
        let Some(number) = entry.process else { return };
        if entry.leaves_by.take_if(|by| *by <= now).is_some() {
            let message = "the process does not let go of the actor";
            let error = failure(ErrorClass::ProcessDied, Reason::ProcessDied, message);
            return self.evict(actor, number, error);
        }
        let due = entry.stops.iter_mut().filter(|(_, stop)| stop.look <= now);
        let mut reached = None;
        for (run, stop) in due {
            let reached = *reached.get_or_insert_with(|| self.shared.place.reached(number));
            match stop.judge(now, *run, reached) {
                Verdict::Look(then) => stop.look = then,
                Verdict::End => {
                    entry.stops.clear();
                    let message = "a call was cancelled and did not return in the time it had";
                    let error = failure(ErrorClass::ProcessDied, Reason::ProcessDied, message);
                    return self.evict(actor, number, error);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE: Span = Span::millis(100);
    const STOP: Stop = Stop { asked: Time(1_000), grace: GRACE, look: Time(0) };

    fn late(span: Span, reached: Option<(u64, bool)>) -> Verdict {
        let reached = reached.map(|(started, runs)| Reached { started, runs });
        STOP.judge(STOP.asked + span, 7, reached)
    }

    #[test]
    fn a_call_that_runs_has_its_grace_and_no_more() {
        let over = STOP.asked + GRACE;
        assert_eq!(late(Span::millis(99), Some((7, true))), Verdict::Look(over));
        assert_eq!(late(GRACE, Some((7, true))), Verdict::End);
    }

    #[test]
    fn one_that_does_not_run_has_time_to_be_taken_back() {
        for reached in [(0, false), (6, true), (7, false), (8, true)] {
            let twice = STOP.asked + Span::millis(200);
            assert_eq!(late(GRACE, Some(reached)), Verdict::Look(twice), "{reached:?}");
            assert_eq!(late(limits::CALL_CANCEL_HEARD, Some(reached)), Verdict::End);
        }
    }

    #[test]
    fn one_of_which_nothing_is_known_has_as_long() {
        let last = STOP.asked + limits::CALL_CANCEL_HEARD;
        assert_eq!(late(GRACE, None), Verdict::Look(last));
        assert_eq!(late(limits::CALL_CANCEL_HEARD, None), Verdict::End);
        let patient = Stop { grace: Span::secs(60), ..STOP };
        let over = patient.asked + patient.grace;
        assert_eq!(patient.judge(last, 7, None), Verdict::Look(over));
        assert_eq!(patient.judge(over, 7, None), Verdict::End);
    }
}

//! Calls of those who have no stream: scripts, which make one and wait for it.

use std::sync::{Arc, Mutex};

use bireme_core::Span;
use bireme_core::actor::Selector;
use bireme_core::actor::call::{Call, CallCode, CallFailure, CallerId, Ending, Outcome, Who};
use bireme_core::actor::host::Line;
use bireme_core::actor::wire::{OnUnknown, Open, ToCaller};
use bireme_core::id::{ActorId, Incarnation, SessionId, SubmissionId};
use bireme_core::limits;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::{Shared, Turn, results};
use crate::sync::lock;

/// Who waits for a call.
#[derive(Debug, Default)]
pub(crate) struct Single {
    ended: Mutex<Option<Ending>>,
    news: Notify,
}

impl Single {
    /// The host said something.
    pub(super) fn hear(&self, word: ToCaller) {
        let ending = match word {
            ToCaller::Reply { ending, .. } => *ending,
            ToCaller::OpenRefused(failure) => not_ended(*failure),
            ToCaller::Redirect { .. } => {
                // Not `NOT_RUN`: what is in the call log is known to the incarnation that took that along.
                let message = "the actor lives elsewhere now: ask the scheduler where, and make the call there with the same submission id";
                not_ended(CallFailure::new(CallCode::Fenced, message))
            }
            ToCaller::Accepted { .. }
            | ToCaller::Item { .. }
            | ToCaller::Opened(_)
            | ToCaller::Window(_) => return,
        };
        lock(&self.ended).get_or_insert(ending);
        self.news.notify_one();
    }

    async fn end(&self) -> Ending {
        loop {
            if let Some(ending) = lock(&self.ended).take() {
                return ending;
            }
            self.news.notified().await;
        }
    }
}

impl Shared {
    /// The actor that is meant, if it is hosted here.
    pub(crate) fn find(self: &Arc<Self>, selector: &Selector) -> Option<ActorId> {
        self.turn().find(selector)
    }

    /// Makes a call, or finds the one that was made by the same submission, and waits for its end for so long; `None` if it
    /// has not ended by then.
    pub(crate) async fn call_once(
        self: &Arc<Self>,
        actor: ActorId,
        submission: SubmissionId,
        call: Call,
        max_wait: Span,
    ) -> Option<Ending> {
        let single = Arc::new(Single::default());
        let call = results::with_place(call, submission);
        // The line is cut whichever way this ends, also when nobody waits for the answer any more.
        let _line = {
            let mut turn = self.turn();
            let Some(incarnation) = turn.incarnation(actor) else {
                return Some(not_here());
            };
            let open = Open {
                caller: caller(submission),
                actor,
                incarnation,
                processed_up_to: 0,
                on_unknown: OnUnknown::Continue,
                credit: limits::CALL_ITEMS,
            };
            let line = turn.call_alone(open, Arc::new(call), Arc::clone(&single));
            Cut { shared: Arc::clone(self), line }
        };
        timeout(max_wait.to_std(), single.end()).await.ok()
    }
}

/// Cuts a line when it is dropped.
struct Cut {
    shared: Arc<Shared>,
    line: Line,
}

impl Drop for Cut {
    fn drop(&mut self) {
        self.shared.turn().leave_alone(self.line);
    }
}

impl Turn<'_> {
    pub(super) fn find(&self, selector: &Selector) -> Option<ActorId> {
        match selector {
            Selector::Actor(actor) => self.table.entries.contains_key(actor).then_some(*actor),
            Selector::Name(name) => {
                let mut entries = self.table.entries.iter();
                let is_it = |entry: &super::Entry| {
                    entry.over.is_none() && entry.spec.name.as_ref() == Some(name)
                };
                entries.find(|(_, entry)| is_it(entry)).map(|(actor, _)| *actor)
            }
        }
    }

    fn incarnation(&self, actor: ActorId) -> Option<Incarnation> {
        let entry = self.table.entries.get(&actor).filter(|entry| entry.host.is_some())?;
        Some(entry.hosting.incarnation)
    }
}

/// Stands for those who have no session. No session has this number.
const NOBODY: SessionId = SessionId(u32::MAX);

/// A caller of one call: the submission is all that there is of it.
fn caller(SubmissionId(submission): SubmissionId) -> CallerId {
    let hash = blake3::hash(&submission.to_be_bytes());
    let life = hash.as_bytes().first_chunk().map_or(1, |bytes| u64::from_le_bytes(*bytes));
    CallerId { who: Who::Session(NOBODY), life: life.max(1) }
}

fn not_here() -> Ending {
    let message = "the actor is not hosted here: ask the scheduler where it is";
    not_ended(CallFailure::new(CallCode::NotRun, message))
}

/// Said of a call that does not end here.
fn not_ended(failure: CallFailure) -> Ending {
    Ending {
        outcome: Outcome::Failure(Box::new(failure)),
        queue: Span::ZERO,
        run: Span::ZERO,
        lsn: 0,
        incarnation: Incarnation::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn whoever_waits_for_a_call_hears_at_once_that_the_actor_lives_elsewhere() {
        let single = Single::default();
        single.hear(ToCaller::Window(1));
        assert!(timeout(Span::ZERO.to_std(), single.end()).await.is_err(), "it goes on");
        single.hear(ToCaller::Redirect { incarnation: Incarnation(2), place: None });
        let ending = timeout(limits::MAX_WAIT.to_std(), single.end()).await.unwrap();
        assert_eq!(ending.outcome.code(), Some(CallCode::Fenced), "{ending:?}");
    }
}

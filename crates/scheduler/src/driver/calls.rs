//! Calls that wait: for a command's answer, or for the machine to get somewhere.

use std::collections::BTreeMap;

use tokio::sync::oneshot;

use bireme_core::id::{SessionId, SubmissionId};
use bireme_core::limits;
use bireme_core::reason::{Reason, Refusal};
use bireme_core::time::Time;

use crate::driver::Scene;
use crate::driver::mail::{Answer, Watch};

/// All that wait. A call that finds no place is dropped, which its caller hears as `BUSY`.
#[derive(Default)]
pub(crate) struct Calls {
    answers: BTreeMap<(SessionId, SubmissionId), Vec<oneshot::Sender<Answer>>>,
    /// How many replies `answers` holds.
    replies: usize,
    watches: Vec<(Time, Watch)>,
}

impl Calls {
    /// Has `reply` told when the machine answers the command.
    pub(crate) fn expect(
        &mut self,
        session: SessionId,
        submission: SubmissionId,
        reply: oneshot::Sender<Answer>,
    ) {
        if self.replies >= limits::CALLS {
            self.forget_closed();
        }
        if self.replies < limits::CALLS {
            self.replies += 1;
            self.answers.entry((session, submission)).or_default().push(reply);
        }
    }

    /// The machine has answered a command.
    pub(crate) fn answer(&mut self, session: SessionId, submission: SubmissionId, answer: Answer) {
        for reply in self.answers.remove(&(session, submission)).unwrap_or_default() {
            self.replies -= 1;
            // A caller that has gone asks again under the same submission.
            drop(reply.send(answer.clone()));
        }
    }

    /// A session is gone, and its commands with it.
    pub(crate) fn forget_session(&mut self, session: SessionId) {
        let (first, last) = (SubmissionId(0), SubmissionId(u128::MAX));
        let gone: Vec<_> = self
            .answers
            .range((session, first)..=(session, last))
            .map(|((_, submission), _)| *submission)
            .collect();
        for submission in gone {
            let refusal = Refusal::new(Reason::SessionUnknown, "the session has ended");
            self.answer(session, submission, Err(refusal));
        }
    }

    /// Looks for the first time and, if that does not settle it, after every turn until `until`.
    pub(crate) fn watch(&mut self, until: Time, mut watch: Watch, scene: &Scene<'_>) {
        let settled = watch(scene, until <= scene.now);
        if !settled && self.watches.len() < limits::CALLS {
            self.watches.push((until, watch));
        }
    }

    /// Looks again for all that wait.
    pub(crate) fn look(&mut self, scene: &Scene<'_>) {
        self.watches.retain_mut(|(until, watch)| !watch(scene, *until <= scene.now));
    }

    /// Whether anybody waits for the machine to get somewhere.
    pub(crate) fn is_watched(&self) -> bool {
        !self.watches.is_empty()
    }

    /// When the first wait is up.
    pub(crate) fn next_deadline(&self) -> Option<Time> {
        self.watches.iter().map(|(until, _)| *until).min()
    }

    fn forget_closed(&mut self) {
        self.answers.retain(|_, replies| {
            replies.retain(|reply| !reply.is_closed());
            !replies.is_empty()
        });
        self.replies = self.answers.values().map(Vec::len).sum();
    }
}

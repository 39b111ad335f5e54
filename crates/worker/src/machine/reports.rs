//! What the scheduler is still to be told.
//!
//! It is told how things stand when the report is taken, not how they stood when it was marked: an attempt that started and
//! ended in between is told to have ended.

use bireme_core::ObjectId;
use bireme_core::actor::place::ActorReport;
use bireme_core::id::{ActorId, AttemptId};
use bireme_core::protocol::{Output, Report};

use super::attempts::Cpus;
use super::leave::Leaving;
use super::objects::Missing;
use super::{Effect, Machine, State};

/// Something the scheduler is to be told about.
#[derive(Debug)]
pub(super) enum Mark {
    /// How it stands with an actor.
    Actor(ActorId),
    /// How a wish for a checkpoint or a move was answered.
    Checkpointed(Box<ActorReport>),
    /// How it stands with the copies of an actor, as it was told last.
    Copied(Box<ActorReport>),
    /// How it stands with the cpus of an attempt that has given them back at some time.
    Cpus(AttemptId),
    /// The worker is about to leave.
    Draining,
    /// An end that is kept until it is settled.
    Ended(AttemptId),
    /// The end of an attempt with outputs; nothing else keeps it.
    Finished(Report),
    /// An object that was here and is gone.
    Lost(ObjectId),
    /// An object that nobody named could give.
    Missing(ObjectId),
    /// An object that is here.
    Replica(ObjectId),
    /// User code that has started.
    Started(AttemptId),
    /// An attempt that is not here.
    Unknown(AttemptId),
}

impl Machine {
    /// Has something told, if there is a stream.
    pub(super) fn mark(&mut self, mark: Mark, effects: &mut Vec<Effect>) {
        if self.outbox.mark(mark) {
            effects.push(Effect::Wake);
        }
    }

    /// A stream is up. What an announcement does not say is marked now, or when the announcement was answered.
    pub(super) fn on_connected(&mut self, effects: &mut Vec<Effect>) {
        self.outbox.open();
        if self.leaving != Leaving::No {
            self.mark(Mark::Draining, effects);
        }
    }

    /// The scheduler knows every attempt by now: what they miss makes sense to it, and which of them take no cpus.
    pub(super) fn on_announced(&mut self, effects: &mut Vec<Effect>) {
        self.tell_cpus(effects);
        self.tell_missing(effects);
    }

    fn tell_missing(&mut self, effects: &mut Vec<Effect>) {
        let sought = self.objects.sought.iter().filter(|(_, sought)| sought.missing.is_some());
        let mut objects: Vec<_> = sought.map(|(object, _)| *object).collect();
        objects.sort_unstable();
        for object in objects {
            if let Some(sought) = self.objects.sought.get_mut(&object) {
                sought.marked = true;
            }
            self.mark(Mark::Missing(object), effects);
        }
    }

    /// Whether all that there is to tell is that attempts have started.
    pub fn has_only_starts(&self) -> bool {
        let mut marks = self.outbox.iter();
        !self.outbox.is_empty() && marks.all(|mark| matches!(mark, Mark::Started(_)))
    }

    /// Moves reports to `out` until they are about `budget` bytes long. Returns whether more is left.
    pub fn take_reports(&mut self, budget: usize, out: &mut Vec<Report>) -> bool {
        let mut room = budget;
        while room > 0
            && let Some(mark) = self.outbox.take()
        {
            if let Some(report) = self.report(mark) {
                room = room.saturating_sub(encoded_bytes(&report));
                out.push(report);
            }
        }
        !self.outbox.is_empty()
    }

    /// What there is to tell about a thing by now.
    fn report(&mut self, mark: Mark) -> Option<Report> {
        match mark {
            Mark::Actor(actor) => self.actor_report(actor),
            Mark::Checkpointed(report) | Mark::Copied(report) => Some(Report::Actor(*report)),
            Mark::Cpus(id) => {
                let slot = self.attempts.find(id)?;
                let attempt = self.attempts.at_mut(slot);
                attempt.cpus_marked = false;
                match attempt.state {
                    State::Running { cpus: Cpus::Given, .. } => Some(Report::Seceded(id)),
                    State::Running { cpus: Cpus::Held | Cpus::Wanted { .. }, .. } => {
                        Some(Report::Rejoined(id))
                    }
                    State::Following(_) | State::Ready | State::Waiting { .. } => None,
                }
            }
            Mark::Draining => Some(Report::Draining { waits: self.leaving.waits() }),
            Mark::Ended(id) => {
                self.ended.get(&id.task).filter(|report| report.ended() == Some(id)).cloned()
            }
            Mark::Finished(report) => Some(report),
            Mark::Lost(object) => {
                (!self.objects.is_stored(object)).then_some(Report::ReplicaLost(object))
            }
            Mark::Missing(object) => {
                let sought = self.objects.sought.get_mut(&object)?;
                sought.marked = false;
                let Missing { asked, made_by } = sought.missing.clone()?;
                // A replica that cannot be made is for the scheduler to think about again.
                sought.replicate = false;
                self.objects.forget_unwanted(object);
                Some(Report::InputMissing { object, asked, made_by })
            }
            Mark::Replica(object) => {
                self.holds(object).map(|size| Report::ReplicaAdded { object, size })
            }
            Mark::Started(id) => {
                let attempt = self.attempts.at(self.attempts.current(id.task)?);
                let runs = attempt.id == id && matches!(attempt.state, State::Running { .. });
                runs.then_some(Report::Started(id))
            }
            Mark::Unknown(id) => self.attempts.find(id).is_none().then_some(Report::Retracted(id)),
        }
    }
}

/// About how long a report is in its encoded form, in bytes.
pub(super) fn encoded_bytes(report: &Report) -> usize {
    /// Ids, sizes, timing and field tags.
    const FRAME: usize = 64;
    let variable = match report {
        Report::Failed { error, .. } => {
            let errors = std::iter::successors(Some(&**error), |error| error.cause.as_deref());
            errors
                .map(|error| {
                    let lines: usize = error.last_lines.iter().map(|line| line.len() + 4).sum();
                    let opaque = error.opaque.as_ref().map_or(0, |value| value.size);
                    let texts = [
                        &error.reason,
                        &error.message,
                        &error.traceback,
                        &error.language,
                        &error.worker,
                    ];
                    let texts: usize = texts.iter().map(|text| text.len() + 4).sum();
                    FRAME + lines + texts + bytes(opaque)
                })
                .sum()
        }
        Report::Finished { outputs, .. } => {
            let value = |output: &Output| {
                output.value.as_ref().map_or(0, |value| FRAME + bytes(value.size))
            };
            outputs.iter().map(|output| 12 + value(output)).sum()
        }
        Report::InputMissing { asked, .. } => 4 * asked.len(),
        Report::Actor(_)
        | Report::Draining { .. }
        | Report::Rejoined(_)
        | Report::ReplicaAdded { .. }
        | Report::ReplicaLost(_)
        | Report::Retracted(_)
        | Report::Seceded(_)
        | Report::Started(_) => 0,
    };
    FRAME + variable
}

fn bytes(size: u64) -> usize {
    usize::try_from(size).unwrap_or(usize::MAX / 2)
}

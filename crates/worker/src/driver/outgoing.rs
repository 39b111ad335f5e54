//! What is to be written to the scheduler, and in which order.

use std::collections::VecDeque;
use std::time::{SystemTime, UNIX_EPOCH};

use bireme_core::actor::place::Beat;
use bireme_core::id::Digest;
use bireme_core::limits;
use bireme_core::protocol::{Heartbeat, Report};
use bireme_proto::convert::common::Clock as ClockSample;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use crate::clock::Clock;
use crate::machine::Machine;
use crate::metrics::Metrics;
use crate::rpc::fleet::{Sealed, Up};

/// First the announcement, then what happened since. Reports are taken from the machine when there is room for them, and
/// tell how things stand by then.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    /// The announcement, or its digest. One announcement at most is on its way.
    announcement: VecDeque<Up>,
    heartbeat: Option<(Heartbeat, Vec<Beat>, ClockSample)>,
    /// The machine has reports.
    reports_wait: bool,
    /// There is no room for a message.
    blocked: bool,
    /// Empty between flushes.
    reports: Vec<Report>,
}

impl Outgoing {
    /// A stream is up: asks whether the scheduler knows what the worker holds.
    pub(super) fn open(&mut self, machine: &Machine) {
        let mut hasher = blake3::Hasher::new();
        for part in machine.announce() {
            part.fold_digest(&mut |bytes| {
                hasher.update(bytes);
            });
        }
        self.announcement.clear();
        self.announcement.push_back(Up::digest(Digest(*hasher.finalize().as_bytes())));
    }

    /// The stream is lost.
    pub(super) fn close(&mut self) {
        self.announcement.clear();
        self.heartbeat = None;
        self.reports_wait = false;
        self.blocked = false;
    }

    /// The scheduler asks for everything held.
    pub(super) fn announce(&mut self, machine: &Machine) {
        self.announcement.clear();
        self.announcement.extend(machine.announce().into_iter().map(Up::announce));
    }

    /// A heartbeat is due, with what actors have counted since the last. One that could not be sent in time is replaced; what
    /// its actors counted goes with the next.
    #[expect(clippy::disallowed_methods, reason = "time enters here")]
    pub(super) fn beat(&mut self, heartbeat: Heartbeat, actors: Vec<Beat>, clock: Clock) {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let wall_us = u64::try_from(wall.as_micros()).unwrap_or(u64::MAX);
        let sample = ClockSample { wall_us, monotonic_us: clock.now().0 };
        let unsent = self.heartbeat.take().map(|(_, actors, _)| actors).unwrap_or_default();
        let is_counted_anew =
            |(actor, ..): &Beat| actors.iter().any(|(counted, ..)| counted == actor);
        let mut all: Vec<Beat> = unsent.into_iter().filter(|beat| !is_counted_anew(beat)).collect();
        all.extend(actors);
        self.heartbeat = Some((heartbeat, all, sample));
    }

    /// The machine has reports.
    pub(super) fn wake(&mut self) {
        self.reports_wait = true;
    }

    /// Whether there is something to write besides reports.
    pub(super) fn has_own(&self) -> bool {
        self.heartbeat.is_some() || !self.announcement.is_empty()
    }

    /// Whether something waits for room.
    pub(super) fn is_blocked(&self) -> bool {
        self.blocked
    }

    /// Writes as much as there is room for.
    pub(super) fn flush(
        &mut self,
        machine: &mut Machine,
        metrics: &Metrics,
        stream: Option<&mpsc::Sender<Sealed>>,
    ) {
        let Some(stream) = stream else { return };
        self.blocked = false;
        while self.reports_wait || self.heartbeat.is_some() || !self.announcement.is_empty() {
            let permit = match stream.try_reserve() {
                Ok(permit) => permit,
                Err(error) => {
                    self.blocked = matches!(error, TrySendError::Full(()));
                    return;
                }
            };
            let Some(message) = self.next(machine, metrics) else { continue };
            metrics.messages_sent_total.count();
            permit.send(message.into());
        }
    }

    fn next(&mut self, machine: &mut Machine, metrics: &Metrics) -> Option<Up> {
        if let Some(part) = self.announcement.pop_front() {
            return Some(part);
        }
        self.reports_wait = machine.take_reports(limits::BATCH_BYTES, &mut self.reports);
        let heartbeat = self.heartbeat.take();
        if self.reports.is_empty() && heartbeat.is_none() {
            return None;
        }
        metrics.reports_total.add(self.reports.len() as u64);
        Some(Up::reports(&mut self.reports, heartbeat))
    }
}

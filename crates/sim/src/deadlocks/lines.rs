//! Calls on their way: who made them, and what passes over the line of each.

use std::sync::Arc;

use bireme_core::Time;
use bireme_core::actor::call::{Call, CallId, CallerId, Who};
use bireme_core::actor::host::{Event, Line, RunNo};
use bireme_core::actor::probe::Probe;
use bireme_core::actor::wire::{OnUnknown, Open, ToHost};
use bireme_core::id::{ActorId, Incarnation, SessionId};

use super::{Item, World};

/// A call as those know it who see everything.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact that the others do not decide")]
pub(super) struct Asked {
    pub(super) actor: usize,
    pub(super) lane: u32,
    line: Line,
    /// The run that made it: whose process, and its number; `None` of a client.
    by: Option<Run>,
    /// How many calls led to it.
    pub(super) depth: u32,
    /// Its host has it.
    pub(super) has_arrived: bool,
    /// It has run, at least in part.
    pub(super) has_begun: bool,
    /// Its process has given it back.
    pub(super) taken_back: bool,
    pub(super) has_ended: bool,
    /// When the last word over its line arrives.
    up: Time,
}

/// A call that runs, in one life of a process.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Run {
    pub(super) actor: usize,
    pub(super) process: u64,
    pub(super) no: RunNo,
}

/// A word of a caller.
#[derive(Debug)]
pub(super) struct Said {
    call: CallId,
    word: ToHost,
}

impl World {
    /// Somebody makes a call, to any actor and lane.
    pub(super) fn ask(&mut self, by: Option<Run>, depth: u32) -> CallId {
        let actor = self.rng.place(self.actors.len());
        let lanes = self.actor(actor).spec.lanes.len();
        let lane = u32::try_from(self.rng.place(lanes)).unwrap_or_default();
        let life = self.calls.len() as u64 + 1;
        // The order of ids is not that in which calls are made.
        let session = SessionId(u32::try_from(self.rng.below(1_000)).unwrap_or_default());
        let caller = CallerId { who: Who::Session(session), life };
        let id = CallId { caller, actor: ActorId(actor as u128 + 1), seq: 1 };
        let line = Line(life);
        self.lines.insert(line, id);
        let asked = Asked {
            actor,
            lane,
            line,
            by,
            depth,
            has_arrived: false,
            has_begun: false,
            taken_back: false,
            has_ended: false,
            up: self.agenda.now(),
        };
        self.calls.insert(id, asked);
        let open = Open {
            caller,
            actor: id.actor,
            incarnation: Incarnation(1),
            processed_up_to: 0,
            on_unknown: OnUnknown::Continue,
            credit: 1,
        };
        self.say(id, ToHost::Open(open));
        let call = Call { method: format!("m{life}"), lane: Some(lane), ..Call::default() };
        self.say(id, ToHost::Call { seq: 1, call: Arc::new(call), incarnation: Incarnation(1) });
        id
    }

    fn say(&mut self, call: CallId, word: ToHost) {
        let at = self.agenda.now() + self.rng.span(50, self.slow);
        let asked = self.calls.get_mut(&call).expect("it was made");
        asked.up = asked.up.max(at);
        self.agenda.at(asked.up, Item::Said(Said { call, word }));
    }

    pub(super) fn cancel(&mut self, call: CallId) {
        self.say(call, ToHost::Cancel { seq: 1, grace: None });
    }

    /// Passes a probe on to the host of a call.
    pub(super) fn say_probe(&mut self, call: CallId, probe: Probe) {
        self.say(call, ToHost::Probe { seq: 1, probe: Box::new(probe) });
    }

    pub(super) fn on_said(&mut self, Said { call, word }: Said) -> Result<(), String> {
        let asked = self.calls.get_mut(&call).expect("it was made");
        let (actor, line) = (asked.actor, asked.line);
        asked.has_arrived |= matches!(word, ToHost::Call { .. });
        self.drive(actor, Event::Said { line, word })
    }

    pub(super) fn on_heard(&mut self, call: CallId) {
        self.say(call, ToHost::Ack { processed_up_to: 1 });
        if let Some(by) = self.calls.get(&call).and_then(|asked| asked.by) {
            self.on_reply(by, call);
        }
    }
}

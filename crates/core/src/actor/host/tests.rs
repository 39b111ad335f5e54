//! Scripts: what happens to a host, and what it does about it.

mod failures;
mod lanes;
mod log;
mod probes;
mod random;
mod rests;
mod streams;

use super::*;
use crate::actor::call::{Call, CallCode, CallId, CallerId, Outcome, Who};
use crate::actor::place::{Checkpoint, EndKind};
use crate::actor::wire::{OnUnknown, Open, ToCaller};
use crate::actor::{ActorSpec, Delivery, OnFull};
use crate::error::{ErrorClass, TaskError};
use crate::graph::Runtime;
use crate::id::SessionId;
use crate::time::Span;
use crate::value::Value;

const ACTOR: ActorId = ActorId(7);

/// A host, and everything around it that keeps still unless it is told otherwise.
struct Rig {
    host: Option<Host>,
    now: Time,
    /// As the driver keeps it.
    records: Vec<Record>,
    kept: (u64, Table),
    /// Records are durable at once.
    durable: bool,
}

fn spec(delivery: Delivery) -> ActorSpec {
    let mut spec = ActorSpec::new("Counter", Runtime::Native, "");
    spec.delivery = delivery;
    spec
}

fn caller(n: u32) -> CallerId {
    CallerId { who: Who::Session(SessionId(n)), life: 1 }
}

fn id(of: u32, seq: u64) -> CallId {
    CallId { caller: caller(of), actor: ACTOR, seq }
}

fn call(method: &str) -> Call {
    Call { method: method.to_owned(), ..Call::default() }
}

fn died(message: &str) -> Box<TaskError> {
    Box::new(TaskError::new(ErrorClass::ProcessDied, "PROCESS_DIED", message))
}

fn value(text: &str) -> RunEnd {
    RunEnd::Value(Box::new(Value::text(text)))
}

fn config(incarnation: u32, spec: ActorSpec, restored: Option<Restored>) -> Config {
    let incarnation = Incarnation(incarnation);
    Config { actor: ACTOR, incarnation, spec: Arc::new(spec), worker: WorkerId(1), restored }
}

impl Rig {
    /// A host that is alive, with so many callers, each on the line of its number.
    fn new(spec: ActorSpec, callers: u32) -> Self {
        let host = Some(Host::new(Time(0), config(1, spec, None)));
        let mut rig = Self {
            host,
            now: Time(0),
            records: Vec::new(),
            kept: Default::default(),
            durable: true,
        };
        rig.on(Event::Alive { checkpoints: true });
        for n in 1..=callers {
            rig.open(u64::from(n), n, 0);
        }
        rig
    }

    fn at_most_once(callers: u32) -> Self {
        Self::new(spec(Delivery::AtMostOnce), callers)
    }

    fn effectively_once(callers: u32) -> Self {
        Self::new(spec(Delivery::EffectivelyOnce), callers)
    }

    fn host(&mut self) -> &mut Host {
        self.host.as_mut().unwrap()
    }

    /// Something happens; what the host does, in short.
    fn on(&mut self, event: Event) -> Vec<String> {
        let mut effects = Vec::new();
        let now = self.now;
        self.host().handle(now, event, &mut effects);
        self.carry_out(effects)
    }

    fn carry_out(&mut self, effects: Vec<Effect>) -> Vec<String> {
        let mut told: Vec<String> = effects.iter().map(brief).collect();
        let appended = self.records.len();
        for effect in effects {
            match effect {
                Effect::Append { lsn, record } => {
                    self.records.push(record);
                    assert_eq!(lsn, self.kept.0 + self.records.len() as u64);
                }
                Effect::Checkpoint { lsn, table } => {
                    self.records.clear();
                    self.kept = (lsn, *table);
                }
                _ => {}
            }
        }
        if self.durable && self.records.len() > appended {
            let lsn = self.kept.0 + self.records.len() as u64;
            told.extend(self.on(Event::Durable { lsn }));
        }
        told
    }

    fn open(&mut self, line: u64, of: u32, processed_up_to: u64) -> Vec<String> {
        let on_unknown = OnUnknown::Continue;
        self.open_as(line, of, processed_up_to, on_unknown)
    }

    fn open_as(&mut self, line: u64, of: u32, up_to: u64, on_unknown: OnUnknown) -> Vec<String> {
        let (caller, incarnation) = (caller(of), self.host().incarnation);
        let open = Open {
            caller,
            actor: ACTOR,
            incarnation,
            processed_up_to: up_to,
            on_unknown,
            credit: 2,
        };
        self.say(line, ToHost::Open(open))
    }

    fn say(&mut self, line: u64, word: ToHost) -> Vec<String> {
        self.on(Event::Said { line: Line(line), word })
    }

    fn call(&mut self, line: u64, seq: u64, method: &str) -> Vec<String> {
        self.send(line, seq, call(method))
    }

    fn send(&mut self, line: u64, seq: u64, call: Call) -> Vec<String> {
        let incarnation = self.host().incarnation;
        self.say(line, ToHost::Call { seq, call: Arc::new(call), incarnation })
    }

    fn ends(&mut self, run: u64, end: RunEnd) -> Vec<String> {
        self.on(Event::Ended { run: RunNo(run), end, took: Span(5) })
    }

    /// A call returns a text.
    fn returns(&mut self, run: u64, text: &str) -> Vec<String> {
        self.ends(run, value(text))
    }

    fn dies(&mut self, reached: Option<(u64, bool)>) -> Vec<String> {
        let reached = reached.map(|(run, runs)| Reached { started: RunNo(run), runs });
        self.on(Event::ProcessLost { reached, error: died("killed by signal 9") })
    }

    fn found(&self) -> Restored {
        let (lsn, table) = self.kept.clone();
        Restored { lsn, table, records: self.records.clone(), rested: false }
    }

    /// The next incarnation begins in the same daemon.
    fn succeeds(&mut self) -> Vec<String> {
        let (host, found) = (self.host.take().unwrap(), self.found());
        let next = Incarnation(host.incarnation.0 + 1);
        let mut effects = Vec::new();
        self.host = Some(host.succeed(self.now, next, Some(found), &mut effects));
        let mut told = self.carry_out(effects);
        told.extend(self.on(Event::Alive { checkpoints: true }));
        told
    }

    /// The daemon dies, and the next incarnation begins with what was found.
    fn restarts(&mut self, rested: bool) -> Vec<String> {
        let (host, found) = (self.host.take().unwrap(), self.found());
        let next = host.incarnation.0 + 1;
        let spec = (*host.spec).clone();
        let found = Restored { rested, ..found };
        self.host = Some(Host::new(self.now, config(next, spec, Some(found))));
        self.on(Event::Alive { checkpoints: true })
    }

    fn wait(&mut self, span: Span) -> Vec<String> {
        let until = self.now + span;
        let mut told = Vec::new();
        while let Some(at) = self.host().next_timer().filter(|at| *at <= until) {
            assert!(at >= self.now, "a timer in the past");
            self.now = at;
            told.extend(self.on(Event::TimerDue));
        }
        self.now = until;
        told
    }

    fn kept(&mut self) -> Vec<String> {
        let (lsn, _) = self.kept;
        self.on(Event::StateKept(Ok(Checkpoint { lsn, bytes: 10, took: Span(3) })))
    }
}

/// An effect in a few words.
fn brief(effect: &Effect) -> String {
    match effect {
        Effect::Append { lsn, record } => format!("log {lsn} {}", brief_record(record)),
        Effect::Checkpoint { lsn, .. } => format!("checkpoint {lsn}"),
        Effect::Checkpointed { request, made: Ok(made) } => {
            format!("made {request} at {}", made.lsn)
        }
        Effect::Checkpointed { request, made: Err(error) } => {
            format!("not made {request}: {}", error.message)
        }
        Effect::Credit { run, n } => format!("credit {} {n}", run.0),
        Effect::Gather { ticket, .. } => format!("gather {ticket}"),
        Effect::Ungather { ticket } => format!("ungather {ticket}"),
        Effect::Over { end, forget, .. } => {
            format!("over {end:?}{}", if *forget { " for good" } else { "" })
        }
        Effect::Probe { run, probe } => format!("probe {} as {}", run.0, probe.number),
        Effect::Run(run) => {
            let how = if run.replay {
                " again"
            } else if run.beside {
                " beside"
            } else {
                ""
            };
            let behind = match run.left_out {
                0 => String::new(),
                left_out => format!(" behind {left_out}"),
            };
            format!("run {} {}{how}{behind}", run.run.0, brief_id(run.id))
        }
        Effect::Say { line, word } => format!("{}: {}", line.0, brief_word(word)),
        Effect::Stop { run, .. } => format!("stop {}", run.0),
        Effect::TakeBack { run } => format!("take back {}", run.0),
    }
}

fn brief_id(id: CallId) -> String {
    let Who::Session(session) = id.caller.who else { return format!("{id:?}") };
    format!("{session}#{}", id.seq)
}

fn brief_record(record: &Record) -> String {
    match record {
        Record::Call { id, .. } => brief_id(*id),
        Record::Crash { running } => format!("crash {running:?}"),
        Record::Ended { lsn, .. } => format!("end of {lsn}"),
        Record::Life { incarnation } => format!("life {}", incarnation.0),
        Record::Poisoned { lsn } => format!("poison {lsn}"),
        Record::Unrun { lsn } => format!("not {lsn}"),
    }
}

fn brief_word(word: &ToCaller) -> String {
    match word {
        ToCaller::Accepted { seq, position } => format!("accepted {seq} at {position}"),
        ToCaller::Item { seq, n, .. } => format!("item {seq}.{n}"),
        ToCaller::Opened(opened) => {
            let (of, next) = (opened.incarnation.0, opened.next_seq);
            let forgotten = if opened.forgotten { " forgotten" } else { "" };
            format!("opened {of} next {next} since {}{forgotten}", opened.remembers_from.0)
        }
        ToCaller::OpenRefused(failure) => format!("refused {}", failure.code.name()),
        ToCaller::Redirect { incarnation, .. } => format!("redirect {}", incarnation.0),
        ToCaller::Reply { seq, ending } => format!("{seq} = {}", brief_outcome(&ending.outcome)),
        ToCaller::Window(window) => format!("window {window}"),
    }
}

fn brief_outcome(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Done { items } => format!("done {items}"),
        Outcome::Failure(failure) => failure.code.name().to_owned(),
        Outcome::Stored { size, .. } => format!("stored {size}"),
        Outcome::UserError(error) => error.message.clone(),
        Outcome::Value(value) => String::from_utf8_lossy(&value.bytes().unwrap()).into_owned(),
    }
}

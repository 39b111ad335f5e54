//! Does what hosts ask for.

use bireme_core::actor::call::{Call, CallCode, CallFailure};
use bireme_core::actor::host::{Effect, Event, Record, Run, RunNo};
use bireme_core::actor::place::{ActorReport, Checkpoint, EndKind};
use bireme_core::id::ActorId;
use bireme_core::{ErrorClass, ObjectId, Reason, Span, TaskError, Value, limits};
use bireme_proto::pb;
use bireme_proto::pb::executor_order::{self as wire, Order};
use smallvec::SmallVec;

use super::Turn;
use super::entry::{Ended, Keeping, Running};
use super::keep::OWN_WISH;
use crate::executor::process::lay_out::lay;
use crate::failure::failure;
use crate::machine;
use crate::store::{Draft, Stored};

impl Turn<'_> {
    /// Does what the host of an actor asks for, in order.
    pub(super) fn carry_out(&mut self, actor: ActorId, effects: impl Iterator<Item = Effect>) {
        for effect in effects {
            match effect {
                Effect::Append { lsn, record } => self.append(actor, lsn, &record),
                Effect::Checkpoint { lsn, table } => {
                    let keeping = Keeping { lsn, table: *table, since: self.now };
                    self.begin_checkpoint(actor, keeping);
                }
                Effect::Checkpointed { request, made } => self.checkpointed(actor, request, made),
                Effect::Credit { run, n } => {
                    let order = wire::ActorCredit { actor: Some(actor.into()), call: run.0, n };
                    self.say_to_process(actor, Order::ActorCredit(order));
                }
                Effect::Gather { ticket, inputs } => self.gather(actor, ticket, inputs),
                Effect::Ungather { ticket } => self.ungather(actor, ticket),
                Effect::Probe { run, probe } => self.probe(actor, run, *probe),
                Effect::Over { end, cause, forget } => self.over(actor, end, cause, forget),
                Effect::Run(run) => self.run(actor, *run),
                Effect::Say { line, word } => self.say(line, word),
                Effect::Stop { run, grace } => self.stop(actor, run, grace),
                Effect::TakeBack { run } => self.take_back(actor, run),
            }
        }
    }

    /// Appends a record to an actor's log, which is written when this turn ends.
    fn append(&mut self, actor: ActorId, lsn: u64, record: &Record) {
        let Some(entry) = self.table.entries.get_mut(&actor) else { return };
        let ticket = if let Record::Call { ticket, .. } = record { *ticket } else { 0 };
        let inputs = entry.tickets.get(&ticket).map_or(&[][..], Vec::as_slice);
        let inputs = inputs.iter().map(|input| {
            // One that cannot be read is found out when the call runs, which fails it.
            let value = input.load().map(|value| (*value).clone()).unwrap_or_default();
            pb::Value::from(value)
        });
        let inputs = inputs.collect();
        if let Some(log) = &mut entry.log {
            log.append(lsn, record, inputs);
            self.table.unwritten.insert(actor);
        }
    }

    /// Has the values of a call's arguments fetched, if they are not here.
    fn gather(&mut self, actor: ActorId, ticket: u64, inputs: SmallVec<[ObjectId; 1]>) {
        let store = &self.shared.setup.store;
        let found: Option<Vec<Stored>> = inputs.iter().map(|input| store.get(*input)).collect();
        if let Some(found) = found {
            if let Some(entry) = self.table.entries.get_mut(&actor) {
                entry.tickets.insert(ticket, found);
            }
            return self.feed_later(actor, Event::Gathered { ticket, inputs: Ok(()) });
        }
        self.table.ticket += 1;
        let asked = self.table.ticket;
        self.table.gathering.insert(asked, (actor, ticket));
        let event = machine::Event::Gather { ticket: asked, objects: inputs };
        self.shared.setup.inbox.tell(event);
    }

    /// The driver has found the values of a call's arguments, or not.
    pub(crate) fn gathered(
        &mut self,
        asked: u64,
        missing: Option<(ObjectId, Option<Box<TaskError>>)>,
        values: Vec<Stored>,
    ) {
        let Some((actor, ticket)) = self.table.gathering.remove(&asked) else { return };
        let Some(entry) = self.table.entries.get_mut(&actor) else { return };
        let inputs = match missing {
            None => {
                entry.tickets.insert(ticket, values);
                Ok(())
            }
            Some((object, cause)) => {
                let message = match &cause {
                    Some(error) => format!("argument {object} is not to be had: {}", error.message),
                    None => format!("argument {object} is nowhere to be had"),
                };
                let failure = CallFailure::new(CallCode::ArgumentFailed, message);
                Err(Box::new(failure.caused_by(cause)))
            }
        };
        self.feed_later(actor, Event::Gathered { ticket, inputs });
    }

    fn ungather(&mut self, actor: ActorId, ticket: u64) {
        if let Some(entry) = self.table.entries.get_mut(&actor) {
            entry.tickets.remove(&ticket);
        }
        let mut gathering = self.table.gathering.iter();
        let asked = gathering.find(|(_, wanted)| **wanted == (actor, ticket));
        if let Some(asked) = asked.map(|(asked, _)| *asked) {
            self.table.gathering.remove(&asked);
            self.shared.setup.inbox.tell(machine::Event::Ungather(asked));
        }
    }

    /// Gives a call to the process.
    fn run(&mut self, actor: ActorId, run: Run) {
        let store = &self.shared.setup.store;
        let Some(entry) = self.table.entries.get_mut(&actor) else { return };
        let mut room = limits::BATCH_BYTES as u64;
        let mut drafts = Vec::new();
        let stored = if run.replay && entry.logged.contains_key(&run.lsn) {
            entry.logged.get(&run.lsn)
        } else {
            entry.tickets.get(&run.ticket)
        };
        let stored = stored.map_or(&[][..], Vec::as_slice);
        let inputs = stored.iter().map(|input| lay(store, input, &mut room, &mut drafts));
        let inputs: Result<Vec<Value>, _> = inputs.collect();
        let inputs = match inputs {
            Ok(inputs) => inputs,
            Err(error) => {
                let end = bireme_core::actor::host::RunEnd::UnserializableArgs(error);
                let ended = Event::Ended { run: run.run, end, took: Span::ZERO };
                return self.feed_later(actor, ended);
            }
        };
        let running = Running {
            reply: run.call.reply,
            result: run.call.result,
            ticket: run.ticket,
            items: 0,
            _drafts: drafts,
        };
        entry.runs.insert(run.run.0, running);
        let named = entry.named.clone();
        self.say_when_durable(actor, run.lsn, Order::ActorCall(call(named, run, inputs)));
    }

    fn checkpointed(
        &mut self,
        actor: ActorId,
        request: u64,
        made: Result<Checkpoint, Box<TaskError>>,
    ) {
        let Some(entry) = self.table.entries.get_mut(&actor) else { return };
        if request == OWN_WISH {
            entry.wishes = false;
            return;
        }
        let incarnation = entry.hosting.incarnation;
        if made.is_err() && entry.moves == Some(request) {
            entry.moves = None;
            self.give_checkpoint(actor, EndKind::Killed);
        }
        self.tell(ActorReport::Checkpointed { actor, incarnation, request, made });
    }

    /// An incarnation is over: ends its process. Its end is told when that is gone, and nothing of it holds anything.
    fn over(&mut self, actor: ActorId, end: EndKind, cause: Option<Box<TaskError>>, forget: bool) {
        let Some(entry) = self.table.entries.get_mut(&actor) else { return };
        let incarnation = entry.hosting.incarnation;
        let checkpoint = if end == EndKind::Moved { entry.moved } else { None };
        let report = ActorReport::Ended { actor, incarnation, end, cause, checkpoint };
        let expires = self.now + entry.spec.ttl;
        entry.over = Some(Ended { report: Some(report), forget, expires });
        (entry.alive, entry.keeping) = (false, None);
        let process = entry.process;
        // What still runs was given its time.
        let by_force = match end {
            EndKind::Crashed | EndKind::Diverged => true,
            EndKind::Killed => !entry.runs.is_empty(),
            EndKind::Exited | EndKind::Failed | EndKind::Moved => false,
        };
        self.end_copies(actor, incarnation);
        match process {
            Some(number) => self.leave_process(actor, number, by_force),
            None => self.buried(actor),
        }
    }

    /// No process has an incarnation that is over: its end is told, as soon as nothing is being written for it either. Arguments
    /// of calls that wait stay, for the next one.
    pub(super) fn buried(&mut self, actor: ActorId) {
        let Some(entry) = self.table.entries.get_mut(&actor) else { return };
        let Some(over) = &mut entry.over else { return };
        entry.process = None;
        if entry.writing {
            return;
        }
        let report = over.report.take();
        let (forget, incarnation) = (over.forget && entry.keeps_log(), entry.hosting.incarnation);
        entry.clear_means();
        // Written whole, and unlocked, before the next incarnation is thought of.
        if let Some(mut log) = entry.log.take()
            && let Err(error) = log.write()
        {
            tracing::warn!(?actor, %error, "the last records of a call log are lost");
        }
        if forget {
            self.remove_directory(actor, incarnation);
        }
        if let Some(report) = report {
            let end =
                if let ActorReport::Ended { end, .. } = report { end } else { EndKind::Killed };
            self.tell(report);
            self.give_checkpoint(actor, end);
        }
        let error = failure(ErrorClass::ProcessDied, Reason::ProcessDied, "the actor was ended");
        self.feed_later(actor, Event::ProcessLost { reached: None, error });
        self.set_timer(actor);
    }

    /// Has the scheduler told something of an actor.
    pub(super) fn tell(&self, report: ActorReport) {
        self.shared.setup.inbox.tell(machine::Event::ActorTold(report));
    }
}

/// The process is to run a call.
fn call(actor: pb::ActorId, run: Run, inputs: Vec<Value>) -> wire::ActorCall {
    let Run { run: RunNo(number), id, call, lane, credit, replay, lsn, deadline, left_out, .. } =
        run;
    let Call { method, arguments, traceparent, chain, .. } = &*call;
    wire::ActorCall {
        actor: Some(actor.clone()),
        call: number,
        method: method.clone(),
        arguments: arguments.clone(),
        inputs: inputs.into_iter().map(Into::into).collect(),
        lane,
        deadline_us: deadline.map_or(0, |deadline| deadline.0.max(1)),
        reply: pb::ReplyKind::from(call.reply).into(),
        replay,
        lsn,
        traceparent: traceparent.clone(),
        id: Some(pb::CallId { caller: Some(id.caller.into()), actor: Some(actor), seq: id.seq }),
        chain: chain.iter().copied().map(Into::into).collect(),
        credit,
        left_out,
    }
}

/// What is kept of drafts of which a value has been made.
pub(super) fn give_up(drafts: &mut Vec<Draft>, value: &Value) {
    let runs = value.buffers.iter().filter_map(|buffer| match buffer {
        bireme_core::value::Buffer::PoolFile(run) => Some(run.clone()),
        _ => None,
    });
    let runs: Vec<_> = runs.collect();
    if !runs.is_empty() {
        drafts.retain_mut(|draft| draft.give_up(&runs));
    }
}

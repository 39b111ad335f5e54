//! Events, effects and messages in a few words each, for the trace.

use bireme_core::protocol::{Announce, Input, Order, Report};
use bireme_core::session::{Command, Notice};
use bireme_scheduler::machine::{Effect as SchedulerEffect, Event as SchedulerEvent};
use bireme_worker::machine::{Effect as WorkerEffect, Event as WorkerEvent};

use crate::coverage::Coverage;

/// Notes the kinds of what an event carries.
pub(crate) fn parts(coverage: &mut Coverage, event: &SchedulerEvent) {
    // Commands are noted where they are made, reports where they are taken.
    if let SchedulerEvent::WorkerAnnounced { announce, .. } = event {
        announce.ended.iter().for_each(|report| coverage.saw(report));
    }
}

pub(crate) fn scheduler_event(event: &SchedulerEvent) -> String {
    match event {
        SchedulerEvent::ActorAsked { request, .. } => format!("asked {request:?}"),
        SchedulerEvent::ChunkUnreadable { session, graph, refusal } => {
            format!("session {}: unreadable chunk of {graph}: {refusal}", session.0)
        }
        SchedulerEvent::Commanded { session, command } => {
            format!("session {}: {}", session.0, self::command(command))
        }
        SchedulerEvent::WorkerAnnounced { worker, announce } => {
            format!("{worker} announce {}", self::announce(announce))
        }
        SchedulerEvent::WorkerBeat { worker, .. } => format!("{worker} beat"),
        SchedulerEvent::WorkerJoined { conn, join } => {
            format!("{} joins over {}", join.name, conn.0)
        }
        SchedulerEvent::WorkerReported { worker, report } => {
            format!("{worker}: {}", self::report(report))
        }
        SchedulerEvent::Disconnected { .. }
        | SchedulerEvent::SessionOpened { .. }
        | SchedulerEvent::TimerDue
        | SchedulerEvent::WorkerDrainAsked { .. }
        | SchedulerEvent::WorkerStopAsked { .. } => {
            format!("{event:?}")
        }
    }
}

pub(crate) fn scheduler_effect(effect: &SchedulerEffect) -> String {
    match effect {
        SchedulerEffect::Answered { outcome: Ok(_), .. } => "Answered".to_owned(),
        other => format!("{other:?}"),
    }
}

pub(crate) fn command(command: &Command) -> String {
    match command {
        Command::Chunk(chunk) => {
            let (count, externals) = (chunk.tasks.len(), &chunk.externals);
            let last = if chunk.last { ", last" } else { "" };
            let graph = chunk.graph.map_or("new".to_owned(), |graph| graph.to_string());
            let tasks = (chunk.first_index..).zip(&chunk.tasks).map(|(index, task)| {
                let deps = task.deps.iter().map(|dep| format!("{}:{}", dep.task, dep.output));
                let others = task.externals.iter().map(|place| format!("x{place}"));
                format!("{index}({})", deps.chain(others).collect::<Vec<_>>().join(" "))
            });
            let tasks = tasks.collect::<Vec<_>>().join(" ");
            format!("chunk of {graph} with {count} tasks{last}: {tasks} {externals:?}")
        }
        other => format!("{other:?}"),
    }
}

pub(crate) fn notice(notice: &Notice) -> String {
    match notice {
        Notice::Graph { graph, counts, done, error } => {
            format!("graph {graph} {counts:?} done={done} {error:?}")
        }
        Notice::Task { graph, update } => {
            let holders: Vec<_> = update
                .outputs
                .iter()
                .map(|(output, holders)| (output.size, output.value.is_some(), holders))
                .collect();
            format!("task {graph}/{} {:?} {holders:?}", update.index, update.state)
        }
        other => format!("{other:?}"),
    }
}

pub(crate) fn announce(announce: &Announce) -> String {
    let objects: Vec<_> = announce.objects.iter().map(|held| held.object.to_string()).collect();
    let attempts: Vec<_> = announce
        .attempts
        .iter()
        .map(|(attempt, started)| format!("{attempt}{}", if *started { "*" } else { "" }))
        .collect();
    let ended: Vec<_> = announce.ended.iter().map(report).collect();
    format!(
        "objects [{}] attempts [{}] ended [{}]",
        objects.join(" "),
        attempts.join(" "),
        ended.join(", ")
    )
}

pub(crate) fn order(order: &Order) -> String {
    match order {
        Order::Cancel { attempt, grace } => format!("cancel {attempt} within {grace}"),
        Order::Gone { object, .. } => format!("gone {object}"),
        Order::Peers(peers) => {
            format!("peers {:?}", peers.iter().map(|peer| peer.worker.0).collect::<Vec<_>>())
        }
        Order::Places(inputs) => {
            format!("places [{}]", inputs.iter().map(input).collect::<Vec<_>>().join(" "))
        }
        Order::Release(object) => format!("release {object}"),
        Order::Retract(attempt) => format!("retract {attempt}"),
        Order::Settle(attempt) => format!("settle {attempt}"),
        Order::Start(start) => {
            let inputs: Vec<_> = start.inputs.iter().map(input).collect();
            let ahead = if start.ahead { " ahead" } else { "" };
            format!(
                "start {}{ahead} [{}] {} rank {:x}",
                start.attempt,
                inputs.join(" "),
                start.resources,
                start.rank
            )
        }
        Order::Actor(_) | Order::Drain { .. } | Order::Replicate(_) | Order::Stop => {
            format!("{order:?}")
        }
    }
}

fn input(input: &Input) -> String {
    let holders: Vec<_> = input.holders.iter().map(ToString::to_string).collect();
    let value = if input.value.is_some() { "!" } else { "" };
    format!("{}@{}{value}", input.object, holders.join("@"))
}

pub(crate) fn report(report: &Report) -> String {
    match report {
        Report::Actor(report) => format!("{report:?}"),
        Report::Failed { attempt, error, .. } => format!("failed {attempt} {}", error.reason),
        Report::Finished { attempt, .. } => format!("finished {attempt}"),
        Report::InputMissing { object, asked, .. } => format!("missing {object}, asked {asked:?}"),
        Report::ReplicaAdded { object, .. } => format!("replica {object}"),
        Report::ReplicaLost(object) => format!("lost {object}"),
        Report::Rejoined(attempt) => format!("rejoined {attempt}"),
        Report::Seceded(attempt) => format!("seceded {attempt}"),
        Report::Retracted(attempt) => format!("retracted {attempt}"),
        Report::Started(attempt) => format!("started {attempt}"),
        Report::Draining { waits: false } => "draining".to_owned(),
        Report::Draining { waits: true } => "wants to leave".to_owned(),
    }
}

pub(crate) fn worker_event(event: &WorkerEvent) -> String {
    match event {
        WorkerEvent::Ordered(order) => self::order(order),
        WorkerEvent::Ended { attempt, outcome, next, .. } => {
            let how = if outcome.is_ok() { "ok" } else { "failed" };
            let next = next.map(|next| format!(", next {next}")).unwrap_or_default();
            format!("end of {attempt} {how}{next}")
        }
        other => format!("{other:?}"),
    }
}

pub(crate) fn worker_effect(effect: &WorkerEffect) -> String {
    match effect {
        WorkerEffect::Execute { execution, follow } => {
            format!("execute {}{}", execution.attempt, if *follow { " following" } else { "" })
        }
        WorkerEffect::Keep(object, _) => format!("keep {object}"),
        WorkerEffect::Peers(peers) => {
            format!("peers {:?}", peers.iter().map(|peer| peer.worker.0).collect::<Vec<_>>())
        }
        other => format!("{other:?}"),
    }
}

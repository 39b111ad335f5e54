//! What the scheduler and a worker may say to each other of actors: one of each kind, with every field set.

use std::iter::successors;

use bireme_core::Span;
use bireme_core::actor::ActorSpec;
use bireme_core::actor::copies::{CopiesTold, CopyPlace, CopyPlaces};
use bireme_core::actor::place::{
    ActorOrder, ActorReport, Beat, Checkpoint, EndKind, HostOrder, Hosted,
};
use bireme_core::actor::statistics::{ActorStatistics, MethodStatistics};
use bireme_core::graph::Runtime;
use bireme_core::id::{ActorId, Incarnation, WorkerUid};
use smallvec::smallvec;

use super::samples;

const ACTOR: ActorId = ActorId(0xac7);
const INCARNATION: Incarnation = Incarnation(3);

pub(super) fn hosted() -> Hosted {
    Hosted { actor: ACTOR, incarnation: INCARNATION, alive: true, checkpoints: true }
}

fn copies() -> CopyPlaces {
    let place = CopyPlace { worker: WorkerUid(9), addresses: vec![samples::address()] };
    CopyPlaces { version: 3, members: vec![place], unheard: true }
}

fn host() -> HostOrder {
    HostOrder {
        actor: ACTOR,
        incarnation: INCARNATION,
        spec: ActorSpec {
            inputs: vec![samples::output()],
            lease: Span::secs(9),
            ..ActorSpec::new("Counter", Runtime::Native, "payload")
        },
        inputs: smallvec![samples::input()],
        checkpoint: Some(samples::input()),
        restores: true,
        copies: copies(),
    }
}

pub(super) fn orders() -> Vec<ActorOrder> {
    fn next(order: Option<&ActorOrder>) -> Option<ActorOrder> {
        let (actor, incarnation) = (ACTOR, INCARNATION);
        Some(match order {
            None => ActorOrder::Checkpoint { actor, incarnation, request: 7 },
            Some(ActorOrder::Checkpoint { .. }) => ActorOrder::End {
                actor,
                incarnation,
                grace: Span::secs(1),
                forget: true,
                reason: "killed".into(),
            },
            Some(ActorOrder::End { .. }) => ActorOrder::Host(Box::new(host())),
            Some(ActorOrder::Host(_)) => ActorOrder::Move {
                actor,
                incarnation,
                request: 8,
                quiesce: Some(Span::secs(2)),
                lose_state: true,
            },
            Some(ActorOrder::Move { .. }) => ActorOrder::Settle { actor, incarnation },
            Some(ActorOrder::Settle { .. }) => {
                ActorOrder::Copy { actor, incarnation, copies: copies() }
            }
            Some(ActorOrder::Copy { .. }) => return None,
        })
    }
    let anew = HostOrder {
        inputs: smallvec![],
        checkpoint: None,
        restores: false,
        copies: CopyPlaces::default(),
        ..host()
    };
    let for_ever = ActorOrder::Move {
        actor: ACTOR,
        incarnation: INCARNATION,
        request: 9,
        quiesce: None,
        lose_state: false,
    };
    successors(next(None), |order| next(Some(order)))
        .chain([ActorOrder::Host(Box::new(anew)), for_ever])
        .collect()
}

pub(super) fn reports() -> Vec<ActorReport> {
    fn next(report: Option<&ActorReport>) -> Option<ActorReport> {
        let (actor, incarnation) = (ACTOR, INCARNATION);
        let made = Checkpoint { lsn: 4, bytes: 5, took: Span(6) };
        Some(match report {
            None => ActorReport::Alive(hosted()),
            Some(ActorReport::Alive(_)) => {
                ActorReport::Checkpointed { actor, incarnation, request: 7, made: Ok(made) }
            }
            Some(ActorReport::Checkpointed { .. }) => ActorReport::Ended {
                actor,
                incarnation,
                end: EndKind::Moved,
                cause: Some(Box::new(samples::error())),
                checkpoint: Some((samples::held(), 77)),
            },
            Some(ActorReport::Ended { .. }) => ActorReport::Copied {
                actor,
                incarnation,
                told: CopiesTold {
                    version: 4,
                    in_sync: vec![WorkerUid(5)],
                    failed: vec![WorkerUid(6), WorkerUid(7)],
                },
            },
            Some(ActorReport::Copied { .. }) => return None,
        })
    }
    let failed = ActorReport::Checkpointed {
        actor: ACTOR,
        incarnation: INCARNATION,
        request: 8,
        made: Err(Box::new(samples::error())),
    };
    let ends = [
        EndKind::Crashed,
        EndKind::Diverged,
        EndKind::Exited,
        EndKind::Failed,
        EndKind::Killed,
        EndKind::Moved,
    ];
    let (actor, incarnation) = (ACTOR, INCARNATION);
    let ended = |end| ActorReport::Ended { actor, incarnation, end, cause: None, checkpoint: None };
    successors(next(None), |report| next(Some(report)))
        .chain([failed])
        .chain(ends.map(ended))
        .collect()
}

pub(super) fn beat() -> Beat {
    let mut increment = MethodStatistics {
        calls: 3,
        user_errors: 1,
        failures: 1,
        running: 1,
        ..MethodStatistics::default()
    };
    increment.queue_us.add(5);
    increment.run_us.add(70);
    increment.reply_bytes.add(8);
    let statistics = ActorStatistics {
        methods: [("increment".to_owned(), increment)].into(),
        mailbox: 2,
        oldest: Span(3),
        state_bytes: 4,
        checkpoints: 5,
        checkpoint_age: Span(6),
        checkpoint_took: Span(7),
        log_bytes: 8,
    };
    (ACTOR, INCARNATION, statistics)
}

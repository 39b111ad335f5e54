//! Actors, calls and ends that are not the default, at least one of each variant.

use std::iter::successors;
use std::sync::Arc;

use bireme_core::Span;
use bireme_core::actor::call::{
    Call, CallCode, CallFailure, CallId, CallerId, Ending, Outcome, ReplyKind, Who,
};
use bireme_core::actor::place::{ActorPlace, ActorState};
use bireme_core::actor::probe::{Probe, Step};
use bireme_core::actor::statistics::{ActorStatistics, Histogram, MethodStatistics};
use bireme_core::actor::wire::{OnUnknown, Open, Opened, ToCaller, ToHost};
use bireme_core::actor::{
    ActorName, ActorSpec, CheckpointPolicy, Delivery, Durability, Isolation, Journal, LaneSpec,
    MailboxSpec, MethodSpec, OnFull, OnSchedulerLoss, RestartPolicy,
};
use bireme_core::graph::Runtime;
use bireme_core::id::{ActorId, Incarnation, SessionId};
use bireme_core::protocol::Address;
use bireme_core::{Resources, Value};
use smallvec::smallvec;

use crate::convert::tests::samples::{attempt, error, held, worker};

pub(super) fn actor() -> ActorId {
    ActorId(0xac70)
}

pub(super) fn name() -> ActorName {
    ActorName { namespace: "lab".into(), name: "counter".into() }
}

pub(super) fn callers() -> Vec<CallerId> {
    let who = [Who::Actor(actor()), Who::Attempt(attempt(3)), Who::Session(SessionId(9))];
    who.into_iter().zip(4..).map(|(who, life)| CallerId { who, life }).collect()
}

pub(super) fn call_id() -> CallId {
    CallId { caller: callers()[0], actor: actor(), seq: 12 }
}

fn methods() -> Vec<MethodSpec> {
    let at_least_once = MethodSpec {
        method: "add".into(),
        lane: 1,
        delivery: Some(Delivery::AtLeastOnce),
        journal: Journal::Result,
    };
    let as_its_actor =
        MethodSpec { method: "get".into(), lane: 0, delivery: None, journal: Journal::Call };
    vec![at_least_once, as_its_actor]
}

pub(super) fn spec() -> ActorSpec {
    ActorSpec {
        name: Some(name()),
        payload: "payload".into(),
        inputs: vec![held()],
        class_name: "Counter".into(),
        runtime: Runtime::external("python"),
        resources: Resources::one_cpu(),
        detached: true,
        delivery: Delivery::EffectivelyOnce,
        durability: Durability::Disk,
        peers: 2,
        checkpoint: CheckpointPolicy { every_calls: 1, every_bytes: 2, every: Span(3) },
        restart: RestartPolicy {
            max_restarts: Some(4),
            backoff: Span(5),
            backoff_max: Span(6),
            poison_after: 7,
        },
        lanes: vec![
            LaneSpec { name: String::new(), concurrency: 1 },
            LaneSpec { name: "fast".into(), concurrency: 8 },
        ],
        mailbox: MailboxSpec { calls: 9, bytes: 10, on_full: OnFull::Refuse },
        methods: methods(),
        isolation: Isolation::Shared,
        reentrant: true,
        on_scheduler_loss: OnSchedulerLoss::Stop,
        lease: Span(11),
        ttl: Span(12),
        workers: vec!["w1".into()],
        allow_other_workers: true,
        labels: vec![("disk".into(), "ssd".into())],
        environment: vec![("LEVEL".into(), "3".into())],
        caller_ttl: Some(Span(13)),
    }
}

pub(super) fn call(seq: u64) -> ToHost {
    let call = Call {
        method: "add".into(),
        arguments: "arguments".into(),
        inputs: smallvec![held()],
        lane: Some(0),
        reply: ReplyKind::Store,
        result: Some(held()),
        deadline: Some(Span(1)),
        delivery: Some(Delivery::AtMostOnce),
        traceparent: "00-1-2-01".into(),
        chain: vec![call_id()],
        receipt: true,
        unordered: true,
    };
    ToHost::Call { seq, call: Arc::new(call), incarnation: Incarnation(2) }
}

fn probe() -> Probe {
    let step = Step {
        waits: Some(call_id()),
        waits_method: "answer".into(),
        runs: call_id(),
        runs_method: "ask".into(),
        class_name: "Counter".into(),
        incarnation: Incarnation(2),
        run: 3,
        wait: 4,
    };
    Probe { number: 5, steps: vec![Step { waits: None, ..step.clone() }, step] }
}

pub(super) fn said() -> Vec<ToHost> {
    fn next(word: Option<&ToHost>) -> Option<ToHost> {
        Some(match word {
            None => ToHost::Ack { processed_up_to: 3 },
            Some(ToHost::Ack { .. }) => ToHost::AckItems { seq: 4, up_to: 5 },
            Some(ToHost::AckItems { .. }) => call(1),
            Some(ToHost::Call { .. }) => ToHost::Cancel { seq: 6, grace: Some(Span(7)) },
            Some(ToHost::Cancel { .. }) => ToHost::Close { forget: true },
            Some(ToHost::Close { .. }) => ToHost::Credit { seq: 8, n: 9 },
            Some(ToHost::Credit { .. }) => ToHost::Open(Open {
                caller: callers()[1],
                actor: actor(),
                incarnation: Incarnation(3),
                processed_up_to: 10,
                on_unknown: OnUnknown::Stop,
                credit: 11,
            }),
            Some(ToHost::Open(_)) => ToHost::Probe { seq: 12, probe: Box::new(probe()) },
            Some(ToHost::Probe { .. }) => return None,
        })
    }
    successors(next(None), |word| next(Some(word))).collect()
}

pub(super) fn ending(outcome: Outcome) -> Ending {
    Ending { outcome, queue: Span(1), run: Span(2), lsn: 3, incarnation: Incarnation(4) }
}

fn outcomes() -> Vec<Outcome> {
    fn next(outcome: Option<&Outcome>) -> Option<Outcome> {
        Some(match outcome {
            None => Outcome::Done { items: 5 },
            Some(Outcome::Done { .. }) => Outcome::Failure(Box::new(CallFailure {
                cause: Some(Box::new(error())),
                cycle: vec![call_id()],
                ..CallFailure::new(CallCode::Deadlock, "waits for itself")
            })),
            Some(Outcome::Failure(_)) => {
                Outcome::Stored { object: held(), size: 6, worker: worker(7) }
            }
            Some(Outcome::Stored { .. }) => Outcome::UserError(Box::new(error())),
            Some(Outcome::UserError(_)) => Outcome::Value(Box::new(Value::text("text"))),
            Some(Outcome::Value(_)) => return None,
        })
    }
    successors(next(None), |outcome| next(Some(outcome))).collect()
}

fn opened() -> Opened {
    Opened {
        incarnation: Incarnation(5),
        next_seq: 6,
        delivery: Delivery::AtLeastOnce,
        methods: methods(),
        lanes: vec![String::new(), "fast".into()],
        window: 7,
        on_full: OnFull::Refuse,
        lease: Some(Span(8)),
        forgotten: true,
        remembers_from: Incarnation(4),
    }
}

pub(super) fn told() -> Vec<ToCaller> {
    fn next(word: Option<&ToCaller>) -> Option<ToCaller> {
        Some(match word {
            None => ToCaller::Accepted { seq: 1, position: 2 },
            Some(ToCaller::Accepted { .. }) => {
                ToCaller::Item { seq: 3, n: 4, value: Box::new(Value::raw("item")) }
            }
            Some(ToCaller::Item { .. }) => ToCaller::Opened(Box::new(opened())),
            Some(ToCaller::Opened(_)) => ToCaller::OpenRefused(Box::new(CallFailure::new(
                CallCode::Fenced,
                "a later incarnation lives",
            ))),
            Some(ToCaller::OpenRefused(_)) => {
                ToCaller::Redirect { incarnation: Incarnation(6), place: Some(Box::new(place())) }
            }
            Some(ToCaller::Redirect { .. }) => ToCaller::Window(9),
            Some(ToCaller::Window(_) | ToCaller::Reply { .. }) => return None,
        })
    }
    let reply = |outcome| ToCaller::Reply { seq: 10, ending: Box::new(ending(outcome)) };
    let others = successors(next(None), |word| next(Some(word)));
    others.chain(outcomes().into_iter().map(reply)).collect()
}

pub(super) fn place() -> ActorPlace {
    let host = Address { scheme: "http".into(), host: "::1".into(), port: 1, network: "ib".into() };
    ActorPlace {
        actor: actor(),
        incarnation: Incarnation(7),
        state: ActorState::Moving,
        worker: Some(worker(3)),
        addresses: vec![host],
        machine: "boot host".into(),
        lease: Span(4),
        cause: Some(Box::new(error())),
    }
}

pub(super) fn statistics() -> ActorStatistics {
    let mut counted = Histogram::default();
    for value in [3, 5, 700] {
        counted.add(value);
    }
    let method = MethodStatistics {
        calls: 1,
        user_errors: 2,
        failures: 3,
        running: 4,
        queue_us: counted.clone(),
        run_us: counted.clone(),
        reply_bytes: counted,
    };
    ActorStatistics {
        methods: [("add".to_owned(), method), ("get".to_owned(), MethodStatistics::default())]
            .into(),
        mailbox: 5,
        oldest: Span(6),
        state_bytes: 7,
        checkpoints: 8,
        checkpoint_age: Span(9),
        checkpoint_took: Span(10),
        log_bytes: 11,
    }
}

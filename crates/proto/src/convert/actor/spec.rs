//! What an actor is, as whoever creates it says.

use bireme_core::actor::{
    ActorSpec, CheckpointPolicy, Delivery, LaneSpec, MailboxSpec, MethodSpec, OnSchedulerLoss,
    RestartPolicy,
};
use bireme_core::reason::Refusal;
use bireme_core::{Resources, Span, limits};
use bytes::Bytes;

use super::enums::weaker;
use crate::convert::enums::{commanded, number};
use crate::convert::field::{
    Within as _, at_most, list, malformed, name, names, not_yet, optional, sent, span, us,
};
use crate::convert::graph::{runtime, runtime_sent};
use crate::pb;

impl TryFrom<pb::ActorSpec> for ActorSpec {
    type Error = Refusal;

    fn try_from(message: pb::ActorSpec) -> Result<Self, Refusal> {
        let pb::ActorSpec {
            name: called,
            payload: class,
            inputs,
            class_name,
            runtime: kind,
            resources,
            detached,
            delivery,
            durability,
            checkpoint,
            restart,
            lanes: own_lanes,
            mailbox,
            methods,
            isolation,
            reentrant,
            on_scheduler_loss,
            lease_us,
            ttl_us,
            workers,
            allow_other_workers,
            labels: wanted,
            environment,
            caller_ttl_us,
            peers,
            durable_uri,
            alternatives,
            gang,
            memory_estimate_bytes,
            annotations,
        } = message;
        not_yet(!durable_uri.is_empty(), "durable_uri")?;
        not_yet(!alternatives.is_empty(), "alternatives")?;
        not_yet(!gang.is_empty(), "gang")?;
        not_yet(memory_estimate_bytes > 0, "memory_estimate_bytes")?;
        not_yet(!annotations.is_empty(), "annotations")?;
        let delivery = commanded(delivery, "delivery")?;
        let spec = Self {
            name: optional(called.filter(|called| *called != pb::ActorName::default()), "name")?,
            payload: payload(class)?,
            inputs: list(at_most(inputs, limits::TASK_INPUTS, "inputs")?, "inputs")?,
            class_name: name(class_name, "class_name")?,
            runtime: runtime(kind).within("runtime")?,
            resources: optional(resources, "resources")?.unwrap_or_else(Resources::none),
            detached,
            delivery,
            durability: commanded(durability, "durability")?,
            peers,
            checkpoint: checkpoint.map(Into::into).unwrap_or_default(),
            restart: optional(restart, "restart")?.unwrap_or_default(),
            lanes: lanes(own_lanes)?,
            mailbox: optional(mailbox, "mailbox")?.unwrap_or_default(),
            methods: list(at_most(methods, limits::ACTOR_METHODS, "methods")?, "methods")?,
            isolation: commanded(isolation, "isolation")?,
            reentrant,
            on_scheduler_loss: scheduler_loss(on_scheduler_loss, delivery)?,
            lease: span(lease_us).unwrap_or(limits::ACTOR_LEASE),
            ttl: span(ttl_us).unwrap_or(limits::ACTOR_TTL),
            workers: names(workers, limits::CLASS_WORKERS, "workers")?,
            allow_other_workers,
            labels: labels(wanted)?,
            environment: variables(environment).within("environment")?,
            caller_ttl: span(caller_ttl_us),
        };
        spec.check()?;
        Ok(spec)
    }
}

impl From<ActorSpec> for pb::ActorSpec {
    fn from(spec: ActorSpec) -> Self {
        let ActorSpec {
            name,
            payload,
            inputs,
            class_name,
            runtime,
            resources,
            detached,
            delivery,
            durability,
            peers,
            checkpoint,
            restart,
            lanes,
            mailbox,
            methods,
            isolation,
            reentrant,
            on_scheduler_loss,
            lease,
            ttl,
            workers,
            allow_other_workers,
            labels,
            environment,
            caller_ttl,
        } = spec;
        let variable = |(name, value)| pb::EnvironmentVariable { name, value };
        Self {
            name: name.map(Into::into),
            payload,
            inputs: sent(inputs),
            class_name,
            runtime: runtime_sent(runtime),
            resources: (resources != Resources::none()).then(|| resources.into()),
            detached,
            delivery: number(delivery),
            durability: number(durability),
            peers,
            checkpoint: (checkpoint != CheckpointPolicy::default()).then(|| checkpoint.into()),
            restart: Some(restart.into()),
            lanes: sent(lanes),
            mailbox: Some(mailbox.into()),
            methods: sent(methods),
            isolation: number(isolation),
            reentrant,
            on_scheduler_loss: number(on_scheduler_loss),
            lease_us: lease.0,
            ttl_us: ttl.0,
            workers,
            allow_other_workers,
            labels: sent(labels),
            environment: environment.into_iter().map(variable).collect(),
            caller_ttl_us: us(caller_ttl),
            ..Self::default()
        }
    }
}

fn payload(payload: Bytes) -> Result<Bytes, Refusal> {
    let (bytes, limit) = (payload.len(), limits::PAYLOAD_BYTES);
    if bytes > limit {
        let message = format!(
            "payload of {bytes} bytes, the limit is {limit}; put large arguments into a store first"
        );
        return Err(malformed("payload", message));
    }
    Ok(payload)
}

/// The lanes; one without a name where none is given.
fn lanes(lanes: Vec<pb::LaneSpec>) -> Result<Vec<LaneSpec>, Refusal> {
    if lanes.is_empty() {
        return Ok(vec![LaneSpec { name: String::new(), concurrency: 1 }]);
    }
    list(at_most(lanes, limits::ACTOR_LANES, "lanes")?, "lanes")
}

fn scheduler_loss(number: i32, delivery: Delivery) -> Result<OnSchedulerLoss, Refusal> {
    match (number, delivery) {
        (0, Delivery::EffectivelyOnce) => Ok(OnSchedulerLoss::Stop),
        (0, Delivery::AtMostOnce | Delivery::AtLeastOnce) => Ok(OnSchedulerLoss::Continue),
        _ => commanded(number, "on_scheduler_loss"),
    }
}

fn labels(labels: Vec<pb::Label>) -> Result<Vec<(String, String)>, Refusal> {
    let mut labels: Vec<(String, String)> =
        list(at_most(labels, limits::LABELS, "labels")?, "labels")?;
    labels.sort_unstable();
    Ok(labels)
}

/// Variables that a process can be given, all of them together at most as long as a payload.
fn variables(variables: Vec<pb::EnvironmentVariable>) -> Result<Vec<(String, String)>, Refusal> {
    if variables.len() > limits::ACTOR_VARIABLES {
        let (given, limit) = (variables.len(), limits::ACTOR_VARIABLES);
        return Err(malformed("", format!("{given} variables, the limit is {limit}")));
    }
    let bytes: usize = variables.iter().map(|one| one.name.len() + one.value.len()).sum();
    if bytes > limits::PAYLOAD_BYTES {
        let limit = limits::PAYLOAD_BYTES;
        return Err(malformed("", format!("{bytes} bytes of variables, the limit is {limit}")));
    }
    for pb::EnvironmentVariable { name, value } in &variables {
        if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
            let message = format!("no process can be given a variable {name:?} with such a value");
            return Err(malformed("", message));
        }
    }
    Ok(variables.into_iter().map(|one| (one.name, one.value)).collect())
}

impl From<pb::CheckpointPolicy> for CheckpointPolicy {
    fn from(message: pb::CheckpointPolicy) -> Self {
        let pb::CheckpointPolicy { every_calls, every_bytes, every_us } = message;
        Self { every_calls, every_bytes, every: Span(every_us) }
    }
}

impl From<CheckpointPolicy> for pb::CheckpointPolicy {
    fn from(CheckpointPolicy { every_calls, every_bytes, every }: CheckpointPolicy) -> Self {
        Self { every_calls, every_bytes, every_us: every.0 }
    }
}

impl TryFrom<pb::RestartPolicy> for RestartPolicy {
    type Error = Refusal;

    fn try_from(message: pb::RestartPolicy) -> Result<Self, Refusal> {
        let pb::RestartPolicy {
            max_restarts,
            unlimited,
            backoff_us,
            backoff_max_us,
            poison_after,
            retry_on,
        } = message;
        not_yet(!retry_on.is_empty(), "retry_on")?;
        let default = Self::default();
        Ok(Self {
            max_restarts: (!unlimited).then_some(max_restarts),
            backoff: Span(backoff_us),
            backoff_max: span(backoff_max_us).unwrap_or(default.backoff_max),
            poison_after: if poison_after == 0 { default.poison_after } else { poison_after },
        })
    }
}

impl From<RestartPolicy> for pb::RestartPolicy {
    fn from(policy: RestartPolicy) -> Self {
        let RestartPolicy { max_restarts, backoff, backoff_max, poison_after } = policy;
        Self {
            max_restarts: max_restarts.unwrap_or_default(),
            unlimited: max_restarts.is_none(),
            backoff_us: backoff.0,
            backoff_max_us: backoff_max.0,
            poison_after,
            retry_on: Vec::new(),
        }
    }
}

impl TryFrom<pb::LaneSpec> for LaneSpec {
    type Error = Refusal;

    fn try_from(pb::LaneSpec { name: text, concurrency }: pb::LaneSpec) -> Result<Self, Refusal> {
        Ok(Self { name: name(text, "name")?, concurrency: concurrency.max(1) })
    }
}

impl From<LaneSpec> for pb::LaneSpec {
    fn from(LaneSpec { name, concurrency }: LaneSpec) -> Self {
        Self { name, concurrency }
    }
}

impl TryFrom<pb::MailboxSpec> for MailboxSpec {
    type Error = Refusal;

    fn try_from(message: pb::MailboxSpec) -> Result<Self, Refusal> {
        let pb::MailboxSpec { calls, bytes, on_full } = message;
        let default = Self::default();
        Ok(Self {
            calls: if calls == 0 { default.calls } else { calls },
            bytes: if bytes == 0 { default.bytes } else { bytes },
            on_full: commanded(on_full, "on_full")?,
        })
    }
}

impl From<MailboxSpec> for pb::MailboxSpec {
    fn from(MailboxSpec { calls, bytes, on_full }: MailboxSpec) -> Self {
        Self { calls, bytes, on_full: number(on_full) }
    }
}

impl TryFrom<pb::MethodSpec> for MethodSpec {
    type Error = Refusal;

    fn try_from(message: pb::MethodSpec) -> Result<Self, Refusal> {
        let pb::MethodSpec { method, lane, delivery, journal } = message;
        Ok(Self {
            method: name(method, "method")?,
            lane,
            delivery: weaker(delivery)?,
            journal: commanded(journal, "journal")?,
        })
    }
}

impl From<MethodSpec> for pb::MethodSpec {
    fn from(MethodSpec { method, lane, delivery, journal }: MethodSpec) -> Self {
        Self { method, lane, delivery: delivery.map_or(0, number), journal: number(journal) }
    }
}

//! What an actor is to be, as Python says it.

use std::collections::BTreeMap;

use bireme_client::{Actor, ActorBuilder, Client};
use bireme_core::actor::wire::OnUnknown;
use bireme_core::actor::{
    ActorName, CheckpointPolicy, Delivery, Durability, Isolation, Journal, LaneSpec, MailboxSpec,
    MethodSpec, OnFull,
};
use bireme_core::id::Digest;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::actors::delivery_of;
use crate::options::{resources, runtime, span};

/// The runtime whose classes a worker's own binary has.
const NATIVE: &str = "native";

/// Words of a dictionary.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
#[expect(clippy::struct_excessive_bools, reason = "words of a dictionary")]
pub(crate) struct Spec {
    class: Class,
    class_name: String,
    name: Option<String>,
    namespace: String,
    detached: bool,
    get_if_exists: bool,
    /// Of restarts: negative is however often.
    max_restarts: Option<i64>,
    delivery: String,
    durability: String,
    peers: u32,
    /// Calls, bytes, seconds.
    checkpoint: (u64, u64, f64),
    lanes: Vec<(String, u32)>,
    /// Method, place of its lane, delivery, whether the log keeps its result.
    methods: Vec<(String, u32, Option<String>, bool)>,
    /// Calls, bytes, whether more are refused.
    mailbox: (Option<u32>, Option<u64>, bool),
    cpus: f64,
    memory: u64,
    resources: BTreeMap<String, f64>,
    isolation: String,
    workers: Vec<String>,
    allow_other_workers: bool,
    reentrant: bool,
    /// Later calls of this session do not run after one that may have.
    stops: bool,
    environment: Vec<(String, String)>,
    runtime: String,
    /// The digest of what its process runs in.
    env: Option<[u8; 32]>,
    /// How long to wait until it takes calls, in seconds.
    max_wait: Option<f64>,
}

/// What it is made of.
#[derive(FromPyObject)]
enum Class {
    /// The digest of a class's pickle.
    Blob([u8; 32]),
    /// The name by which its runtime finds it.
    Name(String),
}

impl Spec {
    /// Begins to make it.
    pub(crate) fn builder(self, client: &Client) -> PyResult<ActorBuilder<Actor>> {
        let delivery = delivery_of(&self.delivery)?;
        let builder = client.actor::<Actor>(self.class_name.as_str());
        let external = |env| runtime(self.runtime.as_str(), env, false);
        let mut builder = match (self.class, self.runtime.as_str()) {
            (Class::Blob(digest), _) => builder.blob(external(self.env), Digest(digest)),
            (Class::Name(_), NATIVE) => builder,
            (Class::Name(name), _) => builder.runtime(external(self.env), name),
        };
        builder = builder
            .delivery(delivery)
            .durability(durability(&self.durability)?)
            .peers(self.peers)
            .checkpoint(checkpoint(self.checkpoint)?)
            .isolation(isolation(&self.isolation)?)
            .resources(resources(self.cpus, self.memory, self.resources.clone())?)
            .mailbox(mailbox(self.mailbox));
        if let Some(name) = &self.name {
            let namespace = self.namespace.clone();
            builder = builder.name(ActorName { namespace, name: name.clone() });
        }
        if self.detached {
            builder = builder.detached();
        }
        if self.get_if_exists {
            builder = builder.get_if_exists();
        }
        if self.reentrant {
            builder = builder.reentrant();
        }
        if self.stops {
            builder = builder.on_unknown(OnUnknown::Stop);
        }
        if let Some(max_wait) = self.max_wait {
            builder = builder.max_wait(span(max_wait)?);
        }
        let methods = self.methods.iter().map(method).collect::<PyResult<_>>()?;
        Ok(builder.with(|spec| {
            spec.restart.max_restarts = restarts(self.max_restarts, delivery);
            let lanes = self.lanes.into_iter();
            spec.lanes = lanes.map(|(name, concurrency)| LaneSpec { name, concurrency }).collect();
            spec.methods = methods;
            spec.workers = self.workers;
            spec.allow_other_workers = self.allow_other_workers;
            spec.environment = self.environment;
        }))
    }
}

/// Unless said otherwise, an actor whose calls survive is started again however often it is lost; others are not.
fn restarts(wanted: Option<i64>, delivery: Delivery) -> Option<u32> {
    match wanted {
        Some(times) => u32::try_from(times).ok(),
        None if delivery == Delivery::AtMostOnce => Some(0),
        None => None,
    }
}

fn method(
    (method, lane, delivery, keeps_result): &(String, u32, Option<String>, bool),
) -> PyResult<MethodSpec> {
    Ok(MethodSpec {
        method: method.clone(),
        lane: *lane,
        delivery: delivery.as_deref().map(delivery_of).transpose()?,
        journal: if *keeps_result { Journal::Result } else { Journal::Call },
    })
}

fn checkpoint((calls, bytes, seconds): (u64, u64, f64)) -> PyResult<CheckpointPolicy> {
    Ok(CheckpointPolicy { every_calls: calls, every_bytes: bytes, every: span(seconds)? })
}

fn mailbox((calls, bytes, refuses): (Option<u32>, Option<u64>, bool)) -> MailboxSpec {
    let usual = MailboxSpec::default();
    MailboxSpec {
        calls: calls.unwrap_or(usual.calls),
        bytes: bytes.unwrap_or(usual.bytes),
        on_full: if refuses { OnFull::Refuse } else { OnFull::Wait },
    }
}

fn durability(name: &str) -> PyResult<Durability> {
    match name {
        "process" => Ok(Durability::Process),
        "disk" => Ok(Durability::Disk),
        _ => Err(PyValueError::new_err(format!("durability is {name:?}; give process or disk"))),
    }
}

fn isolation(name: &str) -> PyResult<Isolation> {
    match name {
        "process" => Ok(Isolation::Process),
        "shared" => Ok(Isolation::Shared),
        // The scheduler says which actors can live there.
        "in-process" => Ok(Isolation::InProcess),
        _ => Err(PyValueError::new_err(format!("isolation is {name:?}; give process or shared"))),
    }
}

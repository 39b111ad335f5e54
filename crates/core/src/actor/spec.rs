//! What an actor is: fixed when it is created.

use std::fmt;

use bytes::Bytes;

use crate::graph::Runtime;
use crate::id::ActorId;
use crate::limits;
use crate::object::ObjectId;
use crate::reason::{Reason, Refusal};
use crate::resources::Resources;
use crate::time::Span;

/// The name of an actor.
#[derive(Clone, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ActorName {
    /// Namespace; empty is the default one.
    pub namespace: String,
    /// Unique in the namespace.
    pub name: String,
}

impl fmt::Display for ActorName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.namespace.as_str() {
            "" => f.write_str(&self.name),
            namespace => write!(f, "{namespace}/{}", self.name),
        }
    }
}

impl From<&str> for ActorName {
    /// As it is shown: `name`, or `namespace/name`.
    fn from(text: &str) -> Self {
        let (namespace, name) = text.split_once('/').unwrap_or(("", text));
        Self { namespace: namespace.to_owned(), name: name.to_owned() }
    }
}

/// Names an actor.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Selector {
    /// By id.
    Actor(ActorId),
    /// By name.
    Name(ActorName),
}

/// What an actor promises about its calls, the weakest first.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Delivery {
    /// A call runs once or not at all. It is sent again only if it is known not to have run.
    #[default]
    AtMostOnce,
    /// A call is sent again, to later incarnations too, until it is answered. It may run more than once.
    AtLeastOnce,
    /// The state shows each call once and the caller sees one outcome, whatever crashes.
    EffectivelyOnce,
}

/// What the call log and the checkpoints outlive.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Durability {
    /// The death of any process.
    #[default]
    Process,
    /// A power cut: a reply is released only after its call is on the disk.
    Disk,
}

/// When checkpoints are made: as soon as any of these is reached. With none, only on demand and before a move.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct CheckpointPolicy {
    /// After so many calls; 0 is no such limit.
    pub every_calls: u64,
    /// After so many bytes of call log; 0 is no such limit.
    pub every_bytes: u64,
    /// After so much time, if there was a call; zero is no such limit.
    pub every: Span,
}

/// What happens when an incarnation of an actor is lost.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RestartPolicy {
    /// How many times it is started again; `None` is however often it is lost.
    pub max_restarts: Option<u32>,
    /// Pause before the first restart.
    pub backoff: Span,
    /// Longest pause; the pause doubles with each restart until then, and begins anew after a life as long.
    pub backoff_max: Span,
    /// After so many crashes with the same call running, that call ends as [`Poisoned`](super::call::CallCode::Poisoned).
    pub poison_after: u32,
}

impl Default for RestartPolicy {
    fn default() -> Self {
        Self {
            max_restarts: Some(0),
            backoff: Span::ZERO,
            backoff_max: Span::secs(60),
            poison_after: limits::POISON_AFTER,
        }
    }
}

/// A lane: calls in it run in the order in which each caller made them.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LaneSpec {
    /// Name, unique in the actor.
    pub name: String,
    /// How many calls run at a time, at least 1. With more, calls begin in order.
    pub concurrency: u32,
}

/// How many calls may wait in the mailbox, and what happens to more.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct MailboxSpec {
    /// How many calls of one caller, of all lanes.
    pub calls: u32,
    /// How many bytes of arguments, of all callers.
    pub bytes: u64,
    /// What happens to more.
    pub on_full: OnFull,
}

impl Default for MailboxSpec {
    fn default() -> Self {
        Self { calls: limits::MAILBOX_CALLS, bytes: limits::MAILBOX_BYTES, on_full: OnFull::Wait }
    }
}

/// What happens to calls that the mailbox has no room for.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum OnFull {
    /// The caller is held back.
    #[default]
    Wait,
    /// The call ends as [`MailboxFull`](super::call::CallCode::MailboxFull).
    Refuse,
}

/// What a method does otherwise than its actor.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct MethodSpec {
    /// Name of the method.
    pub method: String,
    /// Place of its lane in the actor's list.
    pub lane: u32,
    /// Weaker than the actor's own; `None` is as the actor.
    pub delivery: Option<Delivery>,
    /// What the call log keeps of its calls.
    pub journal: Journal,
}

/// What the call log keeps of a call.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Journal {
    /// Method and arguments: a restart runs it again, so it must do the same each time.
    #[default]
    Call,
    /// The result, with a checkpoint right after it: it is not run again, so it need not do the same each time.
    Result,
}

/// How an actor is kept apart from others.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum Isolation {
    /// A process of its own.
    #[default]
    Process,
    /// A process shared with other actors, for thousands of small ones; only the order of calls is kept apart.
    Shared,
    /// Inside the daemon, where the worker allows it; for trusted native code.
    InProcess,
}

/// What a host does that does not hear from the scheduler.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum OnSchedulerLoss {
    /// It goes on. If the network is cut in two, two incarnations may live for a while.
    #[default]
    Continue,
    /// It runs and answers nothing more once its lease has ended.
    Stop,
}

/// What an actor is.
#[derive(Clone, Debug, PartialEq)]
pub struct ActorSpec {
    /// Its name, if it has one.
    pub name: Option<ActorName>,
    /// An encoded `Payload` that names the class or function and has the constructor's arguments.
    pub payload: Bytes,
    /// Objects that the payload's arguments name by number.
    pub inputs: Vec<ObjectId>,
    /// Name of the class, for people and statistics.
    pub class_name: String,
    /// Which kind of executor hosts it.
    pub runtime: Runtime,
    /// What it takes for life.
    pub resources: Resources,
    /// It outlives its session and every reference to it.
    pub detached: bool,
    /// What it promises about its calls.
    pub delivery: Delivery,
    /// What its log and checkpoints outlive.
    pub durability: Durability,
    /// On how many other workers log and checkpoints are kept too.
    pub peers: u32,
    /// When checkpoints are made.
    pub checkpoint: CheckpointPolicy,
    /// What happens when an incarnation is lost.
    pub restart: RestartPolicy,
    /// Its lanes; at least one.
    pub lanes: Vec<LaneSpec>,
    /// How many calls may wait.
    pub mailbox: MailboxSpec,
    /// What its methods do otherwise than the actor.
    pub methods: Vec<MethodSpec>,
    /// How it is kept apart from others.
    pub isolation: Isolation,
    /// A call may come in while it waits for a call of its own that leads back to it.
    pub reentrant: bool,
    /// What a host does that does not hear from the scheduler.
    pub on_scheduler_loss: OnSchedulerLoss,
    /// How long a host may go on without hearing from the scheduler, where it stops.
    pub lease: Span,
    /// How long after its death its last checkpoint and the cause are kept.
    pub ttl: Span,
    /// Names of the workers that may host it; empty is any.
    pub workers: Vec<String>,
    /// `workers` is a preference, not a condition.
    pub allow_other_workers: bool,
    /// Labels that the worker must carry, sorted.
    pub labels: Vec<(String, String)>,
    /// Variables set in its process.
    pub environment: Vec<(String, String)>,
    /// How long a caller is remembered that went away without its replies; `None` is as long as its session.
    pub caller_ttl: Option<Span>,
}

impl ActorSpec {
    /// An actor of a class with nothing special about it: at most once, a process of its own, no cpus, no restarts.
    pub fn new(class_name: impl Into<String>, runtime: Runtime, payload: impl Into<Bytes>) -> Self {
        Self {
            name: None,
            payload: payload.into(),
            inputs: Vec::new(),
            class_name: class_name.into(),
            runtime,
            resources: Resources::none(),
            detached: false,
            delivery: Delivery::default(),
            durability: Durability::default(),
            peers: 0,
            checkpoint: CheckpointPolicy::default(),
            restart: RestartPolicy::default(),
            lanes: vec![LaneSpec { name: String::new(), concurrency: 1 }],
            mailbox: MailboxSpec::default(),
            methods: Vec::new(),
            isolation: Isolation::default(),
            reentrant: false,
            on_scheduler_loss: OnSchedulerLoss::default(),
            lease: limits::ACTOR_LEASE,
            ttl: limits::ACTOR_TTL,
            workers: Vec::new(),
            allow_other_workers: false,
            labels: Vec::new(),
            environment: Vec::new(),
            caller_ttl: None,
        }
    }

    /// Whether it can be created at all; else with the field of the spec that forbids it.
    pub fn check(&self) -> Result<(), Refusal> {
        let malformed =
            |field: &'static str, why: &str| Refusal::at(Reason::Malformed, field, why.to_owned());
        if self.lanes.is_empty() || self.lanes.len() > limits::ACTOR_LANES {
            return Err(malformed("lanes", "an actor has 1 to 64 lanes"));
        }
        let concurrencies = 1..=limits::LANE_CONCURRENCY;
        if self.lanes.iter().any(|lane| !concurrencies.contains(&lane.concurrency)) {
            return Err(malformed("lanes.concurrency", "a lane runs 1 to 1024 calls at a time"));
        }
        let named =
            |n: usize, lane: &LaneSpec| self.lanes.iter().take(n).any(|l| l.name == lane.name);
        if self.lanes.iter().enumerate().any(|(n, lane)| named(n, lane)) {
            return Err(malformed("lanes.name", "two lanes have the same name"));
        }
        let lanes = u32::try_from(self.lanes.len()).unwrap_or(u32::MAX);
        if self.methods.iter().any(|method| method.lane >= lanes) {
            return Err(malformed("methods.lane", "a method names a lane that is not there"));
        }
        let stronger = |method: &MethodSpec| method.delivery.is_some_and(|own| own > self.delivery);
        if self.methods.iter().any(stronger) {
            let why = "a method cannot promise more than its actor";
            return Err(malformed("methods.delivery", why));
        }
        if self.isolation == Isolation::InProcess {
            self.check_inside()?;
        }
        let goes_on = self.on_scheduler_loss == OnSchedulerLoss::Continue;
        if self.delivery == Delivery::EffectivelyOnce && goes_on {
            let why =
                "an effectively-once actor stops when its lease ends: two lives of it must not run";
            return Err(malformed("on_scheduler_loss", why));
        }
        self.check_peers()
    }

    /// Whether copies of its log can be kept.
    fn check_peers(&self) -> Result<(), Refusal> {
        let malformed = |why: String| Err(Refusal::at(Reason::Malformed, "peers", why));
        if self.peers > limits::ACTOR_PEERS {
            let (peers, limit) = (self.peers, limits::ACTOR_PEERS);
            return malformed(format!("copies on {peers} other workers, the limit is {limit}"));
        }
        if self.peers > 0 && self.delivery != Delivery::EffectivelyOnce {
            let why = "only an effectively-once actor has a log to copy: leave `peers` out, or ask for `effectively_once`";
            return malformed(why.to_owned());
        }
        Ok(())
    }

    /// Whether it can live inside a daemon.
    fn check_inside(&self) -> Result<(), Refusal> {
        let malformed = |field, why: &str| Err(Refusal::at(Reason::Malformed, field, why));
        if self.runtime != Runtime::Native {
            let why = "only native actors live inside a worker: leave `in-process` out";
            return malformed("isolation", why);
        }
        if self.delivery == Delivery::EffectivelyOnce {
            let why = "an effectively-once actor needs a process that can be replaced: leave `in-process` out";
            return malformed("isolation", why);
        }
        if !self.environment.is_empty() {
            let why = "an actor inside a worker has the worker's own variables: leave these out, or `in-process`";
            return malformed("environment", why);
        }
        Ok(())
    }

    /// What it promises about a method.
    pub fn delivery_of(&self, method: &str) -> Delivery {
        self.method(method).and_then(|own| own.delivery).unwrap_or(self.delivery)
    }

    /// What is special about a method.
    pub fn method(&self, method: &str) -> Option<&MethodSpec> {
        self.methods.iter().find(|own| own.method == method)
    }
}

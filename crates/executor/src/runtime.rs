//! What runs attempts, and what it is told of each.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use bireme_core::value::PoolFile;
use bireme_core::{AttemptId, Codec, Span, TaskError, Value};
use bytes::Bytes;

use crate::actors::Actors;
use crate::blobs::Blobs;
use crate::cpus::Cpus;
use crate::stop::Stop;

/// What an attempt made, in the order of its outputs, or why it failed.
pub type Outcome = Result<Vec<Value>, Box<TaskError>>;

/// Runs attempts. It is called by as many threads at a time as it has slots.
pub trait Runtime: Sync {
    /// What it is.
    fn describe(&self) -> Description;

    /// Runs an attempt to its end. A panic here ends the process.
    fn run(&self, attempt: &Attempt) -> Outcome;

    /// What makes its actors; `None` where it only runs attempts.
    fn actors(&self) -> Option<Arc<dyn Actors>> {
        None
    }

    /// Asked after each attempt: why this process had better leave, if it had. It is given no more attempts then; those that
    /// wait in it go to others, which the worker starts as they are needed.
    fn leaves(&self) -> Option<String> {
        None
    }
}

/// What a runtime is and can do.
#[derive(Clone, Debug)]
pub struct Description {
    /// Its name, as tasks name it: `python`.
    pub runtime: String,
    /// Its version: `3.12.4`.
    pub version: String,
    /// Language of its tracebacks: `python`.
    pub language: String,
    /// How many attempts it runs at a time; 1 is on the thread that called [`serve`](crate::serve).
    pub slots: u32,
    /// Codecs that it decodes.
    pub codecs: Vec<Codec>,
    /// Names of the functions it has registered.
    pub functions: Vec<String>,
}

/// One execution of a task.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// Which.
    pub id: AttemptId,
    /// Key of the task.
    pub key: String,
    /// An encoded `Payload`, as the client sent it.
    pub payload: Bytes,
    /// The row's own argument, an encoded `Value`, in a task array; else empty.
    pub row: Bytes,
    /// Values of the task's inputs, in their order. Every byte is here; large ones are mapped.
    pub inputs: Vec<Arc<Value>>,
    /// Files for what it is likely to make.
    pub(crate) room: Vec<PoolFile>,
    /// The blobs that its payload names, among others that this process keeps.
    pub blobs: Blobs,
    /// How many outputs are awaited.
    pub outputs: u16,
    /// What it holds while it runs.
    pub held: Held,
    /// How long it may run; the worker sees to that.
    pub deadline: Option<Span>,
    /// Variables that it sees besides the process's own.
    pub environment: Vec<(String, String)>,
    /// Directory for its files, removed when it ends; `None` is the process's own.
    pub directory: Option<PathBuf>,
    /// Labels for profiles and logs.
    pub labels: Vec<(String, String)>,
    /// W3C trace context; empty where there is none.
    pub traceparent: String,
    /// Asked when the attempt is unwanted or over its time: then it had better return.
    pub stop: Arc<Stop>,
    /// Where its code finds the cluster; `None` where the worker has no scheduler.
    pub services: Option<Arc<Services>>,
    /// Gives its cpus back while its code waits.
    pub cpus: Arc<Cpus>,
}

/// Where code of attempts finds the cluster, with the attempt as the parent of the session that it opens.
#[derive(Clone, Eq, PartialEq)]
pub struct Services {
    /// The scheduler: `http://HOST:PORT`.
    pub address: String,
    /// The bearer token; empty where none is asked for.
    pub token: String,
}

/// Without the token, which is a secret.
impl fmt::Debug for Services {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Services").field("address", &self.address).finish_non_exhaustive()
    }
}

/// What an attempt holds, with the very pieces that are its own.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Held {
    /// Cpus in units of 1/10,000.
    pub cpu_units: u64,
    /// Numbers of the cpus that it is bound to; empty is any.
    pub cpus: Vec<u32>,
    /// Bytes of memory that it may take; 0 is no limit.
    pub memory_bytes: u64,
    /// Everything else.
    pub others: Vec<HeldResource>,
}

/// How much of a resource is held, and which pieces of it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct HeldResource {
    /// Name of the resource: `gpu`.
    pub name: String,
    /// Amount in units of 1/10,000.
    pub units: u64,
    /// Numbers of the pieces, where it has numbered pieces.
    pub indexes: Vec<u32>,
    /// The vendor's names of the pieces, in the same order, where known.
    pub names: Vec<String>,
}

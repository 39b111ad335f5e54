//! The worker: runs attempts, keeps what they make, and hands it to whoever needs it.
//!
//! Read [`machine`] first. [`machine::Machine`] decides which attempt runs next, what is fetched and what the scheduler is
//! told; it is pure. Everything else feeds it or carries out what it asks for, and is compiled only with the feature
//! `daemon`: `driver` owns the machine and the only event loop, `executor` runs code, `store` holds values, `transfer` and
//! `rpc` move them, and [`Registry`] names the native functions. A [`Server`] is all of it together, for programs that
//! embed a worker. A worker with functions of one's own is one line:
//!
//! ```no_run
//! # fn count(text: String) -> u64 { text.lines().count() as u64 }
//! fn main() -> std::process::ExitCode {
//!     bireme_worker::main(|registry| registry.task("count", count))
//! }
//! ```
//!
//! What this crate never does: decide where a task runs, believe a peer about an attempt, or tell the scheduler of an output
//! that its store does not have.

pub mod machine;

#[cfg(feature = "daemon")]
mod actors;
#[cfg(feature = "daemon")]
mod birth;
#[cfg(feature = "daemon")]
mod blackbox;
#[cfg(feature = "daemon")]
mod builtin;
#[cfg(feature = "daemon")]
mod bulk;
#[cfg(feature = "daemon")]
mod clock;
#[cfg(feature = "daemon")]
mod config;
#[cfg(feature = "daemon")]
mod daemon;
#[cfg(feature = "daemon")]
mod driver;
#[cfg(feature = "daemon")]
mod environments;
#[cfg(feature = "daemon")]
mod executor;
#[cfg(feature = "daemon")]
mod failure;
#[cfg(feature = "daemon")]
mod host;
#[cfg(feature = "daemon")]
mod identity;
#[cfg(feature = "daemon")]
mod inbox;
#[cfg(feature = "daemon")]
mod inheritance;
#[cfg(feature = "daemon")]
mod logs;
#[cfg(feature = "daemon")]
mod metrics;
#[cfg(feature = "daemon")]
mod own_place;
#[cfg(feature = "daemon")]
mod personality;
#[cfg(feature = "daemon")]
mod registry;
#[cfg(feature = "daemon")]
mod rpc;
#[cfg(feature = "daemon")]
mod server;
#[cfg(feature = "daemon")]
mod shared_memory;
#[cfg(feature = "daemon")]
mod signals;
#[cfg(feature = "daemon")]
mod store;
#[cfg(feature = "daemon")]
mod supervisor;
#[cfg(feature = "daemon")]
mod sync;
#[cfg(feature = "daemon")]
mod target;
#[cfg(feature = "daemon")]
mod transfer;
#[cfg(feature = "daemon")]
mod undertaker;
#[cfg(all(feature = "daemon", target_arch = "x86_64", target_os = "linux", target_env = "gnu"))]
mod unwinding;

#[cfg(feature = "daemon")]
pub use config::{Args, BadConfig, Config, LanguageRuntime, Native};
#[cfg(feature = "daemon")]
pub use daemon::{executor, main};
#[cfg(feature = "daemon")]
pub use driver::DriverError;
#[cfg(feature = "daemon")]
pub use identity::IdentityError;
#[cfg(feature = "daemon")]
pub use registry::{
    Actor, Arg, Arguments, AsyncMethod, BadArg, CallContext, Context, Failure, FromArg, Function,
    IntoOutputs, IntoValue, Method, Methods, Msgpack, Outputs, Registry, SharedMethod, Task,
};
#[cfg(feature = "daemon")]
pub use server::{ServeError, Server};
#[cfg(feature = "daemon")]
pub use store::PlaceError;
#[cfg(feature = "daemon")]
pub use target::{Scheduler, TargetError};
#[cfg(feature = "daemon")]
pub use transfer::Way;
#[cfg(feature = "daemon")]
pub use undertaker::kill_descendants;

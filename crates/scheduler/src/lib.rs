//! The scheduler: decides which worker runs which task, and remembers that it did.
//!
//! Read [`machine`] first. [`machine::Machine`] holds all scheduling state and is pure: events go in, effects come out, and
//! neither the clock, the network nor the disk is within its reach. Everything else feeds the machine or carries out what
//! it asks for, and is compiled only with the feature `daemon`: `driver` owns the machine and the only event loop, `rpc`
//! and `metrics` are the doors, [`state`] is what a restart remembers. A [`Server`] is all of it together, for the daemon's
//! `main` and for programs that embed a scheduler.
//!
//! What this crate never does: run user code, decode a payload, or trust a worker's view over its own. Lost messages are
//! expected and reordered ones harmless; an attempt is settled by its number alone.

pub mod machine;

#[cfg(feature = "daemon")]
mod blobs;
#[cfg(feature = "daemon")]
mod config;
#[cfg(feature = "daemon")]
mod driver;
#[cfg(feature = "daemon")]
mod metrics;
#[cfg(feature = "daemon")]
mod relay;
#[cfg(feature = "daemon")]
mod rpc;
#[cfg(feature = "daemon")]
mod server;
#[cfg(feature = "daemon")]
pub mod state;

#[cfg(feature = "daemon")]
pub use config::{Args, Config};
#[cfg(feature = "daemon")]
pub use server::{ServeError, Server, main};

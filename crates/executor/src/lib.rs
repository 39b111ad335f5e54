//! The process side of `executor.proto`: everything between a worker's Unix socket and a [`Runtime`] that runs attempts.
//!
//! A worker starts a process and tells it by its environment where to come back to ([`Launch`]). [`serve`] connects, says
//! what the runtime is, and hands it one attempt after the other on the thread that called. A second thread holds the stream:
//! it takes orders, sends what has ended in batches, and tells how the process is, however long user code runs.
//!
//! Read [`serve`] first, then `desk`, where the two threads meet. Inputs that lie in files of the worker's pool are mapped
//! for reading, and large outputs are written into files that the worker gives. [`Blobs`] that a payload names, such as its
//! function, come with the first attempt that needs them and stay for the next.
//!
//! What this crate never does: know the worker that it serves, decode a payload, or keep anything that outlives its process.
//! What it cannot carry out (actors, profiles, stack dumps) it refuses as `UNSUPPORTED`, in one place: `stream::refuse`.

pub mod batches;
mod blobs;
mod desk;
mod launch;
mod mark;
mod orders;
mod pool;
mod printed;
mod runtime;
mod serve;
mod stop;
mod stream;
mod sync;
mod usage;
mod work;

pub use blobs::Blobs;
pub use launch::{BadLaunch, Launch, features, variables};
pub use mark::{Mark, Pen, Reached};
pub use printed::{Pipes, Seal};
pub use runtime::{Attempt, Description, Held, HeldResource, Outcome, Runtime};
pub use serve::{ServeError, serve};
pub use stop::Stop;

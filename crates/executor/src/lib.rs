//! The process side of `executor.proto`: everything between a worker's Unix socket and a [`Runtime`] that runs attempts.
//!
//! A worker starts a process and tells it by its environment where to come back to ([`Launch`]). [`serve`] connects, says
//! what the runtime is, and hands it one attempt after the other on the thread that called. While user code runs, a second thread
//! holds the stream: it takes orders, sends what has ended in batches, and tells how the process is, however long that takes.
//! While there is nothing to run, the first one does that itself ([`Turns`]), so that a short attempt wakes one thread.
//!
//! Read [`serve`] first, then `desk`, where the two threads meet. Inputs that lie in files of the worker's pool are mapped
//! for reading, and large outputs are written into files that the worker gives. [`Blobs`] that a payload names, such as its
//! function, come with the first attempt that needs them and stay for the next.
//!
//! A runtime that gives [`Actors`] hosts actors too: see `actors`, which keeps their calls in order. [`Inside`] hosts them on
//! threads of the worker itself.
//!
//! What this crate never does: know the worker that it serves, decode a payload, or keep anything that outlives its process.
//! What it cannot carry out (profiles, stack dumps) it refuses as `UNSUPPORTED`, in one place: `stream::refuse`.

mod actors;
pub mod batches;
mod blobs;
mod cpus;
mod desk;
mod inside;
mod launch;
mod mark;
mod orders;
mod outputs;
mod pool;
mod printed;
mod runtime;
mod serve;
mod socket;
mod stop;
mod stream;
mod sync;
mod turns;
mod usage;
mod work;

pub use actors::{Actor, Actors, Call, CallEnd, Creation, Items, State};
pub use blobs::Blobs;
pub use cpus::Cpus;
pub use inside::Inside;
pub use launch::{BadLaunch, Launch, features, tie_to_worker, variables};
pub use mark::{Mark, Pen, Reached};
pub use printed::{Pipes, Seal};
pub use runtime::{Attempt, Description, Held, HeldResource, Outcome, Runtime, Services};
pub use serve::{ServeError, serve};
pub use socket::Socket;
pub use stop::Stop;
pub use turns::Turns;

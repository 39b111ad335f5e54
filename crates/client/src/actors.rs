//! Actors: created, found, called.
//!
//! [`Actor`] is a handle, [`ActorBuilder`] creates actors, [`Method`] and [`Call`] call them. The calls of a session are kept
//! by the machines of `bireme-core`, which `hub` drives: one stream for each worker (`line`), the scheduler asked where actors
//! are (`resolve`), and time (`clock`).

mod args;
mod call;
mod clock;
mod create;
mod error;
mod handle;
mod hub;
mod keepers;
mod large;
mod life;
mod line;
mod own;
mod resolve;
mod waits;

pub use self::args::Args;
pub use self::call::{Call, Canceller, Items, Made, Method};
pub use self::create::ActorBuilder;
pub use self::error::{CallError, CreateError};
pub use self::handle::Actor;
pub(crate) use self::hub::{Hub, Numbering, not_made};
pub(crate) use self::keepers::Keepers;
pub(crate) use self::life::Life;
pub use self::life::{Created, Kill, Move};
pub use self::own::OwnCalls;
pub(crate) use self::resolve::ask;
pub use self::waits::{Waiting, Waits};

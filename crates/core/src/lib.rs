//! The words that scheduler, worker and client share: ids, values, graphs, refusals and what they say to each other.
//!
//! Start with [`graph`], the model of work, and [`protocol`], what scheduler and worker tell each other about it. Both are
//! plain data. [`link`] is how two peers find out whether they can talk, and what is still to be told after a silence; [`actor`]
//! has both halves of a call.
//!
//! What this crate never does: read a clock, open a socket, draw a random number, or know how anything is encoded. Every
//! constructor checks what it is given, so that what exists is valid; every bound of the system stands in [`limits`].

pub mod actor;
pub mod error;
pub mod graph;
pub mod hash;
pub mod id;
pub mod limits;
pub mod link;
pub mod numbered;
pub mod object;
pub mod protocol;
pub mod reason;
pub mod recent;
pub mod resources;
pub mod retry;
pub mod session;
pub mod time;
pub mod value;

pub use error::{ErrorClass, Exit, TaskError};
pub use graph::{GraphChunk, TaskClass, TaskSpec};
pub use id::*;
pub use object::ObjectId;
pub use reason::Reason;
pub use resources::Resources;
pub use retry::RetryPolicy;
pub use time::{Span, Time};
pub use value::{Codec, Value};

//! Starts clusters, so that a program need not be told of one.
//!
//! [`embedded`] runs a scheduler and workers inside this process, over real sockets: what works there works with daemons of
//! their own. Other ways to start a cluster get a module each.
//!
//! What this crate never does: decide about tasks, or speak to a daemon otherwise than any client does.

#[cfg(feature = "embedded")]
pub mod embedded;

//! The scheduler over real sockets, in one process: its streams, its calls, and what it refuses.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

#[path = "serve/actors.rs"]
mod actors;
#[path = "serve/call_streams.rs"]
mod call_streams;
#[path = "serve/calls.rs"]
mod calls;
#[path = "serve/life.rs"]
mod life;
#[path = "serve/operations.rs"]
mod operations;
#[path = "serve/refusals.rs"]
mod refusals;
#[path = "serve/relays.rs"]
mod relays;
#[path = "serve/streams.rs"]
mod streams;
#[path = "serve/support.rs"]
mod support;

//! A whole worker over real sockets, against a scheduler that the test plays.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

#[path = "fleet/isolated.rs"]
mod isolated;
#[path = "fleet/played.rs"]
mod played;
#[path = "fleet/streams.rs"]
mod streams;
#[path = "fleet/supervised.rs"]
mod supervised;

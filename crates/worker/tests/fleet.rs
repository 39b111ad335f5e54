//! A whole worker over real sockets, against a scheduler that the test plays.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

#[path = "fleet/actors.rs"]
mod actors;
#[path = "fleet/blobs.rs"]
mod blobs;
#[path = "fleet/environments.rs"]
mod environments;
#[path = "fleet/forked.rs"]
mod forked;
#[path = "fleet/isolated.rs"]
mod isolated;
#[path = "fleet/languages.rs"]
mod languages;
#[path = "fleet/one_thread.rs"]
mod one_thread;
#[path = "fleet/played.rs"]
mod played;
#[path = "fleet/scene.rs"]
mod scene;
#[path = "fleet/streams.rs"]
mod streams;
#[path = "fleet/supervised.rs"]
mod supervised;

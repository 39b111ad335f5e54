//! The commands as they are typed, on a cluster in this process: what they print, what they say, and how they end.

#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

#[path = "commands/actors.rs"]
mod actors;
#[path = "commands/cluster.rs"]
mod cluster;
#[path = "commands/graphs.rs"]
mod graphs;
#[path = "commands/jobs.rs"]
mod jobs;
#[path = "commands/local.rs"]
mod local;
#[path = "commands/results.rs"]
mod results;
#[path = "commands/sessions.rs"]
mod sessions;
#[path = "commands/submit.rs"]
mod submit;
#[path = "commands/support.rs"]
mod support;
#[path = "commands/tasks.rs"]
mod tasks;

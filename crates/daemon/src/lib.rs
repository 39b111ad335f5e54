//! What both daemons need to be daemons, and nothing about scheduling.
//!
//! A `main` walks through this crate in one order: [`settings`] settles what was asked for, [`logging`] starts, [`auth`]
//! decides who may call what, [`listen`] opens the ports, [`ready`] tells whoever waits, [`shutdown`] says when to stop,
//! and [`systemd`] hears of all of it. What runs meanwhile are [`task`]s.
//! [`http`] is the door for people and Prometheus; [`account`] counts what an event loop does, and [`alarm`] is its timer;
//! [`lookout`] has its thread look for those who are quick;
//! [`units`] reads durations and sizes.
//!
//! What this crate never does: know a gRPC service, a task or a worker. Whatever it decides about a call it decides from
//! the call's path and headers alone, before any service sees it.

pub mod account;
pub mod alarm;
pub mod auth;
pub mod common;
pub mod http;
pub mod listen;
pub mod logging;
pub mod lookout;
pub mod ready;
pub mod settings;
pub mod shutdown;
pub mod systemd;
pub mod task;
pub mod units;

pub use alarm::Alarm;
pub use common::Common;
pub use listen::Listener;
pub use lookout::Lookout;
pub use shutdown::Shutdown;
pub use systemd::Systemd;
pub use task::Task;

/// Waits for what must happen in a test, and fails the test if it does not.
#[cfg(test)]
pub(crate) async fn guarded<T>(wait: impl Future<Output = T>) -> T {
    tokio::time::timeout(std::time::Duration::from_mins(1), wait).await.expect("ended in time")
}

#[cfg(test)]
mod tests;

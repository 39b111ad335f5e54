//! `fleet.proto`: worker and scheduler.
//!
//! The scheduler's side reads with [`reports`] and [`announced`] and writes orders with [`down`]; the worker's side reads
//! with [`orders`] and writes the rest by `From`.

mod actor;
mod join;
mod order;
mod report;

pub use self::actor::{beats, beats_sent};
pub use self::order::{down, orders};
pub use self::report::{Announced, announced, reports};

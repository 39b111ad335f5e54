//! The border: the only modules that know generated types.

pub(crate) mod actor_copies;
pub(crate) mod actor_host;
pub(crate) mod executor;
pub(crate) mod fleet;
pub(crate) mod logs;
pub(crate) mod payload;
pub(crate) mod store;

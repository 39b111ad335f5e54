//! What a random load does not reach, on a machine alone.

mod alone;
mod bounds;
mod refusals;
mod sources;

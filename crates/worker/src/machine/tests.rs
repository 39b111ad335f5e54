//! What a worker does, as transcripts, and against random orders and accidents.

mod actors;
mod cpus;
mod ends;
mod inputs;
mod queues;
mod random;
mod reports;
mod script;

//! The way in for Rust programs: submit graphs, follow them, read their results.
//!
//! [`Client`] is a session with a cluster; [`Client::submit`] takes what
//! [`GraphBuilder`](bireme_core::graph::GraphBuilder) made and gives a [`Graph`] to wait for and to read results from.
//! [`Payload`] says what a task is to do. [`Admin`] looks at a cluster and runs it, without a session.
//!
//! A session is one stream at a time. Commands are kept in `backlog` until they are answered and pulled through `outgoing` by
//! the connection itself; one task listens to the scheduler and writes down what it says in `session`, and has `redial` bring
//! the stream back when it is lost; a graph of a million tasks is a million slots of eight bytes in `slots`. Values too large
//! for the stream are fetched from the workers that hold them, in `fetch`, and looked for again in `relocate`; values for
//! tasks that are to come are put into the stores of workers, in `put`. Calls to actors go to the workers that host them, over
//! streams of their own: `actors`.
//!
//! What this crate never does: start daemons, know how they work inside, or let a generated type out.

mod actors;
mod admin;
mod backlog;
mod blob;
mod client;
mod codec;
mod connect;
mod detach;
mod ends;
mod error;
mod fetch;
mod graph;
mod object;
mod outgoing;
mod payload;
mod peers;
mod put;
mod reach;
mod redial;
mod relocate;
mod session;
mod slots;
mod warnings;

pub use actors::{
    Actor, ActorBuilder, Args, Call, CallError, Canceller, CreateError, Created, Items, Kill, Made,
    Method, Move, OwnCalls, Waiting, Waits,
};
pub use admin::{
    ActorChanges, ActorDeath, ActorDetails, ActorLogPiece, ActorLogQuery, ActorLogs, ActorStatus,
    ActorWatch, Admin, AttemptStatus, ClusterStatus, Drain, Effort, Explanation, Found,
    GraphDetails, GraphStatus, GraphWait, Group, IssuedToken, LaneStatus, Location, LogPiece,
    LogQuery, LoopStats, OneCall, OutputStatus, RunningCall, SessionStatus, Step, Story,
    TaskDetails, TaskLogs, TaskName, TaskPage, TaskQuery, TaskStatus, TokenGrant, Transition, Use,
    WorkerChanges, WorkerName, WorkerReason, WorkerStatus, Workers,
};
pub use bireme_proto::role::Role;
pub use blob::PutFileError;
pub use client::Client;
pub use codec::{DecodeError, decode, encode};
pub use connect::ConnectOptions;
pub use detach::{NotATicket, Ticket};
pub use ends::Ends;
pub use error::{CommandError, ConnectError, GraphError, Lost, PutError, Refused, ResultError};
pub use graph::{Graph, Progress, Summary};
pub use object::{FetchError, Object};
pub use payload::{Arg, CommandPayload, ExternalPayload, NativePayload, Payload, WasmPayload};

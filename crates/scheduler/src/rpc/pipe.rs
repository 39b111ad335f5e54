//! The outgoing half of a stream, as the driver uses it: what the machine has to tell, turned into messages.

use std::mem;

use bireme_core::id::{SubmissionId, WorkerId};
use bireme_core::limits;
use bireme_core::link::Hello;
use bireme_core::protocol::{Joined, Order, Secret};
use bireme_core::reason::Refusal;
use bireme_core::session::{Notice, Opened};
use bireme_proto::status::status;
use bireme_proto::{convert, pb};

use crate::driver::mail::BadCommand;
use crate::driver::outbox::Outbox;
use crate::machine::{Machine, Peer};
use crate::rpc::hello;

/// The outgoing half of a stream.
#[derive(Debug)]
pub(crate) enum Pipe {
    /// To a client.
    Session {
        /// Where messages go.
        outbox: Outbox<pb::SessionDown>,
        /// What goes into the next message before anything of the machine's.
        next: Box<pb::SessionDown>,
    },
    /// To a worker.
    Worker {
        /// Where messages go.
        outbox: Outbox<pb::FleetDown>,
        /// What goes into the next message before anything of the machine's.
        next: Box<pb::FleetDown>,
    },
}

impl Pipe {
    /// To a client.
    pub(crate) fn session(outbox: Outbox<pb::SessionDown>) -> Self {
        Self::Session { outbox, next: Box::default() }
    }

    /// To a worker.
    pub(crate) fn worker(outbox: Outbox<pb::FleetDown>) -> Self {
        Self::Worker { outbox, next: Box::default() }
    }

    /// The session is open: says so in the first message.
    pub(crate) fn opened(&mut self, ours: &Hello, opened: Opened) {
        if let Self::Session { next, .. } = self {
            next.hello = Some(hello::ours(ours));
            next.opened = Some(opened.into());
        }
    }

    /// The worker is accepted: says so in the first message.
    pub(crate) fn joined(&mut self, ours: &Hello, worker: WorkerId, token_key: Option<Secret>) {
        if let Self::Worker { next, .. } = self {
            next.hello = Some(hello::ours(ours));
            let joined = Joined {
                worker,
                heartbeat: limits::HEARTBEAT,
                lost_after: limits::WORKER_LOST,
                inline_bytes: limits::INLINE_BYTES,
                token_key,
            };
            next.joined = Some(joined.into());
        }
    }

    /// Answers whether all that the worker holds is known already.
    pub(crate) fn answer_digest(&mut self, equal: bool) {
        if let Self::Worker { next, .. } = self {
            next.announce_reply = Some(pb::AnnounceReply { equal });
        }
    }

    /// Has a command refused that the machine never saw. Returns whether there was room for that.
    pub(crate) fn refuse(&mut self, bad: BadCommand) -> bool {
        let Self::Session { next, .. } = self else { return true };
        let BadCommand { submission, chunk_of: _, refusal } = bad;
        let submission = submission.unwrap_or(SubmissionId(0));
        next.reports.push(Notice::Refused { submission, refusal }.into());
        next.reports.len() <= limits::REFUSALS_UNREAD
    }

    /// Sends what there is to tell, as far as there is room.
    pub(crate) fn flush(&mut self, peer: Peer, machine: &mut Machine) {
        match (self, peer) {
            (Self::Session { outbox, next }, Peer::Session(session)) => loop {
                if !outbox.has_room() {
                    return;
                }
                let mut notices = Vec::new();
                let more = machine.take_notices(session, limits::BATCH_BYTES, &mut notices);
                let mut message = mem::take(&mut **next);
                message.reports.append(&mut convert::session::down(notices));
                if message.hello.is_none() && message.reports.is_empty() {
                    return;
                }
                outbox.send(message);
                if !more {
                    return;
                }
            },
            (Self::Worker { outbox, next }, Peer::Worker(worker)) => loop {
                if !outbox.has_room() {
                    return;
                }
                let mut orders = Vec::new();
                let more = machine.take_orders(worker, limits::BATCH_BYTES, &mut orders);
                let mut message = mem::take(&mut **next);
                message.orders.append(&mut convert::fleet::down(orders));
                let is_news = message.hello.is_some() || message.announce_reply.is_some();
                if !is_news && message.orders.is_empty() {
                    return;
                }
                outbox.send(message);
                if !more {
                    return;
                }
            },
            (Self::Session { .. }, Peer::Worker(_)) | (Self::Worker { .. }, Peer::Session(_)) => {
                debug_assert!(false, "the machine took one kind of peer for the other");
            }
        }
    }

    /// Tells a client that the stream is about to end. A worker comes back whatever happens, unless it is told to end.
    pub(crate) fn close(&mut self, why: &Refusal, workers: bool) {
        match self {
            Self::Session { outbox, next } if outbox.has_room() => {
                let mut message = mem::take(&mut **next);
                message.reports.push(Notice::Closing(why.clone()).into());
                outbox.send(message);
            }
            Self::Worker { outbox, next } if workers && outbox.has_room() => {
                let mut message = mem::take(&mut **next);
                message.orders.push(Order::Stop.into());
                outbox.send(message);
            }
            Self::Session { .. } | Self::Worker { .. } => {}
        }
    }

    /// Ends the stream with a refusal, after what was sent.
    pub(crate) fn end(self, refusal: &Refusal) {
        match self {
            Self::Session { outbox, .. } => outbox.end(status(refusal.clone())),
            Self::Worker { outbox, .. } => outbox.end(status(refusal.clone())),
        }
    }
}

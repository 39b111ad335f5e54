//! Callers' streams, and the lines on them: one for each caller and actor.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bireme_core::actor::call::{CallCode, CallFailure};
use bireme_core::actor::host::{Event, Line};
use bireme_core::actor::wire::{Open, ToCaller, ToHost};
use bireme_core::id::ActorId;
use bireme_core::limits;
use bireme_proto::convert::actor::said::{self, Misheard};
use bireme_proto::convert::actor::told;
use bireme_proto::pb;

use super::outgoing::{Outgoing, Taken};
use super::single::Single;
use super::{Shared, Table, Turn, fault};

/// Everybody who calls actors of this worker.
#[derive(Debug, Default)]
pub(super) struct Peers {
    streams: BTreeMap<u64, Peer>,
    lines: BTreeMap<Line, Listener>,
    /// The number given last, to a peer or a line.
    last: u64,
}

/// A stream.
#[derive(Debug)]
struct Peer {
    outgoing: Arc<Outgoing>,
    opens: BTreeMap<u32, Opened>,
    /// Those of them that had no room for a word.
    behind: BTreeSet<u32>,
}

/// A caller's calls to an actor, on a stream.
#[derive(Debug)]
struct Opened {
    /// As the caller said it; with the replies that it has acknowledged since.
    open: Open,
    /// None while the peer does not read.
    line: Option<Line>,
    /// Something was said while it did not: not even that the host begins may have been answered before.
    missed: bool,
}

/// Who hears what is said over a line.
#[derive(Clone, Debug)]
enum Listener {
    Stream { actor: ActorId, peer: u64, open: u32 },
    Single { actor: ActorId, call: Arc<Single> },
}

impl Listener {
    fn actor(&self) -> ActorId {
        match self {
            Self::Stream { actor, .. } | Self::Single { actor, .. } => *actor,
        }
    }
}

impl Peers {
    fn number(&mut self) -> u64 {
        self.last += 1;
        self.last
    }
}

impl Shared {
    /// A stream has come. Returns its number and what it is sent.
    pub(crate) fn admit(
        self: &Arc<Self>,
        greeting: pb::Hello,
    ) -> (u64, impl tokio_stream::Stream<Item = Result<pb::HostBatch, tonic::Status>> + Send + use<>)
    {
        let mut turn = self.turn();
        let number = turn.table.peers.number();
        let outgoing = Arc::new(Outgoing::default());
        let queue = Arc::clone(&outgoing);
        let peer = Peer { outgoing, opens: BTreeMap::new(), behind: BTreeSet::new() };
        turn.table.peers.streams.insert(number, peer);
        let (shared, lookout) = (Arc::downgrade(self), Arc::clone(&self.lookout));
        (number, Taken { queue, greeting: Some(greeting), shared, lookout, peer: number })
    }
}

impl Turn<'_> {
    /// A caller said something. What cannot be read costs it an answer, never the stream.
    pub(crate) fn hear(&mut self, peer: u64, message: pb::CallerMessage) {
        match said::heard(message) {
            Ok((open, words)) => {
                for word in words {
                    self.heard(peer, open, word);
                }
            }
            Err(Misheard { open, seq, refusal }) => {
                if let Some(known) = self.table.peers.streams.get(&peer) {
                    known.outgoing.push(told::refuse(refusal));
                }
                if let Some(seq) = seq {
                    self.heard(peer, open, ToHost::Cancel { seq, grace: None });
                }
            }
        }
    }

    fn heard(&mut self, peer: u64, open: u32, word: ToHost) {
        match word {
            ToHost::Open(first) => return self.open(peer, open, first),
            ToHost::Ack { .. } => fault::point("after-reply-before-ack"),
            _ => {}
        }
        let Some(known) = self.table.peers.streams.get_mut(&peer) else { return };
        let Some(opened) = known.opens.get_mut(&open) else { return };
        if let ToHost::Ack { processed_up_to } = word {
            opened.open.processed_up_to = opened.open.processed_up_to.max(processed_up_to);
        }
        let (actor, line) = (opened.open.actor, opened.line);
        let closes = matches!(word, ToHost::Close { .. });
        // What is said while the peer does not read is said again when it does.
        match line {
            Some(line) => self.feed(actor, Event::Said { line, word }),
            None => opened.missed = true,
        }
        if closes {
            self.forget_open(peer, open);
        }
    }

    fn open(&mut self, peer: u64, number: u32, open: Open) {
        self.forget_open(peer, number);
        let Some(known) = self.table.peers.streams.get_mut(&peer) else { return };
        if known.opens.len() >= limits::CALL_OPENS {
            let message = format!(
                "the stream has {} actors open already: close some, or use another stream",
                limits::CALL_OPENS
            );
            let failure = CallFailure::new(CallCode::NotRun, message);
            known.outgoing.push(told::tell(number, ToCaller::OpenRefused(Box::new(failure))));
            return;
        }
        known.opens.insert(number, Opened { open, line: None, missed: false });
        self.connect(peer, number);
    }

    /// Gives an opened conversation a line to its host. Where there is none, the caller has to ask the scheduler.
    fn connect(&mut self, peer: u64, number: u32) {
        let line = Line(self.table.peers.number());
        let Table { entries, peers, .. } = &mut *self.table;
        let Some(known) = peers.streams.get_mut(&peer) else { return };
        let Some(opened) = known.opens.get_mut(&number) else { return };
        let open = opened.open;
        let hosted = entries.get(&open.actor).is_some_and(|entry| entry.host.is_some());
        if !hosted {
            let redirect = ToCaller::Redirect { incarnation: open.incarnation, place: None };
            // One that has much to read is told when it has read that.
            if known.outgoing.push(told::tell(number, redirect)) {
                known.opens.remove(&number);
            } else {
                known.behind.insert(number);
            }
            return;
        }
        opened.line = Some(line);
        let missed = opened.missed;
        let listener = Listener::Stream { actor: open.actor, peer, open: number };
        self.table.peers.lines.insert(line, listener);
        self.feed(open.actor, Event::Said { line, word: ToHost::Open(open) });
        if missed {
            // The first answer may be the first at all, and says nothing of a call that was said behind `Open`.
            self.feed(open.actor, Event::Said { line, word: ToHost::Open(open) });
            let known = self.table.peers.streams.get_mut(&peer);
            let opened = known.and_then(|known| known.opens.get_mut(&number));
            if let Some(opened) = opened.filter(|opened| opened.line.is_some()) {
                opened.missed = false;
            }
        }
    }

    fn forget_open(&mut self, peer: u64, number: u32) {
        let Some(known) = self.table.peers.streams.get_mut(&peer) else { return };
        known.behind.remove(&number);
        if let Some(line) = known.opens.remove(&number).and_then(|opened| opened.line) {
            self.lose_line(line);
        }
    }

    fn lose_line(&mut self, line: Line) {
        if let Some(listener) = self.table.peers.lines.remove(&line) {
            self.feed_later(listener.actor(), Event::LineLost(line));
        }
    }

    /// The host of an actor is dropped: nobody would answer over its lines any more, so their callers are told to ask the
    /// scheduler where the actor is.
    pub(super) fn refuse_lines_of(&mut self, actor: ActorId) {
        let lines = self.table.peers.lines.iter();
        let its = lines.filter(|(_, listener)| listener.actor() == actor);
        for (line, listener) in its.map(|(line, it)| (*line, it.clone())).collect::<Vec<_>>() {
            self.say(line, not_here());
            self.table.peers.lines.remove(&line);
            let Listener::Stream { peer, open, .. } = listener else { continue };
            let streams = &self.table.peers.streams;
            // One that has much to read is connected anew when it has read that, or told then.
            if !streams.get(&peer).is_some_and(|known| known.behind.contains(&open)) {
                self.forget_open(peer, open);
            }
        }
    }

    /// A stream is over.
    pub(crate) fn dismiss(&mut self, peer: u64) {
        let Some(known) = self.table.peers.streams.remove(&peer) else { return };
        known.outgoing.close();
        for opened in known.opens.into_values() {
            opened.line.into_iter().for_each(|line| self.lose_line(line));
        }
    }

    /// Says something over a line. If the peer has so much to read that there is no room, the line is cut until it has read
    /// that: then the host says again what the caller has not acknowledged.
    pub(super) fn say(&mut self, line: Line, word: ToCaller) {
        let Some(listener) = self.table.peers.lines.get(&line) else { return };
        match listener.clone() {
            Listener::Single { call, .. } => call.hear(word),
            Listener::Stream { peer, open, .. } => {
                let Some(known) = self.table.peers.streams.get_mut(&peer) else { return };
                if known.outgoing.push(told::tell(open, word)) {
                    return;
                }
                known.behind.insert(open);
                if let Some(opened) = known.opens.get_mut(&open) {
                    opened.line = None;
                }
                self.lose_line(line);
            }
        }
    }

    /// A peer has read everything, and there was more.
    pub(super) fn catch_up(&mut self, peer: u64) {
        let Some(known) = self.table.peers.streams.get_mut(&peer) else { return };
        for open in std::mem::take(&mut known.behind) {
            self.connect(peer, open);
        }
    }

    /// Has a call made that somebody waits for who has no stream.
    pub(super) fn call_alone(
        &mut self,
        open: Open,
        call: Arc<bireme_core::actor::call::Call>,
        single: Arc<Single>,
    ) -> Line {
        let line = Line(self.table.peers.number());
        let (actor, incarnation) = (open.actor, open.incarnation);
        let listener = Listener::Single { actor, call: single };
        self.table.peers.lines.insert(line, listener);
        self.feed(actor, Event::Said { line, word: ToHost::Open(open) });
        self.feed(actor, Event::Said { line, word: ToHost::Call { seq: 1, call, incarnation } });
        line
    }

    /// Whoever waited for a call waits no more. The call goes on, and its reply is kept for a while.
    pub(super) fn leave_alone(&mut self, line: Line) {
        self.lose_line(line);
    }

    /// Ends all streams.
    pub(super) fn close_peers(&mut self) {
        self.table.peers.streams.values().for_each(|peer| peer.outgoing.close());
    }
}

/// Said where there is no host of the actor any more.
fn not_here() -> ToCaller {
    let why = "the actor is not hosted here any more: ask the scheduler where it is";
    ToCaller::OpenRefused(Box::new(CallFailure::new(CallCode::Fenced, why)))
}

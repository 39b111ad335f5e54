//! Copies on their way: what a host sends to those that keep one, and what they answer.

use std::collections::BTreeSet;

use bireme_core::actor::copies::{CopyPlace, CopyPlaces};
use bireme_core::actor::place::ActorReport;
use bireme_core::id::{Incarnation, WorkerUid};
use bireme_core::{Span, Time};

use super::{ACTOR, Bug, Item, World};

/// A stream.
#[derive(Debug)]
pub(super) struct Stream {
    host: usize,
    host_life: u64,
    incarnation: Incarnation,
    peer: usize,
    /// The start of the daemon that has heard of it.
    peer_life: Option<u64>,
    pub(super) to: WorkerUid,
    /// When what was said last arrives, each way.
    up: Time,
    down: Time,
    is_broken: bool,
    is_placed: bool,
}

/// Something for a copy.
#[derive(Clone, Debug)]
pub(super) enum Part {
    Hello,
    Records(Vec<u64>),
    Whole(usize),
}

/// What a copy has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kept {
    lsn: usize,
    whole: bool,
}

impl World {
    /// Begins copies in these places.
    pub(super) fn begin_copies(&mut self, at: usize, places: &[CopyPlace]) {
        for place in places {
            self.begin_copy(at, place.worker);
        }
    }

    fn begin_copy(&mut self, at: usize, to: WorkerUid) {
        let now = self.agenda.now();
        // Whoever listens there now, even one with a new disk.
        let peer = self.nodes.iter().position(|node| node.was.contains(&to));
        let Some(life) = self.nodes[at].life.as_mut() else { return };
        let (incarnation, calls) = (life.incarnation, life.calls.clone());
        self.last += 1;
        let number = self.last;
        life.streams.insert(to, number);
        let stream = Stream {
            host: at,
            host_life: self.nodes[at].start,
            incarnation,
            peer: peer.unwrap_or(at),
            peer_life: None,
            to,
            up: now,
            down: now,
            is_broken: false,
            is_placed: false,
        };
        self.streams.insert(number, stream);
        if peer.is_none_or(|peer| peer == at) {
            return self.break_stream(number);
        }
        self.say(number, Part::Hello);
        let (one, two) = calls.split_at(self.rng.place(calls.len() + 1));
        self.say(number, Part::Records(one.to_vec()));
        let whole = Part::Whole(calls.len());
        if self.bug == Some(Bug::WholeTooSoon) {
            self.say(number, whole);
            return self.say(number, Part::Records(two.to_vec()));
        }
        self.say(number, Part::Records(two.to_vec()));
        self.say(number, whole);
    }

    /// Whether two workers hear each other.
    pub(super) fn hears(&self, one: usize, other: usize) -> bool {
        let now = self.agenda.now();
        let cut = self.cuts.get(&(one.min(other), one.max(other)));
        self.nodes[one].up && self.nodes[other].up && cut.is_none_or(|until| *until <= now)
    }

    /// Whether both ends of a stream are what they were, and hear each other.
    fn is_sound(&self, stream: &Stream) -> bool {
        !stream.is_broken
            && self.nodes[stream.host].start == stream.host_life
            && stream.peer_life.is_none_or(|start| self.nodes[stream.peer].start == start)
            && self.hears(stream.host, stream.peer)
    }

    /// How long something is on its way.
    fn takes(&mut self) -> Span {
        if self.rng.chance(2) { self.rng.span(3_000, 8_000_000) } else { self.rng.span(50, 3_000) }
    }

    fn say(&mut self, number: u64, part: Part) {
        let now = self.agenda.now();
        let is_slow = matches!(part, Part::Hello) && self.rng.chance(15);
        let took = if is_slow { self.rng.span(3_000, 30_000_000) } else { self.takes() };
        let Some(stream) = self.streams.get(&number) else { return };
        if !self.is_sound(stream) {
            return self.break_stream(number);
        }
        let stream = self.streams.get_mut(&number).expect("it is there");
        stream.up = stream.up.max(now + took);
        self.agenda.at(stream.up, Item::ToCopy(number, part));
    }

    /// Nothing more arrives over a stream; its host finds out.
    pub(super) fn break_stream(&mut self, number: u64) {
        let found_out = self.rng.span(1_000, 5_000_000);
        let Some(stream) = self.streams.get_mut(&number) else { return };
        if !std::mem::replace(&mut stream.is_broken, true) {
            self.agenda.after(found_out, Item::Broken(number));
        }
    }

    /// A copy hears its host.
    pub(super) fn on_part(&mut self, number: u64, part: Part) {
        let Some(stream) = self.streams.get(&number) else { return };
        if !self.is_sound(stream) {
            return self.break_stream(number);
        }
        let (peer, incarnation) = (stream.peer, stream.incarnation);
        self.trace.line(self.agenda.now(), || format!("stream {number} to {peer}: {part:?}"));
        let (bug, synced, to) = (self.bug, self.synced, stream.to);
        let node = &mut self.nodes[peer];
        if let Part::Hello = part {
            if node.uid != to || !node.disk.begin_copy((incarnation, number), bug) {
                self.seen.fenced += 1;
                return self.break_stream(number);
            }
            if let Some(stream) = self.streams.get_mut(&number) {
                stream.peer_life = Some(node.start);
            }
            if let Some(before) = node.open.replace(number) {
                self.break_stream(before);
            }
            return;
        }
        if node.open != Some(number) {
            self.seen.fenced += 1;
            return self.break_stream(number);
        }
        let stream = self.streams.get_mut(&number).expect("it is there");
        let mut kept = Kept { lsn: 0, whole: stream.is_placed };
        match part {
            Part::Hello => {}
            Part::Records(calls) => {
                let disk = &mut node.disk;
                let place = if stream.is_placed { &mut disk.copy } else { &mut disk.unfinished };
                let Some(directory) = place else { return self.break_stream(number) };
                directory.calls.extend(calls);
                if synced || self.rng.chance(10) {
                    directory.synced = directory.calls.len();
                }
                if stream.is_placed {
                    kept.lsn = directory.calls.len();
                }
            }
            Part::Whole(last) => {
                node.disk.place_copy();
                stream.is_placed = true;
                kept = Kept { lsn: last, whole: true };
            }
        }
        let took = self.takes();
        let Some(stream) = self.streams.get_mut(&number) else { return };
        stream.down = stream.down.max(self.agenda.now() + took);
        self.agenda.at(stream.down, Item::ToHost(number, kept));
    }

    /// A host hears a copy.
    pub(super) fn on_kept(&mut self, number: u64, kept: Kept) -> Result<(), String> {
        let Some(stream) = self.streams.get(&number) else { return Ok(()) };
        let (host, to, is_sound) = (stream.host, stream.to, self.is_sound(stream));
        if !is_sound {
            self.break_stream(number);
            return Ok(());
        }
        let Some(life) = self.life_of(number) else { return Ok(()) };
        let is_news = life.set.kept_there(to, kept.lsn as u64, 0, kept.whole);
        if is_news {
            self.tell_of_copies(host);
        }
        self.go_on(host)
    }

    /// A host has found out that a stream is broken.
    pub(super) fn on_broken(&mut self, number: u64) -> Result<(), String> {
        let bug = self.bug;
        let Some(stream) = self.streams.get(&number) else { return Ok(()) };
        let (host, to) = (stream.host, stream.to);
        let Some(life) = self.life_of(number) else { return Ok(()) };
        life.streams.remove(&to);
        let is_news = life.set.fail(to);
        if bug == Some(Bug::CommitsAlone) {
            let others: BTreeSet<WorkerUid> = life.streams.keys().copied().collect();
            let place = |worker| CopyPlace { worker, addresses: Vec::new() };
            let members = others.into_iter().map(place).collect();
            let version = life.set.told().version;
            life.set.assign(CopyPlaces { version, members, unheard: true });
        }
        if is_news {
            self.seen.struck_off += 1;
            self.tell_of_copies(host);
        }
        self.go_on(host)
    }

    /// The incarnation that a stream is of, as long as it is its stream.
    fn life_of(&mut self, number: u64) -> Option<&mut super::Life> {
        let Stream { host, host_life, incarnation, to, .. } = *self.streams.get(&number)?;
        let node = &mut self.nodes[host];
        let is_it = node.up && node.start == host_life;
        let life = node.life.as_mut().filter(|life| is_it && life.incarnation == incarnation)?;
        (life.streams.get(&to) == Some(&number)).then_some(life)
    }

    /// What was written is sent on.
    pub(super) fn hand_on(&mut self, at: usize, calls: &[u64]) {
        let streams = self.nodes[at].life.iter().flat_map(|life| life.streams.values());
        for number in streams.copied().collect::<Vec<_>>() {
            self.say(number, Part::Records(calls.to_vec()));
        }
    }

    pub(super) fn tell_of_copies(&mut self, at: usize) {
        let Some(life) = &self.nodes[at].life else { return };
        let (incarnation, told) = (life.incarnation, life.set.told());
        self.tell(at, ActorReport::Copied { actor: ACTOR, incarnation, told });
    }
}

//! What is known of other workers, and what is wanted from each.

use std::collections::{BTreeMap, VecDeque};

use bireme_core::id::WorkerId;
use bireme_core::protocol::{Address, Peer};
use bireme_core::{ObjectId, limits};
use smallvec::SmallVec;
use tonic::transport::Channel;

use crate::host;
use crate::rpc::store::adopt::Returns;

/// The peers that can be asked.
#[derive(Debug, Default)]
pub(super) struct Peers {
    known: BTreeMap<WorkerId, Known>,
}

/// An object that is to be fetched.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) object: ObjectId,
    /// In bytes, as far as is known.
    pub(super) size: u64,
    /// Who has it.
    pub(super) holders: SmallVec<[WorkerId; 2]>,
    /// How many of them have been asked, or will not be.
    pub(super) asked: usize,
}

/// A connection to a peer.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) address: Address,
    pub(super) channel: Channel,
    /// It is on this machine and, as far as is known, shares its memory with us.
    pub(super) is_near: bool,
    /// What it has lent.
    pub(super) returns: Returns,
}

#[derive(Debug)]
struct Known {
    addresses: Vec<Address>,
    is_near: bool,
    line: Option<Line>,
    queue: VecDeque<Wanted>,
    /// How many fetches take from the queue.
    fetches: usize,
}

impl Peers {
    /// Takes note of where peers are. Returns what is wanted from those that are gone, or not where they were.
    pub(super) fn know(&mut self, peers: Vec<Peer>) -> Vec<Wanted> {
        let machine = host::machine();
        let mut left = Vec::new();
        for Peer { worker, addresses, machine: its } in peers {
            if addresses.is_empty() {
                left.extend(self.known.remove(&worker).into_iter().flat_map(|known| known.queue));
            } else if self.known.get(&worker).is_none_or(|known| known.addresses != addresses) {
                let is_near = its == machine;
                let (line, queue) = (None, VecDeque::new());
                let known = Known { addresses, is_near, line, queue, fetches: 0 };
                left.extend(self.known.insert(worker, known).into_iter().flat_map(|old| old.queue));
            }
        }
        left
    }

    /// Forgets all. Returns what is wanted.
    pub(super) fn forget(&mut self) -> Vec<Wanted> {
        let known = std::mem::take(&mut self.known);
        known.into_values().flat_map(|known| known.queue).collect()
    }

    /// Queues what is wanted at the next of its holders that is known. Returns the peer if another fetch is to take from
    /// its queue; what is wanted if there is nobody left to ask.
    pub(super) fn queue(&mut self, mut wanted: Wanted) -> Result<Option<WorkerId>, Wanted> {
        while let Some(&peer) = wanted.holders.get(wanted.asked) {
            wanted.asked += 1;
            let Some(known) = self.known.get_mut(&peer) else { continue };
            known.queue.push_back(wanted);
            let more = known.fetches < limits::FETCHES_PER_PEER;
            known.fetches += usize::from(more);
            return Ok(more.then_some(peer));
        }
        Err(wanted)
    }

    /// What the next fetch from a peer is to bring; nothing ends it.
    pub(super) fn take(&mut self, peer: WorkerId) -> Vec<Wanted> {
        let Some(known) = self.known.get_mut(&peer) else { return Vec::new() };
        let mut batch = Vec::new();
        let (mut bytes, mut inline) = (0_u64, 0);
        while batch.len() < limits::FETCH_BATCH
            && bytes < limits::FETCH_BATCH_BYTES
            && inline < limits::FETCH_INLINE_BYTES
            && let Some(wanted) = known.queue.pop_front()
        {
            bytes = bytes.saturating_add(wanted.size);
            inline += if wanted.size < limits::POOL_FILE_BYTES { wanted.size } else { 0 };
            batch.push(wanted);
        }
        if batch.is_empty() {
            known.fetches = known.fetches.saturating_sub(1);
        }
        batch
    }

    /// The connection to a peer, or the addresses to try: none if it is not known.
    pub(super) fn line(&self, peer: WorkerId) -> Result<Line, Vec<Address>> {
        let known = self.known.get(&peer).ok_or_else(Vec::new)?;
        known.line.clone().ok_or_else(|| known.addresses.clone())
    }

    /// Keeps a connection to a peer, if it is still known.
    pub(super) fn connected(
        &mut self,
        peer: WorkerId,
        address: Address,
        channel: Channel,
    ) -> Option<Line> {
        let known = self.known.get_mut(&peer)?;
        let (is_near, returns) = (known.is_near, Returns::default());
        let line = Line { address, channel, is_near, returns };
        known.line = Some(line.clone());
        Some(line)
    }

    /// The connection to a peer is of no use any more.
    pub(super) fn hang_up(&mut self, peer: WorkerId) {
        if let Some(known) = self.known.get_mut(&peer) {
            known.line = None;
        }
    }

    /// A peer shares no memory with us.
    pub(super) fn set_apart(&mut self, peer: WorkerId) {
        if let Some(known) = self.known.get_mut(&peer) {
            known.is_near = false;
            known.line.iter_mut().for_each(|line| line.is_near = false);
        }
    }
}

#[cfg(test)]
mod tests {
    use bireme_core::id::HolderId;
    use smallvec::smallvec;

    use super::*;

    fn peers(numbers: &[u32]) -> Peers {
        let address = crate::config::address("127.0.0.1:1", 1);
        let peer = |n: &u32| Peer {
            worker: WorkerId(*n),
            addresses: vec![address.clone()],
            machine: host::machine(),
        };
        let mut peers = Peers::default();
        assert!(peers.know(numbers.iter().map(peer).collect()).is_empty());
        peers
    }

    fn wanted(n: u64, size: u64) -> Wanted {
        let object = ObjectId::Held { holder: HolderId(1), n };
        Wanted { object, size, holders: smallvec![WorkerId(9), WorkerId(1)], asked: 0 }
    }

    #[test]
    fn what_gathers_is_fetched_together_within_bounds() {
        let mut peers = peers(&[1]);
        for n in 0..1_000 {
            let more = peers.queue(wanted(n, 10)).unwrap().is_some();
            assert_eq!(more, n < limits::FETCHES_PER_PEER as u64);
        }
        assert_eq!(peers.take(WorkerId(1)).len(), limits::FETCH_BATCH);
        let mut peers = self::peers(&[1]);
        for size in [limits::FETCH_BATCH_BYTES - 1, limits::POOL_FILE_BYTES, 1, 1] {
            peers.queue(wanted(size, size)).unwrap();
        }
        assert_eq!(peers.take(WorkerId(1)).len(), 2);
        assert_eq!(peers.take(WorkerId(1)).len(), 2);
        assert_eq!(peers.take(WorkerId(1)).len(), 0);
    }

    #[test]
    fn a_peer_that_goes_leaves_what_it_was_to_give_to_others() {
        let mut peers = peers(&[1]);
        peers.queue(wanted(1, 1)).unwrap();
        let gone = Peer { worker: WorkerId(1), addresses: Vec::new(), machine: String::new() };
        let left = peers.know(vec![gone]).pop().unwrap();
        assert_eq!(left.asked, 2);
        assert!(peers.queue(left).is_err(), "nobody is left to ask");
        assert!(peers.take(WorkerId(1)).is_empty());
    }
}

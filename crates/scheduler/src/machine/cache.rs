//! Bounds what small values take up: beyond the limit the least recently used go, if a worker has them or they can be made
//! again.

use std::collections::VecDeque;

use bireme_core::Value;

use super::Machine;
use super::number::ObjectNo;
use super::object::Small;

/// Values looked at in one step for some that may go.
const LOOK: usize = 256;

/// The small values that are here, oldest first.
#[derive(Debug)]
pub(super) struct Cache {
    limit: u64,
    bytes: u64,
    stamp: u32,
    /// Objects with the stamp they got with their value; entries whose object has another one are dropped when met.
    queue: VecDeque<(ObjectNo, u32)>,
}

impl Cache {
    pub(super) fn new(limit: u64) -> Self {
        Self { limit, bytes: 0, stamp: 0, queue: VecDeque::new() }
    }

    /// Bytes of all small values.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Machine {
    /// Keeps a small value with its object, in place of any it had.
    pub(super) fn keep_small(&mut self, no: ObjectNo, value: Option<Box<Value>>) {
        self.forget_small(no);
        let Some(object) = self.objects.get_mut(no) else { return };
        object.small = Small::new(value);
        if let Small::Here(value) = &object.small {
            self.cache.bytes += value.size;
            self.cache.stamp = self.cache.stamp.wrapping_add(1);
            object.stamp = self.cache.stamp;
            object.used = false;
            self.cache.queue.push_back((no, object.stamp));
        }
    }

    /// Drops the small value of an object.
    pub(super) fn forget_small(&mut self, no: ObjectNo) {
        if let Some(object) = self.objects.get_mut(no) {
            if let Small::Here(value) = &object.small {
                self.cache.bytes -= value.size;
            }
            object.small = Small::Absent;
        }
    }

    /// Drops values until the limit holds, those that were used since they were last met coming round once more. A value
    /// that only the scheduler has stays.
    pub(super) fn trim_cache(&mut self) {
        for _ in 0..LOOK {
            if self.cache.bytes <= self.cache.limit
                && self.cache.queue.len() <= 2 * self.objects.len() + LOOK
            {
                return;
            }
            let Some((no, stamp)) = self.cache.queue.pop_front() else { return };
            let Some(object) = self.objects.get_mut(no).filter(|object| object.stamp == stamp)
            else {
                continue;
            };
            if !matches!(object.small, Small::Here(_)) {
                continue;
            }
            if object.used || object.holders.is_empty() {
                object.used = false;
                self.cache.queue.push_back((no, stamp));
            } else {
                self.forget_small(no);
            }
        }
    }
}

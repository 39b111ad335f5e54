//! Bounds what small values take up: beyond the limit the least recently used go, if a worker has them or they can be made
//! again.

use std::collections::VecDeque;

use bireme_core::Value;

use super::Machine;
use super::number::ObjectNo;

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
        object.set_small(value);
        if let Some(bytes) = object.small_bytes() {
            self.cache.bytes += bytes;
            self.cache.stamp = self.cache.stamp.wrapping_add(1);
            object.stamp = self.cache.stamp;
            object.used = false;
            self.cache.queue.push_back((no, object.stamp));
        }
    }

    /// Drops the small value of an object.
    pub(super) fn forget_small(&mut self, no: ObjectNo) {
        if let Some(object) = self.objects.get_mut(no) {
            self.cache.bytes -= object.small_bytes().unwrap_or_default();
            object.set_small(None);
        }
    }

    /// Drops values until the limit holds, those that were used since they were last met coming round once more. A value
    /// that only the scheduler has stays, and so does every value within the limit: then only entries whose value is gone
    /// leave the queue.
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
            if object.small_bytes().is_none() {
                continue;
            }
            if self.cache.bytes <= self.cache.limit {
                self.cache.queue.push_back((no, stamp));
            } else if object.used || object.holders().is_empty() {
                object.used = false;
                self.cache.queue.push_back((no, stamp));
            } else {
                self.forget_small(no);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use bireme_core::ObjectId;
    use bireme_core::id::{Epoch, SessionId, WorkerId};

    use super::*;
    use crate::machine::Config;
    use crate::machine::object::Object;

    /// A machine that keeps so many bytes of small values.
    fn machine(small_bytes: u64) -> Machine {
        Machine::new(Config { epoch: Epoch(1), seed: 1, first_session: 1, small_bytes })
    }

    /// Keeps a value of four bytes that a worker has too.
    fn keep(machine: &mut Machine, n: u64) -> ObjectNo {
        let mut object = Object::new(ObjectId::Held { holder: SessionId(1).into(), n });
        object.add_holder(WorkerId(1));
        let no = machine.objects.insert(object);
        machine.keep_small(no, Some(Box::new(Value::text("four"))));
        no
    }

    fn is_here(machine: &Machine, no: ObjectNo) -> bool {
        machine.objects.get(no).is_some_and(Object::has_small)
    }

    #[test]
    fn values_that_come_and_go_push_none_out() {
        let mut machine = machine(100);
        let kept = keep(&mut machine, 0);
        for n in 1..10 * LOOK as u64 {
            let passing = keep(&mut machine, n);
            machine.drop_object(passing);
            machine.trim_cache();
        }
        assert!(is_here(&machine, kept));
        assert!(machine.cache.queue.len() <= 2 + LOOK, "{}", machine.cache.queue.len());
    }

    #[test]
    fn beyond_the_limit_the_oldest_go() {
        let mut machine = machine(8);
        let kept: Vec<_> = (0..3).map(|n| keep(&mut machine, n)).collect();
        machine.trim_cache();
        let here: Vec<_> = kept.iter().map(|no| is_here(&machine, *no)).collect();
        assert_eq!(here, [false, true, true]);
    }
}

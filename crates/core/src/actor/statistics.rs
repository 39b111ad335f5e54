//! What is counted of calls.

use std::collections::BTreeMap;

use crate::time::Span;

/// Counts values in buckets that grow with them: the values 0 to 3 have a bucket each; from there on every doubling has four
/// of equal width. A quantile read from it is off by at most a fifth.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Histogram {
    /// How many values.
    pub count: u64,
    /// Their sum.
    pub sum: u64,
    /// The greatest.
    pub max: u64,
    /// How many values fell into each bucket; buckets at the end that would be 0 are left out.
    pub buckets: Vec<u64>,
}

impl Histogram {
    /// Counts a value.
    pub fn add(&mut self, value: u64) {
        self.count += 1;
        self.sum = self.sum.saturating_add(value);
        self.max = self.max.max(value);
        let bucket = bucket_of(value);
        if self.buckets.len() <= bucket {
            self.buckets.resize(bucket + 1, 0);
        }
        if let Some(count) = self.buckets.get_mut(bucket) {
            *count += 1;
        }
    }

    /// Counts what another has counted, too.
    pub fn merge(&mut self, other: &Self) {
        self.count = self.count.saturating_add(other.count);
        self.sum = self.sum.saturating_add(other.sum);
        self.max = self.max.max(other.max);
        if self.buckets.len() < other.buckets.len() {
            self.buckets.resize(other.buckets.len(), 0);
        }
        for (own, more) in self.buckets.iter_mut().zip(&other.buckets) {
            *own = own.saturating_add(*more);
        }
    }

    /// What was counted since it stood so; the greatest value is that of all.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let before = |bucket: usize| earlier.buckets.get(bucket).copied().unwrap_or_default();
        let buckets = self.buckets.iter().enumerate();
        Self {
            count: self.count.saturating_sub(earlier.count),
            sum: self.sum.saturating_sub(earlier.sum),
            max: self.max,
            buckets: buckets.map(|(at, count)| count.saturating_sub(before(at))).collect(),
        }
    }

    /// The least value that so large a part of all values, in thousandths, does not pass; the upper bound of its bucket.
    pub fn quantile(&self, thousandths: u64) -> u64 {
        let wanted = self.count.saturating_mul(thousandths).div_ceil(1_000).max(1);
        let mut seen = 0;
        for (bucket, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return upper_bound(bucket).min(self.max);
            }
        }
        self.max
    }
}

fn bucket_of(value: u64) -> usize {
    if value < 4 {
        return usize::try_from(value).unwrap_or_default();
    }
    let doubling = value.ilog2();
    let quarter = (value >> (doubling - 2)) & 3;
    usize::try_from(u64::from(doubling - 2) * 4 + 4 + quarter).unwrap_or_default()
}

/// The greatest value of a bucket.
fn upper_bound(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < 4 {
        return bucket;
    }
    let (doubling, quarter) = ((bucket - 4) / 4 + 2, (bucket - 4) % 4);
    let width = 1_u64 << (doubling - 2);
    (1_u64 << doubling).saturating_add((quarter + 1) * width - 1)
}

/// Counters of one method.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct MethodStatistics {
    /// Calls that ended.
    pub calls: u64,
    /// Those that ended with an error of the user's code.
    pub user_errors: u64,
    /// Those that ended with a [`CallCode`](super::call::CallCode).
    pub failures: u64,
    /// Calls that run now.
    pub running: u32,
    /// Waiting in the mailbox, in microseconds.
    pub queue_us: Histogram,
    /// Running, in microseconds.
    pub run_us: Histogram,
    /// Sizes of results, in bytes.
    pub reply_bytes: Histogram,
}

impl MethodStatistics {
    /// Counts what another incarnation or actor has counted, too.
    pub fn merge(&mut self, other: &Self) {
        self.calls = self.calls.saturating_add(other.calls);
        self.user_errors = self.user_errors.saturating_add(other.user_errors);
        self.failures = self.failures.saturating_add(other.failures);
        self.running = self.running.saturating_add(other.running);
        self.queue_us.merge(&other.queue_us);
        self.run_us.merge(&other.run_us);
        self.reply_bytes.merge(&other.reply_bytes);
    }

    /// What was counted since it stood so.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            calls: self.calls.saturating_sub(earlier.calls),
            user_errors: self.user_errors.saturating_sub(earlier.user_errors),
            failures: self.failures.saturating_sub(earlier.failures),
            running: self.running,
            queue_us: self.queue_us.since(&earlier.queue_us),
            run_us: self.run_us.since(&earlier.run_us),
            reply_bytes: self.reply_bytes.since(&earlier.reply_bytes),
        }
    }
}

/// Counters of an incarnation of an actor.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ActorStatistics {
    /// One for each method that was called.
    pub methods: BTreeMap<String, MethodStatistics>,
    /// Calls that wait in the mailbox, of all lanes.
    pub mailbox: u64,
    /// How long the oldest of them has waited.
    pub oldest: Span,
    /// Size of the last checkpoint in bytes.
    pub state_bytes: u64,
    /// Checkpoints made.
    pub checkpoints: u64,
    /// How long ago the last checkpoint was made.
    pub checkpoint_age: Span,
    /// How long it took.
    pub checkpoint_took: Span,
    /// Length of the call log, in bytes.
    pub log_bytes: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_falls_into_the_bucket_that_ends_at_or_above_it() {
        for value in (0..10_000).chain([u64::from(u32::MAX), u64::MAX / 3, u64::MAX]) {
            let bucket = bucket_of(value);
            assert!(upper_bound(bucket) >= value, "{value} in {bucket}");
            assert!(bucket == 0 || upper_bound(bucket - 1) < value, "{value} in {bucket}");
        }
    }

    #[test]
    fn what_was_counted_since_and_before_is_all_there_is() {
        let (mut early, mut late) = (Histogram::default(), Histogram::default());
        for value in [1, 5, 900] {
            early.add(value);
            late.add(value);
        }
        late.add(7_000);
        let mut sum = early.clone();
        sum.merge(&late.since(&early));
        assert_eq!(sum, late);
        assert_eq!(late.since(&early).count, 1);
    }

    #[test]
    fn quantiles_are_off_by_a_fifth_at_most() {
        let mut histogram = Histogram::default();
        (1..=1_000).for_each(|value| histogram.add(value));
        assert!((500..=600).contains(&histogram.quantile(500)));
        assert!((990..=1_000).contains(&histogram.quantile(990)));
        assert_eq!(histogram.quantile(1_000), 1_000);
        assert_eq!(Histogram::default().quantile(500), 0);
    }
}

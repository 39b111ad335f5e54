//! What hosts count.

use std::collections::BTreeMap;

use bireme_core::actor::statistics::{ActorStatistics, Histogram, MethodStatistics};
use bireme_core::reason::Refusal;
use bireme_core::{Span, limits};

use crate::convert::field::{Within as _, at_most, name};
use crate::pb;

/// Buckets that a histogram can have.
const BUCKETS: usize = 256;

impl TryFrom<pb::ActorStatistics> for ActorStatistics {
    type Error = Refusal;

    /// The counters alone: whose they are is for whoever asks.
    fn try_from(message: pb::ActorStatistics) -> Result<Self, Refusal> {
        let pb::ActorStatistics {
            actor: _,
            incarnation: _,
            methods: counted,
            mailbox,
            oldest_us,
            state_bytes,
            checkpoints,
            checkpoint_age_us,
            checkpoint_took_us,
            log_bytes,
        } = message;
        let mut methods = BTreeMap::new();
        let counted = at_most(counted, limits::ACTOR_METHODS, "methods")?;
        for (n, one) in counted.into_iter().enumerate() {
            let (method, counters) = method(one).within_item("methods", n)?;
            methods.insert(method, counters);
        }
        Ok(Self {
            methods,
            mailbox,
            oldest: Span(oldest_us),
            state_bytes,
            checkpoints,
            checkpoint_age: Span(checkpoint_age_us),
            checkpoint_took: Span(checkpoint_took_us),
            log_bytes,
        })
    }
}

impl From<ActorStatistics> for pb::ActorStatistics {
    /// Nobody's counters, until an actor is named.
    fn from(statistics: ActorStatistics) -> Self {
        let ActorStatistics {
            methods,
            mailbox,
            oldest,
            state_bytes,
            checkpoints,
            checkpoint_age,
            checkpoint_took,
            log_bytes,
        } = statistics;
        Self {
            actor: None,
            incarnation: 0,
            methods: methods.into_iter().map(method_sent).collect(),
            mailbox,
            oldest_us: oldest.0,
            state_bytes,
            checkpoints,
            checkpoint_age_us: checkpoint_age.0,
            checkpoint_took_us: checkpoint_took.0,
            log_bytes,
        }
    }
}

fn method(message: pb::MethodStatistics) -> Result<(String, MethodStatistics), Refusal> {
    let pb::MethodStatistics {
        method,
        calls,
        user_errors,
        failures,
        running,
        queue_us,
        run_us,
        // Only its process knows, and nobody counts them yet.
        deserialize_us: _,
        serialize_us: _,
        reply_bytes,
    } = message;
    let counters = MethodStatistics {
        calls,
        user_errors,
        failures,
        running,
        queue_us: histogram(queue_us).within("queue_us")?,
        run_us: histogram(run_us).within("run_us")?,
        reply_bytes: histogram(reply_bytes).within("reply_bytes")?,
    };
    Ok((name(method, "method")?, counters))
}

fn method_sent((method, counters): (String, MethodStatistics)) -> pb::MethodStatistics {
    let MethodStatistics { calls, user_errors, failures, running, queue_us, run_us, reply_bytes } =
        counters;
    pb::MethodStatistics {
        method,
        calls,
        user_errors,
        failures,
        running,
        queue_us: Some(queue_us.into()),
        run_us: Some(run_us.into()),
        deserialize_us: None,
        serialize_us: None,
        reply_bytes: Some(reply_bytes.into()),
    }
}

fn histogram(message: Option<pb::Histogram>) -> Result<Histogram, Refusal> {
    let pb::Histogram { count, sum, max, buckets } = message.unwrap_or_default();
    Ok(Histogram { count, sum, max, buckets: at_most(buckets, BUCKETS, "buckets")? })
}

impl From<Histogram> for pb::Histogram {
    fn from(Histogram { count, sum, max, buckets }: Histogram) -> Self {
        Self { count, sum, max, buckets }
    }
}

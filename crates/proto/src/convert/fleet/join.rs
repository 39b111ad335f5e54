//! How a worker joins, and how it is.

use bireme_core::id::{WorkerLife, WorkerUid};
use bireme_core::protocol::{Heartbeat, Join, Joined, PreviousLife, Secret};
use bireme_core::reason::{Reason, Refusal};
use bireme_core::{Span, limits};

use crate::convert::field::{
    at_most, id, id_bytes, list, malformed, missing, name, names, not_yet, optional, required, sent,
};
use crate::pb;

impl TryFrom<pb::JoinFleet> for Join {
    type Error = Refusal;

    fn try_from(message: pb::JoinFleet) -> Result<Self, Refusal> {
        let pb::JoinFleet {
            uid,
            name: text,
            resources,
            labels,
            addresses,
            machine,
            pid,
            functions,
            runtimes,
            topology,
            incarnation,
            previous,
        } = message;
        not_yet(!topology.is_empty(), "topology")?;
        if text.is_empty() {
            return Err(missing("name"));
        }
        Ok(Self {
            uid: id(&uid, WorkerUid::from_slice, "uid")?,
            life: id(&incarnation, WorkerLife::from_slice, "incarnation")?,
            name: name(text, "name")?,
            resources: required(resources, "resources")?,
            labels: sorted_labels(labels)?,
            addresses: list(at_most(addresses, limits::ADDRESSES, "addresses")?, "addresses")?,
            machine: name(machine, "machine")?,
            pid,
            functions: sorted(names(functions, limits::FUNCTIONS, "functions")?),
            runtimes: sorted(names(runtimes, limits::FUNCTIONS, "runtimes")?),
            previous: optional(previous, "previous")?,
        })
    }
}

fn sorted(mut names: Vec<String>) -> Vec<String> {
    names.sort_unstable();
    names.dedup();
    names
}

fn sorted_labels(labels: Vec<pb::Label>) -> Result<Vec<(String, String)>, Refusal> {
    let mut labels: Vec<(String, String)> =
        list(at_most(labels, limits::LABELS, "labels")?, "labels")?;
    labels.sort_unstable();
    if let Some([(key, _), _]) = labels.array_windows().find(|[(one, _), (other, _)]| one == other)
    {
        return Err(malformed("labels", format!("label {key:?} is given twice")));
    }
    Ok(labels)
}

impl From<Join> for pb::JoinFleet {
    fn from(join: Join) -> Self {
        let Join {
            uid,
            life,
            name,
            resources,
            labels,
            addresses,
            machine,
            pid,
            functions,
            runtimes,
            previous,
        } = join;
        Self {
            uid: id_bytes(uid.to_bytes()),
            name,
            resources: Some(resources.into()),
            labels: sent(labels),
            addresses: sent(addresses),
            machine,
            pid,
            functions,
            runtimes,
            topology: Vec::new(),
            incarnation: id_bytes(life.to_bytes()),
            previous: previous.map(Into::into),
        }
    }
}

impl TryFrom<pb::PreviousLife> for PreviousLife {
    type Error = Refusal;

    fn try_from(message: pb::PreviousLife) -> Result<Self, Refusal> {
        let pb::PreviousLife { incarnation, exit, started } = message;
        let mut started: Vec<_> = list(at_most(started, limits::BLACK_BOX, "started")?, "started")?;
        started.sort_unstable();
        started.dedup();
        let life = id(&incarnation, WorkerLife::from_slice, "incarnation")?;
        Ok(Self { life, exit: exit.ok_or_else(|| missing("exit"))?.into(), started })
    }
}

impl From<PreviousLife> for pb::PreviousLife {
    fn from(PreviousLife { life, exit, started }: PreviousLife) -> Self {
        Self {
            incarnation: id_bytes(life.to_bytes()),
            exit: Some(exit.into()),
            started: sent(started),
        }
    }
}

impl TryFrom<pb::Joined> for Joined {
    type Error = Refusal;

    /// A worker has no use for its number as a holder yet.
    fn try_from(message: pb::Joined) -> Result<Self, Refusal> {
        let pb::Joined { worker, heartbeat_us, lost_after_us, inline_bytes, holder: _, token_key } =
            message;
        if heartbeat_us == 0 {
            return Err(missing("heartbeat_us"));
        }
        Ok(Self {
            worker: required(worker, "worker")?,
            heartbeat: Span(heartbeat_us),
            lost_after: Span(lost_after_us),
            inline_bytes,
            token_key: secret(&token_key)?,
        })
    }
}

/// Reads a key; none is no key.
fn secret(bytes: &[u8]) -> Result<Option<Secret>, Refusal> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let message = || format!("{} bytes, a key has 32", bytes.len());
    let refusal = || Refusal::at(Reason::Malformed, "token_key", message());
    bytes.try_into().map(|key| Some(Secret(key))).map_err(|_| refusal())
}

impl From<Joined> for pb::Joined {
    fn from(joined: Joined) -> Self {
        let Joined { worker, heartbeat, lost_after, inline_bytes, token_key } = joined;
        Self {
            worker: Some(worker.into()),
            heartbeat_us: heartbeat.0,
            lost_after_us: lost_after.0,
            inline_bytes,
            holder: 0,
            token_key: token_key
                .map_or_else(bytes::Bytes::new, |key| bytes::Bytes::copy_from_slice(&key.0)),
        }
    }
}

impl From<pb::Heartbeat> for Heartbeat {
    /// The clock sample is for the driver; what actors count is read with [`beats`](super::beats).
    fn from(message: pb::Heartbeat) -> Self {
        let pb::Heartbeat {
            stored_bytes,
            spilled_bytes,
            resident_bytes,
            executors_bytes,
            running,
            queued,
            paused,
            loop_lag_us,
            cpu_percent,
            clock: _,
            actors: _,
        } = message;
        Self {
            stored_bytes,
            spilled_bytes,
            resident_bytes,
            executors_bytes,
            running,
            queued,
            paused,
            loop_lag: Span(loop_lag_us),
            cpu_percent,
        }
    }
}

impl From<Heartbeat> for pb::Heartbeat {
    /// Without a clock sample and without what actors count, which the driver adds.
    fn from(heartbeat: Heartbeat) -> Self {
        let Heartbeat {
            stored_bytes,
            spilled_bytes,
            resident_bytes,
            executors_bytes,
            running,
            queued,
            paused,
            loop_lag,
            cpu_percent,
        } = heartbeat;
        Self {
            stored_bytes,
            spilled_bytes,
            resident_bytes,
            executors_bytes,
            running,
            queued,
            paused,
            loop_lag_us: loop_lag.0,
            cpu_percent,
            clock: None,
            actors: Vec::new(),
        }
    }
}

//! `common.proto`: the words that every other file uses.

mod error;
mod hello;
mod id;
mod value;

use bireme_core::Resources;
use bireme_core::id::SubmissionId;
use bireme_core::protocol::Address;
use bireme_core::reason::{Reason, Refusal};

pub(super) use self::error::error;
pub use self::hello::{Clock, Greeting, PeerLimits};
pub(super) use self::id::{graph, holder_numbers, holders, submission, submission_bytes};
pub(super) use self::value::inline;
use super::field::{malformed, missing};
use crate::pb;

/// A refusal as a peer told it. A reason that this version does not know is `UNSUPPORTED`, and its name stays in the
/// message.
pub fn refusal(reason: &str, field: String, message: String) -> Refusal {
    match Reason::from_name(reason) {
        Some(reason) => Refusal { reason, field, message },
        None => Refusal::at(Reason::Unsupported, field, format!("{reason}: {message}")),
    }
}

impl TryFrom<pb::Refused> for (SubmissionId, Refusal) {
    type Error = Refusal;

    fn try_from(message: pb::Refused) -> Result<Self, Refusal> {
        let pb::Refused { submission_id, reason, field, message } = message;
        Ok((submission(&submission_id)?, refusal(&reason, field, message)))
    }
}

impl From<(SubmissionId, Refusal)> for pb::Refused {
    fn from((submission, refusal): (SubmissionId, Refusal)) -> Self {
        let Refusal { reason, field, message } = refusal;
        let submission_id = submission_bytes(submission);
        Self { submission_id, reason: reason.name().to_owned(), field, message }
    }
}

/// What a task takes: one cpu where nothing is said.
pub(super) fn resources(message: Option<pb::Resources>) -> Result<Resources, Refusal> {
    message.map_or_else(|| Ok(Resources::one_cpu()), TryInto::try_into)
}

/// The other way round.
pub(super) fn resources_sent(resources: Resources) -> Option<pb::Resources> {
    (resources != Resources::one_cpu()).then(|| resources.into())
}

impl TryFrom<pb::Resources> for Resources {
    type Error = Refusal;

    fn try_from(message: pb::Resources) -> Result<Self, Refusal> {
        let pb::Resources { cpu_units, memory_bytes, others } = message;
        let resources = Self::new(cpu_units, memory_bytes);
        if others.is_empty() {
            return Ok(resources);
        }
        let others = others.into_iter().map(|pb::ResourceAmount { name, units }| (name, units));
        resources
            .with_others(others)
            .map_err(|bad| Refusal::at(Reason::ResourceInvalid, "others", bad.to_string()))
    }
}

impl From<Resources> for pb::Resources {
    fn from(resources: Resources) -> Self {
        let (cpu_units, memory_bytes) = (resources.cpu_units, resources.memory_bytes);
        let amount = |(name, units)| pb::ResourceAmount { name, units };
        Self { cpu_units, memory_bytes, others: resources.into_others().map(amount).collect() }
    }
}

impl TryFrom<pb::Address> for Address {
    type Error = Refusal;

    fn try_from(message: pb::Address) -> Result<Self, Refusal> {
        let pb::Address { scheme, host, port, network } = message;
        if !matches!(scheme.as_str(), "http" | "https" | "unix") {
            let message = format!("scheme {scheme:?} is none of http, https and unix");
            return Err(malformed("scheme", message));
        }
        if host.is_empty() {
            return Err(missing("host"));
        }
        let port = u16::try_from(port)
            .map_err(|_| malformed("port", format!("port {port} is above 65535")))?;
        Ok(Self { scheme, host, port, network })
    }
}

impl From<Address> for pb::Address {
    fn from(Address { scheme, host, port, network }: Address) -> Self {
        Self { scheme, host, port: port.into(), network }
    }
}

//! Orders off the wire.

use std::path::Path;
use std::sync::Arc;

use bireme_core::reason::{Reason, Refusal};
use bireme_core::value::PoolFile;
use bireme_core::{AttemptId, Span, Value};
use bireme_proto::pb;
use bireme_proto::pb::executor_order::{Order, Run};
use bireme_proto::pb::executor_report::OrderRefused;

use crate::blobs::Blobs;
use crate::cpus::Cpus;
use crate::desk::Desk;
use crate::runtime::{Attempt, Held, HeldResource, Services};

/// Reads which attempt an order is about.
pub(crate) fn attempt_id(attempt: Option<pb::AttemptId>) -> Result<AttemptId, Refusal> {
    let missing = || Refusal::at(Reason::Malformed, "attempt", "attempt is missing");
    attempt.ok_or_else(missing)?.try_into()
}

/// Reads an attempt that is to be run, and keeps the blobs that come with it. Inputs that the worker gives by reference are
/// not brought here yet; `pool` is where blobs are read from.
pub(crate) fn attempt(
    id: AttemptId,
    run: Run,
    kept: &Blobs,
    pool: &Path,
    (services, desk): (Option<&Arc<Services>>, &Arc<Desk>),
) -> Result<Attempt, Refusal> {
    let Run {
        attempt: _,
        key,
        payload,
        inputs,
        held,
        outputs,
        deadline_us,
        row,
        environment,
        labels,
        traceparent,
        blobs,
        details: _,
        directory,
        output_names: _,
        time_request_us: _,
        gang_rank: _,
        annotations: _,
        room,
    } = run;
    blobs.into_iter().try_for_each(|blob| kept.take(pool, blob))?;
    let outputs = u16::try_from(outputs.max(1))
        .map_err(|_| Refusal::at(Reason::Malformed, "outputs", "outputs is above 65535"))?;
    let inputs = inputs.into_iter().map(|input| Value::try_from(input).map(Arc::new));
    let environment = environment.into_iter();
    Ok(Attempt {
        id,
        key,
        payload,
        row,
        inputs: inputs.collect::<Result<_, _>>()?,
        room: room.into_iter().map(PoolFile::try_from).collect::<Result<_, _>>()?,
        blobs: kept.clone(),
        outputs,
        held: held.map(self::held).unwrap_or_default(),
        deadline: (deadline_us > 0).then_some(Span(deadline_us)),
        environment: environment.map(|one| (one.name, one.value)).collect(),
        directory: (!directory.is_empty()).then(|| directory.into()),
        labels: labels.into_iter().map(|pb::Label { key, value }| (key, value)).collect(),
        traceparent,
        stop: Arc::default(),
        services: services.cloned(),
        cpus: Arc::new(Cpus::new(id, Arc::downgrade(desk))),
    })
}

/// Reads where code of attempts finds the cluster.
pub(crate) fn services(addresses: Vec<pb::Address>, token: String) -> Option<Arc<Services>> {
    let pb::Address { scheme, host, port, network: _ } = addresses.into_iter().next()?;
    let host = if host.contains(':') { format!("[{host}]") } else { host };
    Some(Arc::new(Services { address: format!("{scheme}://{host}:{port}"), token }))
}

/// Reads what an attempt or an actor holds.
pub(crate) fn held(message: pb::HeldResources) -> Held {
    let pb::HeldResources { cpu_units, cpus, memory_bytes, others } = message;
    let others = others.into_iter().map(|other| {
        let pb::HeldResource { name, units, indexes, names } = other;
        HeldResource { name, units, indexes, names }
    });
    Held { cpu_units, cpus, memory_bytes, others: others.collect() }
}

/// What is said of an order that this version does not carry out.
pub(crate) fn refuse(order: Option<Order>) -> OrderRefused {
    let (what, request) = match order {
        Some(Order::DumpStacks(order)) => ("dump_stacks", order.request),
        Some(Order::ProfileStart(_)) => ("profile_start", 0),
        Some(Order::ProfileStop(_)) => ("profile_stop", 0),
        Some(Order::Answer(order)) => ("answer", order.request),
        _ => ("order", 0),
    };
    let message = format!("this executor cannot carry out `{what}`");
    let refusal = Refusal::at(Reason::Unsupported, what, message);
    OrderRefused { request, ..refused(refusal) }
}

/// What is said of an order that makes no sense.
pub(crate) fn refused(Refusal { reason, field, message }: Refusal) -> OrderRefused {
    let reason = reason.name().to_owned();
    let refused = pb::Refused { reason, field, message, ..pb::Refused::default() };
    OrderRefused { refused: Some(refused), ..OrderRefused::default() }
}

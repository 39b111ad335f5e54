//! What the scheduler tells a worker.

use bireme_core::Span;
use bireme_core::graph::Row;
use bireme_core::protocol::{Input, Order, Peer, Start};
use bireme_core::reason::Refusal;
use bytes::Bytes;
use pb::fleet_order::Order as Wire;

use super::actor;
use crate::convert::common::{holder_numbers, holders, resources, resources_sent};
use crate::convert::field::{Within as _, list, no_arm, optional, required, sent, span, us};
use crate::convert::graph::{output_count, runtime, runtime_sent};
use crate::pb;

/// Most objects or attempts that are put into one order. Far more would not fit into one message.
const RUN: usize = 1_024;

/// Writes orders. Releases that follow each other become one, and so do settlements.
pub fn down(orders: Vec<Order>) -> Vec<pb::FleetOrder> {
    let mut messages: Vec<pb::FleetOrder> = Vec::with_capacity(orders.len());
    for order in orders {
        let last = messages.last_mut().and_then(|last| last.order.as_mut());
        match (order, last) {
            (Order::Settle(attempt), Some(Wire::Settle(last))) if last.attempts.len() < RUN => {
                last.attempts.push(attempt.into());
            }
            (Order::Release(object), Some(Wire::Release(last))) if last.objects.len() < RUN => {
                last.objects.push(object.into());
            }
            (order, _) => messages.push(order.into()),
        }
    }
    messages
}

impl From<Order> for pb::FleetOrder {
    fn from(order: Order) -> Self {
        let order = match order {
            Order::Actor(order) => actor::order_sent(order),
            Order::Cancel { attempt, grace } => {
                Wire::Cancel(pb::CancelAttempt { attempt: Some(attempt.into()), grace_us: grace.0 })
            }
            Order::Drain { deadline } => Wire::Drain(pb::Drain { deadline_us: us(deadline) }),
            Order::Gone { object, error } => Wire::InputGone(pb::InputGone {
                object: Some(object.into()),
                error: Some((*error).into()),
            }),
            Order::Peers(peers) => Wire::Peers(pb::WorkerAddresses { workers: sent(peers) }),
            Order::Places(inputs) => Wire::Places(pb::InputPlaces { inputs: sent(inputs) }),
            Order::Release(object) => {
                Wire::Release(pb::ReleaseObjects { objects: vec![object.into()] })
            }
            Order::Replicate(objects) => Wire::Replicate(pb::Replicate { objects: sent(objects) }),
            Order::Retract(attempt) => {
                Wire::Retract(pb::RetractAttempt { attempt: Some(attempt.into()) })
            }
            Order::Settle(attempt) => {
                Wire::Settle(pb::SettleAttempts { attempts: vec![attempt.into()] })
            }
            Order::Start(start) => Wire::Start(start.into()),
            Order::Stop => Wire::Stop(pb::Stop::default()),
        };
        Self { order: Some(order) }
    }
}

/// Reads orders. One that cannot be read is a fault of the scheduler's, and none of the batch is carried out.
pub fn orders(messages: Vec<pb::FleetOrder>) -> Result<Vec<Order>, Refusal> {
    let mut orders = Vec::with_capacity(messages.len());
    for (n, message) in messages.into_iter().enumerate() {
        read(message, &mut orders).within_item("orders", n)?;
    }
    Ok(orders)
}

/// Reads one message, which may be several orders.
fn read(message: pb::FleetOrder, orders: &mut Vec<Order>) -> Result<(), Refusal> {
    orders.push(match message.order.ok_or_else(|| no_arm("order"))? {
        Wire::Start(start) => Order::Start(start.try_into().within("start")?),
        Wire::Release(pb::ReleaseObjects { objects }) => {
            let objects = list(objects, "objects").within("release")?;
            orders.extend(objects.into_iter().map(Order::Release));
            return Ok(());
        }
        Wire::Retract(pb::RetractAttempt { attempt }) => {
            Order::Retract(required(attempt, "attempt").within("retract")?)
        }
        Wire::Cancel(pb::CancelAttempt { attempt, grace_us }) => Order::Cancel {
            attempt: required(attempt, "attempt").within("cancel")?,
            grace: Span(grace_us),
        },
        Wire::Settle(pb::SettleAttempts { attempts }) => {
            let attempts = list(attempts, "attempts").within("settle")?;
            orders.extend(attempts.into_iter().map(Order::Settle));
            return Ok(());
        }
        Wire::Places(pb::InputPlaces { inputs }) => {
            Order::Places(list(inputs, "inputs").within("places")?)
        }
        Wire::Replicate(pb::Replicate { objects }) => {
            Order::Replicate(list(objects, "objects").within("replicate")?)
        }
        Wire::Peers(pb::WorkerAddresses { workers }) => {
            Order::Peers(list(workers, "workers").within("peers")?)
        }
        Wire::Drain(pb::Drain { deadline_us }) => Order::Drain { deadline: span(deadline_us) },
        Wire::Stop(pb::Stop { reason: _ }) => Order::Stop,
        Wire::HostActor(host) => Order::Actor(actor::read_host(host).within("host_actor")?),
        Wire::EndActor(end) => Order::Actor(actor::read_end(end).within("end_actor")?),
        Wire::CheckpointActor(checkpoint) => {
            Order::Actor(actor::read_checkpoint(checkpoint).within("checkpoint_actor")?)
        }
        Wire::CopyActor(copy) => Order::Actor(actor::read_copy(copy).within("copy_actor")?),
        Wire::MoveActor(move_) => Order::Actor(actor::read_move(move_).within("move_actor")?),
        Wire::InputGone(pb::InputGone { object, error }) => Order::Gone {
            object: required(object, "object").within("input_gone")?,
            error: Box::new(required(error, "error").within("input_gone")?),
        },
        Wire::SettleActor(settle) => {
            Order::Actor(actor::read_settle(settle).within("settle_actor")?)
        }
    });
    Ok(())
}

impl TryFrom<pb::StartAttempt> for Start {
    type Error = Refusal;

    fn try_from(message: pb::StartAttempt) -> Result<Self, Refusal> {
        let pb::StartAttempt {
            attempt,
            payload,
            inputs: from,
            resources: needs,
            outputs,
            key,
            timeout_us,
            row,
            rank,
            ahead,
            runtime: kind,
            row_number,
        } = message;
        let mut inputs = smallvec::SmallVec::with_capacity(from.len());
        for (n, input) in from.into_iter().enumerate() {
            inputs.push(input.try_into().within_item("inputs", n)?);
        }
        Ok(Self {
            attempt: required(attempt, "attempt")?,
            payload,
            inputs,
            resources: resources(needs).within("resources")?,
            outputs: output_count(outputs)?,
            key,
            timeout: span(timeout_us),
            row: match row_number {
                Some(number) => Row::Number(number),
                None if row.is_empty() => Row::None,
                None => Row::Value(row),
            },
            rank,
            ahead,
            runtime: runtime(kind).within("runtime")?,
        })
    }
}

impl From<Start> for pb::StartAttempt {
    fn from(start: Start) -> Self {
        let Start {
            attempt,
            payload,
            inputs,
            resources,
            outputs,
            key,
            timeout,
            row,
            rank,
            ahead,
            runtime,
        } = start;
        let (row, row_number) = match row {
            Row::None => (Bytes::new(), None),
            Row::Number(number) => (Bytes::new(), Some(number)),
            Row::Value(value) => (value, None),
        };
        Self {
            attempt: Some(attempt.into()),
            payload,
            inputs: sent(inputs),
            resources: resources_sent(resources),
            outputs: if outputs == 1 { 0 } else { outputs.into() },
            key,
            timeout_us: us(timeout),
            row,
            rank,
            ahead,
            runtime: runtime_sent(runtime),
            row_number,
        }
    }
}

impl TryFrom<pb::Input> for Input {
    type Error = Refusal;

    fn try_from(message: pb::Input) -> Result<Self, Refusal> {
        let pb::Input { object, holders: numbers, size, value, made_by } = message;
        Ok(Self {
            object: required(object, "object")?,
            holders: holders(numbers),
            size,
            value: optional(value, "value")?.map(Box::new),
            made_by: made_by.map(Into::into),
        })
    }
}

impl From<Input> for pb::Input {
    fn from(Input { object, holders, size, value, made_by }: Input) -> Self {
        Self {
            object: Some(object.into()),
            holders: holder_numbers(holders),
            size,
            value: value.map(|value| (*value).into()),
            made_by: made_by.map(Into::into),
        }
    }
}

impl TryFrom<pb::WorkerAddress> for Peer {
    type Error = Refusal;

    fn try_from(message: pb::WorkerAddress) -> Result<Self, Refusal> {
        let pb::WorkerAddress { worker, addresses, machine } = message;
        let worker = required(worker, "worker")?;
        Ok(Self { worker, addresses: list(addresses, "addresses")?, machine })
    }
}

impl From<Peer> for pb::WorkerAddress {
    fn from(Peer { worker, addresses, machine }: Peer) -> Self {
        Self { worker: Some(worker.into()), addresses: sent(addresses), machine }
    }
}

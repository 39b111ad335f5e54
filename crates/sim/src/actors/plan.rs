//! What a seed stands for: the actor, its callers and what they ask, and what goes wrong when.

use std::sync::Arc;

use bireme_core::actor::call::{Call, ReplyKind};
use bireme_core::actor::wire::OnUnknown;
use bireme_core::actor::{
    ActorSpec, CheckpointPolicy, Delivery, Journal, LaneSpec, MethodSpec, OnFull, OnSchedulerLoss,
};
use bireme_core::graph::Runtime;
use bireme_core::id::{ActorId, HolderId};
use bireme_core::object::ObjectId;
use bireme_core::{Span, Time, limits};

use super::faults::Fault;
use crate::rng::Rng;

pub(super) const ACTOR: ActorId = ActorId(7);
/// Every call has ended by then, if nobody goes away for good.
pub(super) const HORIZON: Time = Time(120_000_000);
/// How long a host may go on without the scheduler.
pub(super) const LEASE: Span = Span::secs(1);

/// A seed, spelled out.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) spec: Arc<ActorSpec>,
    pub(super) users: usize,
    pub(super) workers: usize,
    /// Calls that each user makes.
    pub(super) calls: u64,
    pub(super) on_unknown: OnUnknown,
    pub(super) faults: Vec<(Time, Fault)>,
    /// How many there are.
    pub(super) trouble: u64,
    /// Every call has ended by then.
    pub(super) horizon: Time,
    /// Calls that kill the process each time.
    pub(super) bombs: bool,
    /// The actor ends itself at some call.
    pub(super) exits: bool,
    /// Checkpoints cannot be had.
    pub(super) stateless: bool,
    /// Of 100 calls that were answered and are played again, how many do otherwise; without, none of any does.
    pub(super) lies: Option<u64>,
    /// Calls that each user's caller keeps, at most.
    pub(super) most: usize,
    /// Of 100 checkpoints, how many fail.
    pub(super) bad_checkpoints: u64,
}

impl Plan {
    pub(super) fn new(rng: &mut Rng, faults: bool) -> Self {
        let kinds = [Delivery::AtMostOnce, Delivery::AtLeastOnce, Delivery::EffectivelyOnce];
        let delivery = *rng.pick(&kinds);
        let workers = rng.place(2) + 2;
        let mut spec = Self::spec(rng, delivery, faults);
        let mut trouble = if faults { rng.between(1, 14) } else { 0 };
        let once = delivery == Delivery::EffectivelyOnce;
        let lies = (faults && once && rng.chance(25)).then(|| *rng.pick(&[0, 0, 1, 20]));
        if lies.is_some() {
            // Much is played again, and often, so that some of it was never answered.
            spec.checkpoint = CheckpointPolicy::default();
            trouble += 10;
        }
        let calls = rng.between(5, 40);
        let faults_at = |rng: &mut Rng| Time(rng.between(1_000, 10_000 + calls * 15_000));
        let fault = |rng: &mut Rng| {
            if lies.is_some() && rng.chance(60) {
                Fault::KillDaemon(rng.place(workers))
            } else {
                Fault::any(rng, workers)
            }
        };
        Self {
            users: rng.place(4) + 1,
            workers,
            calls,
            on_unknown: if rng.chance(25) { OnUnknown::Stop } else { OnUnknown::Continue },
            trouble,
            faults: (0..trouble).map(|_| (faults_at(rng), fault(rng))).collect(),
            horizon: HORIZON,
            bombs: faults && rng.chance(30),
            exits: rng.chance(7),
            stateless: delivery != Delivery::EffectivelyOnce && rng.chance(30),
            bad_checkpoints: if faults && rng.chance(30) { rng.between(5, 40) } else { 0 },
            lies,
            most: if rng.chance(10) { rng.place(6) + 3 } else { limits::CALLS_PENDING },
            spec: Arc::new(spec),
        }
    }

    /// Whether a host stops that does not hear from the scheduler.
    pub(super) fn stops(&self) -> bool {
        self.spec.on_scheduler_loss == OnSchedulerLoss::Stop
    }

    /// Whether calls may run beside each other.
    pub(super) fn runs_beside(&self) -> bool {
        self.spec.lanes.iter().map(|lane| lane.concurrency).sum::<u32>() > 1
    }

    fn spec(rng: &mut Rng, delivery: Delivery, faults: bool) -> ActorSpec {
        let mut spec = ActorSpec::new("Ledger", Runtime::Native, "");
        spec.delivery = delivery;
        spec.restart.max_restarts = rng.chance(85).then_some(1_000).or(Some(2));
        spec.restart.backoff = rng.span(0, 20_000);
        spec.reentrant = rng.chance(25);
        spec.lease = LEASE;
        let stops = delivery == Delivery::EffectivelyOnce || rng.chance(50);
        spec.on_scheduler_loss =
            if stops { OnSchedulerLoss::Stop } else { OnSchedulerLoss::Continue };
        spec.lanes = vec![LaneSpec { name: "work".to_owned(), concurrency: rng.small(1, 2) }];
        if rng.chance(40) {
            spec.lanes.push(LaneSpec { name: "look".to_owned(), concurrency: rng.small(1, 3) });
        }
        if rng.chance(40) {
            spec.mailbox.calls = rng.small(2, 12);
            spec.mailbox.on_full = *rng.pick(&[OnFull::Wait, OnFull::Refuse]);
        }
        if rng.chance(10) {
            spec.mailbox.bytes = 600;
        }
        if rng.chance(60) {
            spec.checkpoint.every_calls = rng.between(3, 20);
        }
        if rng.chance(30) {
            spec.checkpoint.every = rng.span(5_000, 500_000);
        }
        spec.caller_ttl = (faults && rng.chance(15)).then_some(Span::millis(300));
        let weak = |method: &str, delivery, journal| MethodSpec {
            method: method.to_owned(),
            lane: 0,
            delivery,
            journal,
        };
        spec.methods = vec![
            weak("peek", Some(Delivery::AtMostOnce), Journal::Call),
            weak("odd", None, Journal::Result),
        ];
        spec
    }

    /// What a user asks next.
    pub(super) fn call(&self, rng: &mut Rng) -> Call {
        let methods = [
            "add",
            "add",
            "add",
            "add",
            "add",
            "peek",
            "odd",
            "items",
            "fail",
            "slow",
            "missing",
            "badargs",
            "badresult",
            "nest",
            "nest",
            "stored",
        ];
        let mut method = *rng.pick(&methods);
        if method == "nest" && self.spec.delivery == Delivery::EffectivelyOnce {
            method = "add";
        }
        if self.bombs && rng.chance(4) {
            method = "bomb";
        }
        if self.exits && rng.chance(2) {
            method = "exit";
        }
        let lanes = self.spec.lanes.len() as u64;
        let lane = u32::try_from(rng.below(lanes)).unwrap_or_default();
        let needs = rng.chance(6);
        let object = ObjectId::Held { holder: HolderId(1), n: rng.bits() };
        Call {
            method: method.to_owned(),
            lane: (lanes > 1 && rng.chance(50)).then_some(lane),
            inputs: if needs { [object].into_iter().collect() } else { [].into_iter().collect() },
            reply: match method {
                "items" => ReplyKind::Stream,
                "stored" => ReplyKind::Store,
                _ if rng.chance(10) => ReplyKind::None,
                _ => ReplyKind::Value,
            },
            deadline: rng.chance(6).then(|| rng.span(500, 400_000)),
            receipt: rng.chance(10),
            unordered: rng.chance(4),
            ..Call::default()
        }
    }
}

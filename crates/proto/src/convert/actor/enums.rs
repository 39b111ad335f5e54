//! Enums of `actor.proto`.

use bireme_core::actor::call::{CallCode, ReplyKind};
use bireme_core::actor::place::ActorState;
use bireme_core::actor::wire::OnUnknown;
use bireme_core::actor::{Delivery, Durability, Isolation, Journal, OnFull, OnSchedulerLoss};
use bireme_core::reason::Refusal;

use crate::convert::enums::{Twin, commanded, twins};
use crate::pb;

twins! { ActorState = None, Waiting Starting Alive Restarting Moving Dead }
twins! {
    CallCode = None,
    NotRun Unknown Poisoned Gone Deadline Cancelled UnserializableArgs UnserializableResult NoSuchMethod MailboxFull Fenced
    Deadlock ArgumentFailed ReplayDiverged
}
twins! { Delivery = Some(Self::AtMostOnce), AtMostOnce AtLeastOnce EffectivelyOnce }
twins! { Durability = Some(Self::Process), Process Disk }
twins! { Isolation = Some(Self::Process), Process Shared InProcess }
twins! { Journal = Some(Self::Call), Call Result }
twins! { OnFull = Some(Self::Wait), Wait Refuse }
// What is left open depends on what the actor promises.
twins! { OnSchedulerLoss = None, Continue Stop }
twins! { OnUnknown = Some(Self::Continue), Continue Stop }
twins! { ReplyKind = Some(Self::Value), Value Store None Stream }

/// What a method or a call promises, where that is not what its actor does.
pub(super) fn weaker(number: i32) -> Result<Option<Delivery>, Refusal> {
    if number == 0 { Ok(None) } else { commanded(number, "delivery").map(Some) }
}

//! Actors: what they are, what callers and hosts say to each other, and what of it is refused.

mod samples;

use bireme_core::actor::call::{CallCode, CallFailure, CallId, CallerId, Ending, Outcome};
use bireme_core::actor::place::{ActorPlace, ActorState};
use bireme_core::actor::statistics::ActorStatistics;
use bireme_core::actor::wire::{ToCaller, ToHost};
use bireme_core::actor::{
    ActorName, ActorSpec, Delivery, OnSchedulerLoss, RestartPolicy, Selector,
};
use bireme_core::reason::Reason;
use pb::caller_message::{self, Kind};
use pb::host_message;

use super::*;
use crate::convert::actor::{ending, said, told};

fn refused<T: std::fmt::Debug>(result: Result<T, Refusal>, reason: Reason, field: &str) {
    let refusal = result.unwrap_err();
    assert_eq!((refusal.reason, refusal.field.as_str()), (reason, field), "{refusal}");
}

fn spec(spoil: impl FnOnce(&mut pb::ActorSpec)) -> Result<ActorSpec, Refusal> {
    let mut message = samples::spec().into();
    spoil(&mut message);
    message.try_into()
}

#[test]
fn names_and_ids_arrive_as_they_were() {
    samples::callers().into_iter().for_each(same::<pb::CallerId, CallerId>);
    same::<pb::CallId, CallId>(samples::call_id());
    same::<pb::ActorSelector, Selector>(Selector::Actor(samples::actor()));
    same::<pb::ActorSelector, Selector>(Selector::Name(samples::name()));
    let slash = pb::ActorName { namespace: "a/b".into(), name: "c".into() };
    refused(ActorName::try_from(slash), Reason::Malformed, "namespace");
    let nameless = pb::ActorName { namespace: "a".into(), name: String::new() };
    refused(ActorName::try_from(nameless), Reason::Malformed, "name");
    refused(Selector::try_from(pb::ActorSelector::default()), Reason::Unsupported, "by");
    refused(CallerId::try_from(pb::CallerId::default()), Reason::Unsupported, "who");
}

#[test]
fn specs_arrive_as_they_were() {
    same::<pb::ActorSpec, ActorSpec>(samples::spec());
    let runtime = bireme_core::graph::Runtime::Native;
    same::<pb::ActorSpec, ActorSpec>(ActorSpec::new("Counter", runtime, "payload"));
    same::<pb::RestartPolicy, RestartPolicy>(RestartPolicy {
        max_restarts: None,
        ..RestartPolicy::default()
    });
}

#[test]
fn a_spec_that_says_nothing_is_an_actor_with_nothing_special_about_it() {
    let spec = ActorSpec::try_from(pb::ActorSpec::default());
    let runtime = bireme_core::graph::Runtime::Native;
    assert_eq!(spec, Ok(ActorSpec::new("", runtime, "")));
}

#[test]
fn an_actor_that_promises_more_stops_when_its_lease_ends() {
    let open = |delivery: Delivery| {
        let delivery = pb::Delivery::from(delivery).into();
        ActorSpec::try_from(pb::ActorSpec { delivery, ..Default::default() })
    };
    let loss = |delivery| open(delivery).map(|spec| spec.on_scheduler_loss);
    assert_eq!(loss(Delivery::EffectivelyOnce), Ok(OnSchedulerLoss::Stop));
    assert_eq!(loss(Delivery::AtLeastOnce), Ok(OnSchedulerLoss::Continue));
    let goes_on = spec(|spec| spec.on_scheduler_loss = pb::OnSchedulerLoss::Continue.into());
    refused(goes_on, Reason::Malformed, "on_scheduler_loss");
}

fn zero() -> pb::object_id::Producer {
    pb::object_id::Producer::Held(pb::object_id::Held { holder: 0, n: 1 })
}

#[test]
fn specs_that_no_actor_can_have_are_refused() {
    let bad = |spoil: fn(&mut pb::ActorSpec), field: &str| {
        refused(spec(spoil), Reason::Malformed, field);
    };
    bad(|spec| spec.lanes[1].name.clear(), "lanes.name");
    bad(|spec| spec.lanes[1].concurrency = limits::LANE_CONCURRENCY + 1, "lanes.concurrency");
    bad(|spec| spec.lanes = vec![pb::LaneSpec::default(); limits::ACTOR_LANES + 1], "lanes");
    bad(|spec| spec.methods[0].lane = 2, "methods.lane");
    bad(|spec| spec.delivery = pb::Delivery::AtMostOnce.into(), "methods.delivery");
    bad(|spec| spec.isolation = pb::Isolation::InProcess.into(), "isolation");
    bad(|spec| spec.peers = limits::ACTOR_PEERS + 1, "peers");
    bad(|spec| spec.payload = vec![0; limits::PAYLOAD_BYTES + 1].into(), "payload");
    bad(|spec| spec.class_name = "n".repeat(limits::NAME_BYTES + 1), "class_name");
    bad(|spec| spec.environment[0].name = "A=B".into(), "environment");
    bad(|spec| spec.inputs[0] = pb::ObjectId { producer: Some(zero()) }, "inputs[0].held.holder");
}

#[test]
fn what_a_spec_asks_for_and_nobody_can_do_yet_is_refused() {
    let bad = |spoil: fn(&mut pb::ActorSpec), field: &str| {
        refused(spec(spoil), Reason::Unsupported, field);
    };
    bad(|spec| spec.durable_uri = "s3://b".into(), "durable_uri");
    bad(|spec| spec.gang = "g".into(), "gang");
    bad(|spec| spec.delivery = 99, "delivery");
    bad(|spec| spec.isolation = 99, "isolation");
    bad(|spec| spec.methods[0].journal = 99, "methods[0].journal");
    bad(|spec| spec.restart.as_mut().unwrap().retry_on = vec![1], "restart.retry_on");
}

#[test]
fn what_a_caller_says_is_what_its_host_hears() {
    let words = samples::said();
    for word in words {
        let message = over(said::say(7, word.clone()));
        let (open, heard) = said::heard(message).unwrap();
        assert_eq!((open, heard.as_slice()), (7, [word].as_slice()));
    }
}

#[test]
fn calls_and_items_may_be_acknowledged_at_once() {
    let ack = caller_message::Ack { open: 3, processed_up_to: 9, seq: 10, items_up_to: 4 };
    let (_, words) = said::heard(pb::CallerMessage { kind: Some(Kind::Ack(ack)) }).unwrap();
    let (calls, items) =
        (ToHost::Ack { processed_up_to: 9 }, ToHost::AckItems { seq: 10, up_to: 4 });
    assert_eq!(words.as_slice(), [calls, items]);
}

#[test]
fn a_call_that_cannot_be_read_is_named_so_that_its_number_can_be_skipped() {
    let bad = |spoil: &dyn Fn(&mut caller_message::Call), reason, field: &str| {
        let mut message = said::say(7, samples::call(5));
        let Some(Kind::Call(call)) = message.kind.as_mut() else { panic!("{message:?}") };
        spoil(call);
        let misheard = said::heard(message).unwrap_err();
        assert_eq!((misheard.open, misheard.seq), (7, Some(5)), "{}", misheard.refusal);
        refused(Err::<(), _>(misheard.refusal), reason, field);
    };
    let large = vec![0; limits::MESSAGE_BYTES];
    bad(&|call| call.reply = 99, Reason::Unsupported, "call.reply");
    bad(&|call| call.delivery = 99, Reason::Unsupported, "call.delivery");
    bad(&|call| call.arguments = large.clone().into(), Reason::Malformed, "call.arguments");
    bad(&|call| call.method = "m".repeat(300), Reason::Malformed, "call.method");
    bad(
        &|call| call.result = Some(super::samples::output().into()),
        Reason::Malformed,
        "call.result",
    );
    let longer = limits::CALL_CHAIN + 1;
    bad(&|call| call.chain = vec![pb::CallId::default(); longer], Reason::Malformed, "call.chain");
    let misheard = said::heard(pb::CallerMessage::default()).unwrap_err();
    assert_eq!((misheard.open, misheard.refusal.reason), (0, Reason::Unsupported));
}

#[test]
fn what_a_host_tells_is_what_its_caller_hears() {
    let words: Vec<_> = samples::told().into_iter().map(|word| (7, word)).collect();
    let mut sent: Vec<_> =
        words.iter().cloned().map(|(open, word)| over(told::tell(open, word))).collect();
    let refusal = Refusal::at(Reason::Malformed, "messages[1].call", "no such thing");
    sent.push(told::refuse(refusal.clone()));
    let heard = told::heard(sent).unwrap();
    assert_eq!(heard, told::Heard { words, refusals: vec![refusal], unknown: 0 });
}

/// What a caller makes of one message of a host.
fn told(kind: host_message::Kind) -> (ToCaller, usize) {
    let heard = told::heard(vec![pb::HostMessage { kind: Some(kind) }]).unwrap();
    let [(1, word)] = heard.words.as_slice() else { panic!("{heard:?}") };
    (word.clone(), heard.unknown)
}

#[test]
fn a_call_ends_although_nobody_here_reads_how() {
    let code = |outcome| {
        let reply =
            host_message::Reply { open: 1, seq: 1, outcome, ..host_message::Reply::default() };
        let (ToCaller::Reply { ending, .. }, 1) = told(host_message::Kind::Reply(reply)) else {
            panic!("a reply, and one part passed over")
        };
        ending.outcome.code()
    };
    let outcome = |outcome| Some(pb::CallOutcome { outcome: Some(outcome) });
    let value = pb::Value { codec: 99, ..Value::raw("x").into() };
    let later = pb::CallFailure { code: 99, ..CallFailure::new(CallCode::Gone, "").into() };
    let unreadable = Some(CallCode::UnserializableResult);
    assert_eq!(code(None), Some(CallCode::Unknown));
    assert_eq!(code(outcome(pb::call_outcome::Outcome::Value(value))), unreadable);
    let failure = pb::call_outcome::Outcome::Failure(Box::new(later));
    assert_eq!(code(outcome(failure)), Some(CallCode::Unknown));
}

#[test]
fn a_promise_that_nobody_here_knows_is_the_weakest() {
    let opened = host_message::Opened {
        open: 1,
        next_seq: 1,
        incarnation: 3,
        delivery: 99,
        ..Default::default()
    };
    let (ToCaller::Opened(opened), 1) = told(host_message::Kind::Opened(opened)) else {
        panic!("opened, and one part passed over")
    };
    assert_eq!(opened.delivery, Delivery::AtMostOnce);
    assert_eq!(opened.remembers_from, opened.incarnation);
    let later = pb::HostMessage::default();
    assert_eq!(told::heard(vec![later]).map(|heard| heard.unknown), Ok(1));
}

#[test]
fn places_arrive_as_they_were_and_an_unknown_state_asks_again() {
    same::<pb::ActorPlace, ActorPlace>(samples::place());
    let later = pb::ActorPlace { state: 99, ..samples::place().into() };
    assert_eq!(ActorPlace::try_from(later).map(|place| place.state), Ok(ActorState::Waiting));
}

#[test]
fn counters_arrive_as_they_were() {
    same::<pb::ActorStatistics, ActorStatistics>(samples::statistics());
    let mut many = pb::ActorStatistics::from(samples::statistics());
    many.methods[0].run_us.as_mut().unwrap().buckets = vec![1; 300];
    refused(ActorStatistics::try_from(many), Reason::Malformed, "methods[0].run_us.buckets");
}

#[test]
fn a_call_made_on_its_own_ends_as_any_other() {
    let made = Ending { lsn: 0, ..samples::ending(Outcome::Done { items: 3 }) };
    assert_eq!(ending(over(made.clone().into())), Ok(Some(made)));
    let pending = pb::CallResponse { pending: true, ..pb::CallResponse::default() };
    assert_eq!(ending(pending), Ok(None));
}

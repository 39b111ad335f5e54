//! Actors of a registry, through what an executor does with them.

use std::sync::Arc;

use bireme_core::actor::ActorSpec;
use bireme_core::actor::call::ReplyKind;
use bireme_core::graph::Runtime;
use bireme_core::id::Incarnation;
use bireme_core::{ActorId, ErrorClass};
use bireme_executor::{Actor as Hosted, Actors as _, Blobs, Call, CallEnd, Creation, Held, Items};
use bireme_proto::pb;
use bytes::Bytes;
use prost::Message as _;

use super::*;
use crate::registry::{Msgpack, Registry};
use crate::rpc::payload::make;

struct Counter(i64);

impl Actor for Counter {
    fn create(arguments: &Arguments<'_>) -> Result<Self, Failure> {
        let from = arguments.get(0)?;
        if from < 0 { Err("it counts up only".into()) } else { Ok(Self(from)) }
    }

    fn methods(methods: &mut Methods<Self>) {
        methods.method("add", |this: &mut Self, by: i64| {
            this.0 += by;
            this.0
        });
        methods.shared("get", |this: &Self| this.0);
        methods.shared("of", |this: &Self, call: &CallContext<'_>, more: Vec<i64>| {
            format!("{} {} {}", this.0, more.len(), call.id().is_some())
        });
        methods.shared("send", |_: &Self, call: &CallContext<'_>| call.send(1_i64));
        methods.shared("exit", |this: &Self, call: &CallContext<'_>| {
            call.exit();
            this.0
        });
        methods.method("break", |this: &mut Self| {
            this.0 = 7;
            assert!(this.0 < 0, "broken");
        });
        methods.asynchronous("later", async |this: &mut Self, by: i64| {
            tokio::task::yield_now().await;
            this.0 += by;
            Ok::<_, Failure>(this.0)
        });
        methods.checkpoint(|this| this.0, |count| Ok(Self(count)));
    }
}

/// Reads only, and keeps nothing.
struct Mute;

impl Actor for Mute {
    fn create(_: &Arguments<'_>) -> Result<Self, Failure> {
        Ok(Self)
    }

    fn methods(methods: &mut Methods<Self>) {
        methods.shared("nothing", |_: &Self| ());
    }
}

pub(crate) fn arg(value: impl IntoValue) -> pb::Arg {
    make::value(value.into_value().unwrap())
}

pub(crate) fn creation(class: &str, args: Vec<pb::Arg>) -> Creation {
    Creation {
        actor: ActorId(1),
        incarnation: Incarnation(1),
        spec: ActorSpec::new(class, Runtime::Native, make::native(class, args)),
        inputs: vec![Arc::new(9_i64.into_value().unwrap())],
        blobs: Blobs::default(),
        held: Held::default(),
        restored: None,
        traceparent: String::new(),
        services: None,
    }
}

fn create(creation: &Creation) -> Result<Box<dyn Hosted>, Box<TaskError>> {
    let registry = Registry::default().actor::<Counter>("Counter").actor::<Mute>("Mute");
    NativeActors(registry).create(creation)
}

fn counter(from: i64) -> Box<dyn Hosted> {
    create(&creation("Counter", vec![arg(from)])).unwrap()
}

pub(crate) fn call(method: &str, args: Vec<pb::Arg>) -> Call {
    let arguments = pb::CallArguments { args, named_args: Vec::new() };
    Call {
        actor: ActorId(1),
        number: 1,
        method: method.to_owned(),
        arguments: arguments.encode_to_vec().into(),
        inputs: vec![Arc::new(2_i64.into_value().unwrap())],
        lane: 0,
        reply: ReplyKind::Value,
        deadline: None,
        replay: false,
        lsn: 0,
        left_out: 0,
        traceparent: String::new(),
        id: None,
        chain: Vec::new(),
        stop: Arc::default(),
        items: Items::default(),
    }
}

fn returned(actor: &dyn Hosted, method: &str, args: Vec<pb::Arg>) -> Value {
    match actor.call(&call(method, args)) {
        CallEnd::Returned(value) => value,
        other => panic!("{other:?}"),
    }
}

fn failed(actor: &dyn Hosted, call: &Call) -> Box<TaskError> {
    match actor.call(call) {
        CallEnd::Failed(error) => error,
        other => panic!("{other:?}"),
    }
}

fn count(count: i64) -> Value {
    count.into_value().unwrap()
}

#[test]
fn methods_are_called_by_name_with_typed_arguments() {
    let actor = counter(3);
    assert_eq!(returned(&*actor, "add", vec![arg(4_i64)]), count(7));
    assert_eq!(returned(&*actor, "add", vec![make::input(0)]), count(9));
    assert_eq!(returned(&*actor, "later", vec![arg(1_i64)]), count(10));
    assert_eq!(returned(&*actor, "get", Vec::new()), count(10));
    let list = make::list([arg(1_i64), make::input(0)]);
    assert_eq!(returned(&*actor, "of", vec![list]), Value::text("10 2 false"));
    assert!(
        matches!(actor.call(&call("exit", Vec::new())), CallEnd::Exit(value) if value == count(10))
    );
    assert_eq!(actor.call(&call("none", Vec::new())), CallEnd::NoSuchMethod);
    let told = Arg::Value(returned(&*actor, "__dir__", Vec::new()).into());
    let Msgpack(told) = Msgpack::<BTreeMap<String, bool>>::from_arg(&told).unwrap();
    assert_eq!(told.into_keys().collect::<Vec<_>>(), actor.methods());
    assert_eq!(actor.methods(), ["add", "break", "exit", "get", "later", "of", "send"]);
    let second = create(&creation("Counter", vec![make::input(0)])).unwrap();
    assert_eq!(returned(&*second, "get", Vec::new()), count(9));
}

#[test]
fn what_fails_says_where() {
    let actor = counter(3);
    for spoilt in [
        call("add", vec![arg("x")]),
        call("add", Vec::new()),
        call("add", vec![make::input(1)]),
        Call { arguments: Bytes::from_static(&[0xff]), ..call("add", Vec::new()) },
    ] {
        let error = failed(&*actor, &spoilt);
        assert_eq!(error.class, ErrorClass::Deserialize, "{error}");
    }
    assert_eq!(failed(&*actor, &call("break", Vec::new())).reason, "USER_PANIC");
    assert_eq!(returned(&*actor, "get", Vec::new()), count(7), "it goes on");
    let error = failed(&*actor, &call("send", Vec::new()));
    assert!(error.message.contains("asked for no stream"), "{error}");
    let streamed = Call { reply: ReplyKind::Stream, ..call("send", Vec::new()) };
    assert_eq!(failed(&*actor, &streamed).class, ErrorClass::Cancelled, "nobody listens");
}

#[test]
fn state_is_kept_and_made_again() {
    let actor = counter(3);
    assert!(actor.checkpoints());
    let state = actor.checkpoint().unwrap();
    let again = Creation { restored: Some(state.clone()), ..creation("Counter", Vec::new()) };
    assert_eq!(returned(&*create(&again).unwrap(), "get", Vec::new()), count(3));
    let mute = create(&creation("Mute", Vec::new())).unwrap();
    assert!(!mute.checkpoints());
    assert_eq!(mute.checkpoint().unwrap_err().reason, "UNSUPPORTED");
    let restored = Creation { restored: Some(state), ..creation("Mute", Vec::new()) };
    assert!(create(&restored).is_err());
}

#[test]
fn an_actor_that_cannot_be_made_says_why() {
    let why = |creation: &Creation| create(creation).err().unwrap();
    let error = why(&creation("Conter", Vec::new()));
    assert!(error.message.ends_with("the nearest are Counter, Mute"), "{error}");
    assert_eq!(why(&creation("Counter", vec![arg(-1_i64)])).message, "it counts up only");
    assert_eq!(why(&creation("Counter", Vec::new())).class, ErrorClass::Deserialize);
    let reentrant = |class| {
        let creation = creation(class, vec![arg(1_i64)]);
        Creation { spec: ActorSpec { reentrant: true, ..creation.spec.clone() }, ..creation }
    };
    assert!(why(&reentrant("Counter")).message.starts_with("spec.reentrant"));
    assert!(create(&reentrant("Mute")).is_ok(), "all of its methods share");
}

#[test]
fn classes_are_told_apart_from_functions() {
    let registry = Registry::default().task("count", || ()).actor::<Mute>("Mute");
    assert_eq!(registry.told(), ["actor:Mute", "count"]);
}

#[test]
#[should_panic(expected = "the actor class \"Mute\" is registered twice")]
fn a_class_has_one_name() {
    let _ = Registry::default().actor::<Mute>("Mute").actor::<Mute>("Mute");
}

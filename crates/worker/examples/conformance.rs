//! A worker's binary with the functions and the actor that `cargo xtask conformance executor --native` calls.

#![expect(clippy::print_stdout, reason = "it is what `print` is for")]

use std::process::ExitCode;
use std::time::Duration;

use bireme_core::{Codec, TaskError, Value};
use bireme_worker::{
    Actor, Arg, Arguments, BadArg, CallContext, Context, Failure, FromArg, IntoValue, Methods,
    Msgpack,
};
use serde_json::Value as Json;

fn main() -> ExitCode {
    bireme_worker::main(|registry| {
        registry
            .task("conformance:echo", |Echoed(value): Echoed| value)
            .task("conformance:add", |a: f64, b: f64| a + b)
            .task("conformance:fail", |message: String| Err::<(), _>(message))
            .task("conformance:sleep", |context: &mut Context<'_>, seconds: f64| {
                context.sleep(Duration::from_secs_f64(seconds))
            })
            .task("conformance:print", |line: String| println!("{line}"))
            .task("conformance:bytes", |count: usize| {
                (0..=250).cycle().take(count).collect::<Vec<u8>>()
            })
            .task("conformance:variable", |name: String| std::env::var(name).ok())
            .actor::<Counter>("conformance:Counter")
    })
}

/// What `echo` is given: a value as it is, and lists and maps of values as plain data.
struct Echoed(Value);

impl FromArg for Echoed {
    fn from_arg(arg: &Arg) -> Result<Self, BadArg> {
        match arg {
            Arg::Value(value) => match value.codec {
                Codec::Msgpack => plain(arg).map(|_| Self(Value::clone(value))),
                Codec::None | Codec::Raw | Codec::Utf8 => Ok(Self(Value::clone(value))),
                Codec::Json => encoded(plain(arg)?),
                _ => Err(BadArg::Kind { given: arg.kind(), wanted: "raw, utf8, json or msgpack" }),
            },
            Arg::List(_) | Arg::Map(_) => encoded(plain(arg)?),
        }
    }
}

fn encoded(data: Json) -> Result<Echoed, BadArg> {
    let value = Msgpack(data).into_value();
    value.map(Echoed).map_err(|error| BadArg::Decode { problem: error.message })
}

fn plain(arg: &Arg) -> Result<Json, BadArg> {
    match arg {
        Arg::List(items) => items.iter().map(plain).collect(),
        Arg::Map(items) => {
            items.iter().map(|(name, arg)| Ok((name.clone(), plain(arg)?))).collect()
        }
        Arg::Value(value) if value.codec == Codec::Utf8 => String::from_arg(arg).map(Json::String),
        Arg::Value(_) => Msgpack::from_arg(arg).map(|Msgpack(data)| data),
    }
}

/// Counts from a number that must not be negative.
struct Counter {
    n: i64,
}

impl Actor for Counter {
    fn create(arguments: &Arguments<'_>) -> Result<Self, Failure> {
        let n: i64 = arguments.get(0)?;
        if n < 0 {
            return Err(format!("cannot count from {n}").into());
        }
        Ok(Self { n })
    }

    fn methods(methods: &mut Methods<Self>) {
        methods.method("add", |this: &mut Self, x: i64| {
            this.n += x;
            this.n
        });
        methods.shared("echo", |_: &Self, Echoed(value): Echoed| value);
        methods.shared("fail", |_: &Self, message: String| Err::<(), _>(message));
        methods.shared("sleep", sleep);
        methods.shared("upwards", |this: &Self, call: &CallContext<'_>, count: i64| {
            (0..count).try_for_each(|n| call.send(this.n + n))
        });
        methods.shared("leave", |_: &Self, call: &CallContext<'_>| call.exit());
        methods.checkpoint(|this| this.n, |n| Ok(Self { n }));
    }
}

fn sleep(_: &Counter, call: &CallContext<'_>, seconds: f64) -> Result<(), Box<TaskError>> {
    call.sleep(Duration::from_secs_f64(seconds))
}

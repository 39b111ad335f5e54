//! Functions and an actor that every worker has: for benches, for conformance, and for clients in other languages to try things with.
//!
//! | name | arguments | result |
//! |---|---|---|
//! | `builtin/noop` | any | nothing, in every output |
//! | `builtin/echo` | a value | the same |
//! | `builtin/sleep` | microseconds | nothing, after so long; ends early when cancelled |
//! | `builtin/spin` | microseconds | nothing, after computing for so long |
//! | `builtin/fail` | text | fails with that message |
//! | `builtin/exit` | a code from 0 to 255; or `SEGV`, `KILL`, `ABRT`, `overflow` | ends the process that runs it |
//! | `builtin/bytes` | a length, at most 1 GiB | so many bytes: 0, 1, ... 250, 0, 1 ... |
//! | `builtin/len` | a value | its length in bytes |
//! | `builtin/concat` | values, or lists of them | their bytes one after the other; text if all are text |
//! | `builtin/allocate` | bytes, microseconds | nothing, after holding so much memory for so long |
//! | `builtin/call` | an actor, the name of a method, its arguments as a list | what that method of that actor gives |
//!
//! The actor is `builtin/Counter`; what can be called of it is told in `counter`.

mod counter;

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bireme_client::Args;
use bireme_core::{ActorId, Codec, ErrorClass, Reason, TaskError, Value};
use bytes::BytesMut;
use rustix::process::{Signal, getpid, kill_process};
use smallvec::{SmallVec, smallvec};

use self::counter::Counter;
use crate::failure::failure;
use crate::registry::task::read;
use crate::registry::{Arg, BadArg, Context, Failure, Outputs, Registry};

/// Largest value that `builtin/bytes` makes and most memory that `builtin/allocate` takes, in bytes.
const LARGEST: usize = 1 << 30;

/// Adds the functions and the actor.
pub(crate) fn register(registry: Registry) -> Registry {
    registry
        .raw("builtin/noop", noop)
        .task("builtin/echo", |value: Value| value)
        .task("builtin/sleep", |context: &mut Context<'_>, us: u64| {
            context.sleep(Duration::from_micros(us))
        })
        .task("builtin/spin", spin)
        .task("builtin/fail", |message: String| Err::<(), _>(message))
        .task("builtin/exit", exit)
        .task("builtin/bytes", bytes)
        .task("builtin/len", |value: Value| value.size)
        .raw("builtin/concat", concat)
        .task("builtin/allocate", allocate)
        .task("builtin/call", call)
        .actor::<Counter>("builtin/Counter")
}

#[expect(clippy::unnecessary_wraps, reason = "the shape of a raw function")]
fn noop(context: &mut Context<'_>, _: &[Arg]) -> Result<Outputs, Box<TaskError>> {
    let outputs = usize::from(context.outputs());
    Ok(std::iter::repeat_with(Value::none).take(outputs).collect())
}

#[expect(clippy::disallowed_methods, reason = "time enters here")]
fn spin(us: u64) {
    let started = Instant::now();
    while started.elapsed() < Duration::from_micros(us) {
        black_box((0..100_u64).fold(0, |sum, n| sum ^ black_box(n)));
    }
}

fn exit(how: Arg) -> Result<(), Box<TaskError>> {
    let how = [how];
    let Ok(code) = read::<u32>(&how, 0) else {
        return die(&read::<String>(&how, 0)?);
    };
    let unknown =
        |_| failure(ErrorClass::User, Reason::UserError, format!("exit code {code} is above 255"));
    let code = u8::try_from(code).map_err(unknown)?;
    tracing::warn!(code, "a task ends this process");
    std::process::exit(code.into())
}

/// Ends this process by a signal, or by using up its stack.
fn die(of: &str) -> Result<(), Box<TaskError>> {
    let signal = match of {
        "ABRT" => Signal::ABORT,
        "KILL" => Signal::KILL,
        "SEGV" => Signal::SEGV,
        "overflow" => {
            black_box(descend(black_box(1)));
            return Ok(());
        }
        _ => {
            let message = format!("{of:?} is no end: say SEGV, KILL, ABRT or overflow");
            return Err(failure(ErrorClass::User, Reason::UserError, message));
        }
    };
    // The first one may only remove a handler.
    loop {
        let sent = kill_process(getpid(), signal);
        sent.map_err(|error| failure(ErrorClass::User, Reason::UserError, error.to_string()))?;
    }
}

/// Never returns: the stack ends before the numbers do.
fn descend(depth: u64) -> u64 {
    let room = black_box([depth; 64]);
    if depth == 0 {
        0
    } else {
        room.iter().sum::<u64>().wrapping_add(descend(black_box(depth | 1)))
    }
}

fn bytes(length: u64) -> Result<Vec<u8>, Box<TaskError>> {
    Ok((0..=250).cycle().take(bounded(length)?).collect())
}

fn allocate(context: &mut Context<'_>, bytes: u64, us: u64) -> Result<(), Box<TaskError>> {
    // Not zero, or the pages would only be promised.
    let held = vec![1_u8; bounded(bytes)?];
    context.sleep(Duration::from_micros(us))?;
    black_box(held);
    Ok(())
}

fn bounded(bytes: u64) -> Result<usize, Box<TaskError>> {
    usize::try_from(bytes).ok().filter(|bytes| *bytes <= LARGEST).ok_or_else(|| {
        let message = format!("{bytes} bytes were asked for, the limit is {LARGEST}");
        failure(ErrorClass::User, Reason::ValueTooLarge, message)
    })
}

fn concat(_: &mut Context<'_>, args: &[Arg]) -> Result<Outputs, Box<TaskError>> {
    let mut values: SmallVec<[Value; 8]> = SmallVec::new();
    for (place, arg) in args.iter().enumerate() {
        match arg {
            Arg::List(_) => values.extend(read::<Vec<Value>>(args, place)?),
            Arg::Map(_) | Arg::Value(_) => values.push(read(args, place)?),
        }
    }
    let mut all = BytesMut::new();
    for value in &values {
        let elsewhere = "a value's bytes are not in the value itself";
        let bytes = value
            .bytes()
            .ok_or_else(|| failure(ErrorClass::Deserialize, Reason::Malformed, elsewhere))?;
        all.extend_from_slice(&bytes);
    }
    let text = !values.is_empty() && values.iter().all(|value| value.codec == Codec::Utf8);
    let codec = if text { Codec::Utf8 } else { Codec::Raw };
    Ok(smallvec![Value::inline(codec, all)])
}

fn call(
    context: &mut Context<'_>,
    to: ActorId,
    method: String,
    args: Vec<Arg>,
) -> Result<Value, Failure> {
    let call = context.actor(to)?.call(method, handed_on(args)?);
    context.wait(call)?.map_err(Failure::from)
}

/// Arguments as they came, for somebody else.
fn handed_on(args: Vec<Arg>) -> Result<Args, BadArg> {
    args.into_iter().try_fold(Args::new(), |handed, arg| Ok(handed.arg(one_handed_on(arg)?)))
}

fn one_handed_on(arg: Arg) -> Result<bireme_client::Arg, BadArg> {
    match arg {
        Arg::List(items) => {
            let items: Vec<_> = items.into_iter().map(one_handed_on).collect::<Result<_, _>>()?;
            Ok(bireme_client::Arg::list(items))
        }
        Arg::Map(_) => Err(BadArg::Kind { given: arg.kind(), wanted: "a value or a list" }),
        Arg::Value(value) => Ok(Arc::unwrap_or_clone(value).into()),
    }
}

#[cfg(test)]
mod tests {
    use bireme_core::AttemptId;
    use bireme_core::id::{AttemptNo, Epoch, GraphId, TaskId};

    use super::*;
    use crate::registry::{Alone, IntoValue, Stop};

    fn run(name: &str, args: &[Arg]) -> Result<Outputs, Box<TaskError>> {
        let no = AttemptNo { epoch: Epoch(1), n: 1 };
        let attempt = AttemptId { task: TaskId { graph: GraphId(1), index: 0 }, no };
        let stop = Stop::default();
        let registry = register(Registry::default());
        registry.find(name)?(&mut Context::new((attempt, "key"), 2, &stop, &Alone), args)
    }

    fn arg(value: impl IntoValue) -> Arg {
        Arg::Value(Arc::new(value.into_value().unwrap()))
    }

    fn one(name: &str, args: &[Arg]) -> Value {
        run(name, args).unwrap().into_iter().next().unwrap()
    }

    #[test]
    fn they_do_what_the_table_says() {
        let none: Outputs = smallvec![Value::none(), Value::none()];
        assert_eq!(run("builtin/noop", &[arg(1_i64)]), Ok(none));
        assert_eq!(one("builtin/echo", &[arg("x")]), Value::text("x"));
        assert_eq!(one("builtin/sleep", &[arg(1_u64)]), Value::none());
        assert_eq!(one("builtin/spin", &[arg(1_u64)]), Value::none());
        assert_eq!(one("builtin/allocate", &[arg(4096_u64), arg(1_u64)]), Value::none());
        let bytes = one("builtin/bytes", &[arg(252_u64)]).bytes().unwrap();
        assert_eq!((bytes.len(), bytes[250], bytes[251]), (252, 250, 0));
        assert_eq!(one("builtin/len", &[arg("abc")]), 3_u64.into_value().unwrap());
        let error = run("builtin/fail", &[arg("on purpose")]).unwrap_err();
        assert_eq!((error.reason.as_str(), error.message.as_str()), ("USER_ERROR", "on purpose"));
    }

    #[test]
    fn who_asks_for_no_end_that_there_is_goes_on() {
        for (how, problem) in [(arg(256_u32), "above 255"), (arg("HUP"), "no end")] {
            let error = run("builtin/exit", &[how]).unwrap_err();
            assert!(error.message.contains(problem), "{error}");
        }
    }

    #[test]
    fn text_stays_text_only_among_text() {
        let list = Arg::List(vec![arg("b"), arg("c")]);
        assert_eq!(one("builtin/concat", &[arg("a"), list]), Value::text("abc"));
        assert_eq!(one("builtin/concat", &[arg("a"), arg(vec![0_u8])]), Value::raw(&b"a\0"[..]));
        assert_eq!(one("builtin/concat", &[]), Value::raw(""));
    }

    #[test]
    fn who_has_no_cluster_calls_nobody() {
        let list = Arg::List(Vec::new());
        let error = run("builtin/call", &[arg(ActorId(7)), arg("get"), list]).unwrap_err();
        assert_eq!(error.reason, "UNSUPPORTED", "{error}");
    }

    #[test]
    fn nobody_gets_more_memory_than_the_limit() {
        for (name, args) in [
            ("builtin/bytes", vec![arg(u64::MAX)]),
            ("builtin/allocate", vec![arg(u64::MAX), arg(0_u64)]),
        ] {
            assert_eq!(run(name, &args).unwrap_err().reason, "VALUE_TOO_LARGE", "{name}");
        }
    }
}

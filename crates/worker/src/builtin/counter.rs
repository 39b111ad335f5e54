//! The actor that every worker has: `builtin/Counter`.
//!
//! It is made with the number to count from, or with nothing and counts from 0. It can be checkpointed.
//!
//! | method | arguments | result |
//! |---|---|---|
//! | `increment` | | the count, after adding 1 |
//! | `add` | a number | the count, after adding it |
//! | `get` | | the count |
//! | `echo` | a value | the same |
//! | `take` | a value | how many bytes it has |
//! | `bytes` | a length, at most 1 GiB | so many bytes: 0, 1, ... 250, 0, 1 ... |
//! | `stream` | a number | nothing, after so many items: the count, one more and so on |
//! | `sleep` | microseconds | nothing, after so long; ends early when cancelled |
//! | `spin` | microseconds | nothing, after computing for so long |
//! | `fail` | text | fails with that message |
//! | `panic` | text | fails with a panic of that message |
//! | `exit` | | the count; the actor ends itself |
//! | `pass_on` | an actor, the name of a method, its arguments as a list | what that method of that actor gives, after adding 1 |
//! | `ping` | an actor, a number | nanoseconds that the median of so many calls of its `increment` took, one by one |
//! | `die` | as `builtin/exit` | ends the process that the actor lives in |

use std::time::{Duration, Instant};

use bireme_client::Args;
use bireme_core::{ActorId, Value};

use super::{bytes, exit, handed_on, spin};
use crate::registry::{Actor, Arg, Arguments, CallContext, Failure, Methods};

/// Counts.
#[derive(Debug)]
pub(super) struct Counter {
    count: i64,
}

impl Actor for Counter {
    fn create(arguments: &Arguments<'_>) -> Result<Self, Failure> {
        let count = if arguments.is_empty() { 0 } else { arguments.get(0)? };
        Ok(Self { count })
    }

    fn methods(methods: &mut Methods<Self>) {
        methods.method("increment", |this: &mut Self| this.add(1));
        methods.method("add", Self::add);
        methods.shared("get", |this: &Self| this.count);
        methods.shared("echo", |_: &Self, value: Value| value);
        methods.shared("take", |_: &Self, value: Value| value.size);
        methods.shared("bytes", |_: &Self, length: u64| bytes(length));
        methods.shared("stream", |this: &Self, call: &CallContext<'_>, items: i64| {
            (0..items).try_for_each(|n| call.send(this.count.wrapping_add(n)))
        });
        methods.shared("sleep", |_: &Self, call: &CallContext<'_>, us: u64| {
            call.sleep(Duration::from_micros(us))
        });
        methods.shared("spin", |_: &Self, us: u64| spin(us));
        methods.shared("fail", |_: &Self, message: String| Err::<(), _>(message));
        methods.shared("panic", Self::panic);
        methods.shared("exit", |this: &Self, call: &CallContext<'_>| {
            call.exit();
            this.count
        });
        methods.method("pass_on", Self::pass_on);
        methods.shared("ping", |_: &Self, call: &CallContext<'_>, to: ActorId, times: u64| {
            ping(call, to, times)
        });
        methods.shared("die", |_: &Self, how: Arg| exit(how));
        methods.checkpoint(|this| this.count, |count| Ok(Self { count }));
    }
}

impl Counter {
    fn add(&mut self, by: i64) -> i64 {
        self.count = self.count.wrapping_add(by);
        self.count
    }

    fn pass_on(
        &mut self,
        call: &CallContext<'_>,
        to: ActorId,
        method: String,
        args: Vec<Arg>,
    ) -> Result<Value, Failure> {
        self.count = self.count.wrapping_add(1);
        let passed = call.actor(to)?.call(method, handed_on(args)?);
        call.wait(passed)?.map_err(Failure::from)
    }

    #[expect(clippy::panic, reason = "it is asked to")]
    fn panic(&self, message: String) {
        panic!("{message}, at {}", self.count)
    }
}

fn ping(call: &CallContext<'_>, to: ActorId, times: u64) -> Result<u64, Failure> {
    let to = call.actor(to)?;
    let mut took = Vec::new();
    for _ in 0..times {
        let called = now();
        call.wait(to.call("increment", Args::new()))??;
        took.push(called.elapsed());
    }
    took.sort_unstable();
    let half = took.get(took.len() / 2).copied().unwrap_or_default();
    Ok(u64::try_from(half.as_nanos()).unwrap_or(u64::MAX))
}

#[expect(clippy::disallowed_methods, reason = "time enters here")]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use bireme_core::actor::call::ReplyKind;
    use bireme_executor::{Actors as _, Call, CallEnd};
    use bireme_proto::pb;

    use super::*;
    use crate::builtin::register;
    use crate::registry::actor_tests::{arg, call, creation};
    use crate::registry::{IntoValue as _, NativeActors, Registry};

    #[test]
    fn it_does_what_the_table_says() {
        let actors = NativeActors(register(Registry::default()));
        let counter = actors.create(&creation("builtin/Counter", Vec::new())).unwrap();
        let returned = |method: &str, args: Vec<pb::Arg>| counter.call(&call(method, args));
        let count = |count: i64| CallEnd::Returned(count.into_value().unwrap());
        assert_eq!(returned("increment", Vec::new()), count(1));
        assert_eq!(returned("add", vec![arg(i64::MAX)]), count(i64::MIN));
        assert_eq!(returned("get", Vec::new()), count(i64::MIN));
        assert_eq!(returned("echo", vec![arg("x")]), CallEnd::Returned(Value::text("x")));
        let nothing = CallEnd::Returned(Value::none());
        assert_eq!(returned("sleep", vec![arg(1_u64)]), nothing);
        assert_eq!(returned("spin", vec![arg(1_u64)]), nothing);
        let no_items = Call { reply: ReplyKind::Stream, ..call("stream", vec![arg(0_i64)]) };
        assert_eq!(counter.call(&no_items), nothing);
        for (method, reason) in [("fail", "USER_ERROR"), ("panic", "USER_PANIC")] {
            let CallEnd::Failed(error) = returned(method, vec![arg("on purpose")]) else {
                panic!("{method} did not fail");
            };
            assert_eq!(error.reason, reason);
            assert!(error.message.starts_with("on purpose"), "{error}");
        }
        assert!(matches!(returned("exit", Vec::new()), CallEnd::Exit(_)));
        assert!(counter.checkpoints());
    }
}

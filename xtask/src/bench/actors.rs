//! Calls of an actor: one at a time, many at once, and what creating one takes. Names are those of the peers' benches.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use bireme_client::{Actor, Args, Client};
use bireme_core::actor::{CheckpointPolicy, Delivery, Durability, Isolation};
use bireme_core::{Codec, Value};

use super::latency::{Bare, Times, ms};
use super::record::median;
use super::rows::Bench;
use crate::cluster::usage::{cpu, now};
use crate::cluster::{Cluster, Shape, guarded};

/// Rounds, at least: what is judged is the median of their ratios.
const ROUNDS_MIN: u32 = 10;
/// Calls of each kind before the first round, at most.
const WARM_UP: u32 = 100;
/// So long a worker is given to start a process.
const SPARE_READY: Duration = Duration::from_millis(40);
/// The class that every worker has.
const COUNTER: &str = "builtin/Counter";

/// A call with an argument of some size.
struct Kind {
    suffix: &'static str,
    bytes: usize,
    /// One of so many of the calls asked for are made: large ones take long.
    of: u32,
}

const KINDS: [Kind; 3] = [
    Kind { suffix: "", bytes: 0, of: 1 },
    Kind { suffix: "_1k", bytes: 1 << 10, of: 1 },
    Kind { suffix: "_1m", bytes: 1 << 20, of: 10 },
];

/// Round trips of single calls, and their ratios to a bare exchange and to the floor.
pub(super) async fn rtt(bench: &mut Bench) -> Result<()> {
    let _pin = bench.pin_client()?;
    let cluster = Cluster::start(bench.shape()).await?;
    let mut bare = Bare::start(cluster.site(), bench.daemon_core()).await?;
    let actor = counter(&cluster.client).await?;
    bare.round(bench.n.min(WARM_UP)).await.context("while warming up")?;
    for kind in &KINDS {
        call_round(&actor, kind.bytes, bench.n.min(WARM_UP)).await.context("while warming up")?;
    }
    let mut rounds = Vec::new();
    for _ in 0..bench.repeats.max(ROUNDS_MIN) {
        let bare = bare.round(bench.n).await?;
        let mut calls = Vec::new();
        for kind in &KINDS {
            calls.push(call_round(&actor, kind.bytes, (bench.n / kind.of).max(1)).await?);
        }
        rounds.push((bare, calls));
    }
    drop(actor);
    cluster.stop().await?;
    let raw = |(bare, _): &(super::latency::BareRound, Vec<Times>)| bare.exchange.p50_ms();
    bench.emit("_raw_p50", "ms", rounds.iter().map(raw))?;
    bench.emit("_floor_p50", "ms", rounds.iter().map(|(bare, _)| bare.one_thread.p50_ms()))?;
    bench.emit("_floor_p99", "ms", rounds.iter().map(|(bare, _)| bare.one_thread.p99_ms()))?;
    for (n, Kind { suffix, .. }) in KINDS.iter().enumerate() {
        let times = || rounds.iter().filter_map(|(bare, calls)| Some((bare, calls.get(n)?)));
        bench.emit(&format!("{suffix}_p50"), "ms", times().map(|(_, call)| call.p50_ms()))?;
        bench.emit(&format!("{suffix}_p99"), "ms", times().map(|(_, call)| call.p99_ms()))?;
        let to_raw = times().map(|(bare, call)| call.p50_ms() / bare.exchange.p50_ms());
        bench.emit(&format!("{suffix}_to_raw"), "x", to_raw)?;
    }
    let first = || rounds.iter().filter_map(|(bare, calls)| Some((bare, calls.first()?)));
    let to_floor = first().map(|(bare, call)| call.p50_ms() / bare.one_thread.p50_ms());
    bench.emit("_to_floor", "x", to_floor)?;
    let to_floor = first().map(|(bare, call)| call.p99_ms() / bare.one_thread.p99_ms());
    bench.emit("_p99_to_floor", "x", to_floor)
}

/// Many calls at once.
pub(super) async fn pipeline(bench: &mut Bench) -> Result<()> {
    let cluster = Cluster::start(bench.shape()).await?;
    let actor = counter(&cluster.client).await?;
    let times = pipelined(bench, &actor).await?;
    drop(actor);
    cluster.stop().await?;
    bench.emit("", "us/call", times)
}

/// Many calls at once to an actor that forgets none of them, with its log on one machine.
pub(super) async fn effectively_once(bench: &mut Bench) -> Result<()> {
    let cluster = Cluster::start(bench.shape()).await?;
    for (suffix, durability) in [("_process", Durability::Process), ("_disk", Durability::Disk)] {
        let policy = CheckpointPolicy { every_calls: 10_000, ..CheckpointPolicy::default() };
        let builder = cluster.client.actor::<Actor>(COUNTER).delivery(Delivery::EffectivelyOnce);
        let builder = builder.durability(durability).checkpoint(policy).max_restarts(1);
        let actor = guarded("an actor", builder.create()).await??;
        let times = pipelined(bench, &actor).await?;
        bench.emit(suffix, "us/call", times)?;
    }
    cluster.stop().await
}

/// Creates an actor and calls it once: one after the other as fast as can be; after a while, in which the worker makes a
/// process ready for the next; and in a process that all share.
pub(super) async fn create(bench: &mut Bench) -> Result<()> {
    let _pin = bench.pin_client()?;
    let cluster = Cluster::start(bench.shape()).await?;
    let kinds = [
        ("", Isolation::Process, Duration::ZERO),
        ("_spare", Isolation::Process, SPARE_READY),
        ("_shared", Isolation::Shared, Duration::ZERO),
    ];
    for (suffix, isolation, pause) in kinds {
        let mut medians = Vec::new();
        for round in 0..=bench.repeats {
            let mut times = Vec::new();
            for _ in 0..bench.n {
                tokio::time::sleep(pause).await;
                let started = now();
                let builder = cluster.client.actor::<Actor>(COUNTER).isolation(isolation);
                let actor = guarded("an actor", builder.create()).await??;
                guarded("a call", actor.call("increment", Args::new())).await??;
                times.push(ms(started.elapsed()));
            }
            if round > 0 {
                medians.push(median(&times));
            }
        }
        bench.emit(suffix, "ms", medians)?;
    }
    cluster.stop().await
}

/// Calls that one actor makes of another on a second worker, one at a time, and their ratio to a bare exchange between the
/// cores of the two.
pub(super) async fn to_actor(bench: &mut Bench) -> Result<()> {
    let _pin = bench.pin_client()?;
    let mut cluster = Cluster::start(bench.shape()).await?;
    let core = bench.cores.map(|(client, _)| client);
    cluster.join("w2", Shape { core, ..bench.shape() }).await?;
    let mut bare = Bare::start(cluster.site(), bench.daemon_core()).await?;
    let on = |worker: &str| {
        let workers = vec![worker.to_owned()];
        let builder = cluster.client.actor::<Actor>(COUNTER);
        builder.with(|spec| spec.workers = workers).create()
    };
    let called = guarded("an actor", on("w1")).await??;
    let caller = guarded("an actor", on("w2")).await??;
    bare.round(bench.n.min(WARM_UP)).await.context("while warming up")?;
    ping(&caller, &called, bench.n.min(WARM_UP)).await.context("while warming up")?;
    let mut rounds = Vec::new();
    for _ in 0..bench.repeats.max(ROUNDS_MIN) {
        let bare = bare.round(bench.n).await?;
        rounds.push((bare.exchange.p50_ms(), ping(&caller, &called, bench.n).await?));
    }
    drop((caller, called));
    cluster.stop().await?;
    bench.emit("_raw_p50", "ms", rounds.iter().map(|(raw, _)| *raw))?;
    bench.emit("_p50", "ms", rounds.iter().map(|(_, call)| *call))?;
    bench.emit("_to_raw", "x", rounds.iter().map(|(raw, call)| call / raw))
}

/// Cpu time of the scheduler while calls run, beyond that in a time as long without; for each call.
pub(super) async fn scheduler_cpu(bench: &mut Bench) -> Result<()> {
    let cluster = Cluster::start(bench.shape()).await?;
    let actor = counter(&cluster.client).await?;
    let pid = cluster.scheduler.pid();
    let mut more = Vec::new();
    for _ in 0..bench.repeats.max(ROUNDS_MIN) {
        let (before, started) = (cpu(pid)?, now());
        calls(&actor, bench.n).await?;
        let (between, took) = (cpu(pid)?, started.elapsed());
        tokio::time::sleep(took).await;
        let idle = cpu(pid)?.saturating_sub(between);
        let busy = between.saturating_sub(before);
        more.push((busy.as_secs_f64() - idle.as_secs_f64()) * 1e6 / f64::from(bench.n));
    }
    drop(actor);
    cluster.stop().await?;
    bench.emit("", "us/call", more)
}

async fn counter(client: &Client) -> Result<Actor> {
    Ok(guarded("an actor", client.actor::<Actor>(COUNTER).create()).await??)
}

/// Has an actor call another so many times, one after the other; milliseconds that half of the calls do not pass.
async fn ping(caller: &Actor, called: &Actor, n: u32) -> Result<f64> {
    let args = Args::new().arg(Value::actor(called.id())).arg(number(n));
    let nanos = guarded("the calls", caller.call("ping", args)).await??;
    let bytes = nanos.bytes().context("the time is elsewhere")?;
    Ok(f64::from(rmp_serde::from_slice::<u32>(&bytes)?) / 1e6)
}

fn number(n: u32) -> Value {
    let bytes = rmp_serde::to_vec(&n).expect("numbers can be written");
    Value::inline(Codec::Msgpack, bytes)
}

async fn call_round(actor: &Actor, bytes: usize, n: u32) -> Result<Times> {
    let argument = vec![7; bytes];
    let mut times = Vec::new();
    for _ in 0..n {
        // What is sent is made before the clock starts; large results stay out of it.
        let (method, args) = match bytes {
            0 => ("increment", Args::new()),
            _ => ("take", Args::new().arg(Value::raw(argument.clone()))),
        };
        let started = now();
        guarded("a call", actor.call(method, args)).await??;
        times.push(ms(started.elapsed()));
    }
    Ok(Times::new(times))
}

/// Microseconds for each call of as many as are asked for, once for each repeat.
async fn pipelined(bench: &Bench, actor: &Actor) -> Result<Vec<f64>> {
    calls(actor, bench.n.min(WARM_UP)).await.context("while warming up")?;
    let mut times = Vec::new();
    for _ in 0..bench.repeats {
        let took = calls(actor, bench.n).await?;
        times.push(took.as_secs_f64() * 1e6 / f64::from(bench.n));
    }
    Ok(times)
}

/// Makes so many calls and waits for all of them.
async fn calls(actor: &Actor, n: u32) -> Result<Duration> {
    let started = now();
    let all = async {
        let mut made = Vec::new();
        for _ in 0..n {
            actor.room().await;
            made.push(actor.call("increment", Args::new()));
        }
        let mut last = None;
        for call in made {
            last = Some(call.await?);
        }
        anyhow::Ok(last)
    };
    // One guard for all of them: for each it would be part of what is measured.
    if guarded("the calls", all).await??.is_none() {
        bail!("no call was made");
    }
    Ok(started.elapsed())
}

//! A client that reaches the scheduler alone, which passes values on.

use std::fs;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use bireme_client::{Arg, Payload};
use bireme_core::Value;
use bireme_core::graph::TaskSpec;
use bytes::Bytes;

use super::graphs::{Sketch, number};
use super::store::{MIB, is_pattern};
use super::unshare;
use crate::cluster::{Cluster, Site, guarded};

/// Where the worker says that it listens: a name that only the scheduler knows.
const NAME: &str = "w1.cluster.invalid";
/// Has a file in place of the names that the system knows, and becomes the command behind it.
const OWN_NAMES: &str = r#"mount --bind "$1" /etc/hosts && shift && exec "$@""#;
/// Length of the values in bytes.
const LENGTH: u32 = 3 * MIB + 1;

/// Values go to and from a worker that the client cannot reach.
pub(super) async fn values() -> Result<()> {
    let site = Site::new()?;
    let scheduler = site.scheduler();
    let cluster = apart(site, &scheduler).await?;
    let given = guarded("a put", Box::pin(cluster.client.put(pattern(LENGTH)))).await??;
    let mut sketch = Sketch::new();
    let made = sketch.call("builtin/bytes", [number(LENGTH)], [])?;
    let class = sketch.graph.class(sketch.class.clone());
    let externals = [sketch.graph.external(given.id())].into_iter().collect();
    let payload = Payload::native("builtin/concat").arg(Arg::input(0)).encode();
    let copy = TaskSpec { class, payload, externals, ..TaskSpec::default() };
    let copy = sketch.graph.task(copy)?;
    let graph = cluster.client.submit(sketch.graph).await?;
    for (task, what) in [(made, "what a task made"), (copy, "what the client gave")] {
        let value = guarded(what, graph.result(task)).await?.with_context(|| what.to_owned())?;
        ensure!(is_pattern(&value, LENGTH), "{what} is not what it was");
    }
    let value = guarded("what was put", given.fetch()).await??;
    ensure!(is_pattern(&value, LENGTH), "what was put is not what it was");
    cluster.stop().await
}

/// A cluster of which the client reaches the scheduler alone.
pub(super) async fn apart(site: Site, scheduler: &Command) -> Result<Cluster> {
    let scheduler = knowing(&site, scheduler)?;
    let mut cluster = Cluster::without_workers(site, scheduler).await?;
    let mut worker = cluster.site().worker("w1", 2);
    worker.args(["--advertise", NAME]);
    cluster.add(worker, "w1").await?;
    Ok(cluster)
}

/// The same scheduler, which knows where the worker is.
pub(super) fn knowing(site: &Site, scheduler: &Command) -> Result<Command> {
    let names = site.dir().join("hosts");
    fs::write(&names, format!("127.0.0.1 localhost {NAME}\n"))?;
    unshare::mounted(scheduler, OWN_NAMES, &[names.as_ref()])
}

/// A value of so many bytes that tell where each belongs.
pub(super) fn pattern(length: u32) -> Value {
    let bytes: Bytes = (0..=250_u8).cycle().take(length as usize).collect::<Vec<_>>().into();
    Value::raw(bytes)
}

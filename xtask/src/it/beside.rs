//! Somebody else's graph, which goes on while something bad happens and must not be touched by it.

use std::fs;
use std::path::PathBuf;

use anyhow::{Result, ensure};
use bireme_client::{Arg, Client, Graph};
use bireme_core::Value;
use bireme_core::graph::TaskState;
use bireme_core::resources::Resources;

use super::graphs::{Sketch, text};
use crate::cluster::{Cluster, guarded};

/// Links of the chain before the gate, and behind it.
const LINKS: usize = 20;

/// A graph of another session: a chain with a gate in the middle, which is shut until [`Self::finishes`].
pub(super) struct Beside {
    client: Client,
    graph: Graph,
    last: u32,
    gate: PathBuf,
}

impl Beside {
    /// Submits it and waits until its first half has run and its second half cannot.
    pub(super) async fn begin(cluster: &Cluster) -> Result<Self> {
        let client = cluster.site().connect().await?;
        let gate = cluster.site().dir().join("gate");
        let mut sketch = Sketch::new();
        let open = sketch.class.resources.clone();
        // The gate takes no cpu from anybody.
        sketch.class.resources = Resources::new(0, 0);
        let shut = format!("while [ ! -e {} ]; do sleep 0.02; done", gate.display());
        let shut = sketch.script(&shut)?;
        sketch.class.resources = open;
        let mut last = sketch.call("builtin/echo", [text("a")], [])?;
        for link in 1..2 * LINKS {
            let before = if link == LINKS { vec![last, shut] } else { vec![last] };
            last = sketch.call("builtin/concat", [Arg::input(0), text("b")], before)?;
        }
        let graph = client.submit(sketch.graph).await?;
        let mut progress = graph.progress();
        let half = progress.wait_for(|it| it.counts.of(TaskState::Finished) as usize == LINKS);
        guarded("half of another client's graph", half).await??;
        Ok(Self { client, graph, last, gate })
    }

    /// Lets the second half run, and checks that everything came as it would have anyway.
    pub(super) async fn finishes(self) -> Result<()> {
        ensure!(!self.graph.progress().borrow().is_over(), "another client's graph ended early");
        fs::write(&self.gate, "")?;
        let value = guarded("another client's result", self.graph.result(self.last)).await??;
        let expected = Value::text(format!("a{}", "b".repeat(2 * LINKS - 1)));
        ensure!(value == expected, "another client's result is {value:?}");
        let summary = guarded("the end of another client's graph", self.graph.wait()).await??;
        ensure!(summary.is_ok(), "of another client: {:?}", summary.counts);
        self.client.close().await?;
        Ok(())
    }
}

//! Graphs and their results.

use anyhow::{Context as _, Result, bail, ensure};
use bireme_client::{Admin, Arg, Graph, NativePayload, Payload, ResultError};
use bireme_core::graph::{
    GraphBuilder, GraphOptions, Outputs, Runtime, TaskClass, TaskSpec, Watch,
};
use bireme_core::reason::Refusal;
use bireme_core::{Codec, ErrorClass, TaskError, Value};

use crate::cluster::{Cluster, Shape, connect_options, guarded};

/// A graph in the making.
pub(super) struct Sketch {
    pub(super) graph: GraphBuilder,
    /// Of the native functions from here on.
    pub(super) class: TaskClass,
}

impl Sketch {
    /// A graph of native functions, whose failures and small results are heard of.
    pub(super) fn new() -> Self {
        Self::with(GraphOptions::default())
    }

    /// The same, of which every result is kept.
    pub(super) fn keeping_all() -> Self {
        Self::with(GraphOptions { outputs: Outputs::All, ..GraphOptions::default() })
    }

    /// The same, which outlives its session.
    pub(super) fn detached() -> Self {
        Self::with(GraphOptions { detached: true, ..GraphOptions::default() })
    }

    fn with(options: GraphOptions) -> Self {
        let options = GraphOptions { watch: Watch::Values, ..options };
        Self { graph: GraphBuilder::new(options), class: TaskClass::default() }
    }

    /// The tasks from here on run on this worker alone.
    pub(super) fn only_on(&mut self, worker: &str) {
        self.class.workers = vec![worker.to_owned()];
    }

    /// Adds a call with arguments; it waits for the tasks named, whose results are [`Arg::input`]s.
    pub(super) fn call(
        &mut self,
        function: &str,
        args: impl IntoIterator<Item = Arg>,
        deps: impl IntoIterator<Item = u32>,
    ) -> Result<u32, Refusal> {
        let payload = Payload::native(function);
        let payload = args.into_iter().fold(payload, NativePayload::arg).encode();
        let class = self.graph.class(self.class.clone());
        let deps = deps.into_iter().map(Into::into).collect();
        self.graph.task(TaskSpec { class, payload, deps, ..TaskSpec::default() })
    }

    /// Adds a shell script, whose result is what it prints.
    pub(super) fn script(&mut self, script: &str) -> Result<u32, Refusal> {
        self.script_after(script, [])
    }

    /// The same, after tasks whose results it does not take.
    pub(super) fn script_after(
        &mut self,
        script: &str,
        deps: impl IntoIterator<Item = u32>,
    ) -> Result<u32, Refusal> {
        let class = TaskClass { runtime: Runtime::Command, ..self.class.clone() };
        let class = self.graph.class(class);
        let payload = Payload::command(["sh", "-c", script]).encode();
        let deps = deps.into_iter().map(Into::into).collect();
        self.graph.task(TaskSpec { class, payload, deps, ..TaskSpec::default() })
    }
}

/// A number as an argument.
pub(super) fn number(number: u32) -> Arg {
    Value::inline(Codec::Json, number.to_string()).into()
}

/// Text as an argument.
pub(super) fn text(text: &str) -> Arg {
    Value::text(text).into()
}

pub(super) async fn diamond() -> Result<()> {
    let cluster = Cluster::start(Shape::new(2, 1)).await?;
    let mut sketch = Sketch::new();
    sketch.only_on("w1");
    let top = sketch.call("builtin/echo", [text("a")], [])?;
    let left = sketch.call("builtin/concat", [Arg::input(0), text("b")], [top])?;
    sketch.only_on("w2");
    let right = sketch.call("builtin/concat", [Arg::input(0), text("c")], [top])?;
    let bottom = sketch.call("builtin/concat", [Arg::input(0), Arg::input(1)], [left, right])?;
    let graph = cluster.client.submit(sketch.graph).await?;
    let value = guarded("the result", graph.result(bottom)).await??;
    ensure!(value == Value::text("abac"), "the result is {value:?}");
    let summary = guarded("the end", graph.wait()).await??;
    ensure!(summary.is_ok(), "{:?}", summary.counts);
    let admin = Admin::connect(&connect_options(&cluster.site().access_file())?).await?;
    let effort = admin.effort(graph.id()).await?;
    ensure!(effort.workers == ["w1", "w2"] && effort.attempts == 4, "it took {effort:?}");
    cluster.stop().await
}

pub(super) async fn unknown_function() -> Result<()> {
    let cluster = Cluster::start(Shape::new(1, 1)).await?;
    let mut sketch = Sketch::new();
    let task = sketch.call("builtin/nop", [], [])?;
    let graph = cluster.client.submit(sketch.graph).await?;
    let error = failure(&graph, task).await?;
    let is_right = error.class == ErrorClass::NotFound && error.reason == "FUNCTION_UNKNOWN";
    ensure!(is_right, "it failed as {:?}: {error}", error.class);
    ensure!(error.message.contains("builtin/noop"), "the nearest is not named: {error}");
    cluster.stop().await
}

pub(super) async fn failed_command() -> Result<()> {
    let cluster = Cluster::start(Shape::new(1, 1)).await?;
    let mut sketch = Sketch::new();
    let task = sketch.script("echo on the way; echo it broke >&2; exit 3")?;
    let graph = cluster.client.submit(sketch.graph).await?;
    let error = failure(&graph, task).await?;
    let exit = error.exit.context("how it ended is not told")?;
    ensure!((exit.code, exit.signal) == (3, 0), "it ended with {exit:?}");
    ensure!(error.last_lines.iter().any(|line| line == "it broke"), "{:?}", error.last_lines);
    ensure!(error.worker == "w1", "it ran on {:?}", error.worker);
    cluster.stop().await
}

/// Why a task failed, which it must have.
pub(super) async fn failure(graph: &Graph, task: u32) -> Result<TaskError> {
    match guarded("the failure", graph.result(task)).await? {
        Err(ResultError::Task { error, .. }) => Ok(*error),
        Err(error) => Err(error.into()),
        Ok(value) => bail!("it has a result of {} bytes", value.size),
    }
}

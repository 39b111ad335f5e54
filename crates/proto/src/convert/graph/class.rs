//! Classes of tasks: what they take, where they may run, and what happens when they fail.

use bireme_core::Span;
use bireme_core::graph::{Runtime, TaskClass};
use bireme_core::limits;
use bireme_core::reason::{Reason, Refusal};
use bireme_core::retry::{DEFAULT_CRASHES, RetryPolicy};

use crate::convert::common::{resources, resources_sent};
use crate::convert::enums::{commanded, number};
use crate::convert::field::{
    Within as _, at_most, list, malformed, missing, name, names, not_yet, optional, sent, span,
    unsupported, us,
};
use crate::pb;

impl TryFrom<pb::TaskClass> for TaskClass {
    type Error = Refusal;

    fn try_from(message: pb::TaskClass) -> Result<Self, Refusal> {
        let pb::TaskClass {
            resources: needs,
            runtime: kind,
            workers,
            allow_other_workers,
            labels,
            retry,
            timeout_us,
            on_worker_lost,
            outputs,
            output_names,
            alternatives,
            gang_size,
            time_request_us,
            memory_estimate_bytes,
            durable_uri,
            function,
        } = message;
        not_yet(!output_names.is_empty(), "output_names")?;
        not_yet(!alternatives.is_empty(), "alternatives")?;
        not_yet(gang_size > 0, "gang_size")?;
        not_yet(time_request_us > 0, "time_request_us")?;
        not_yet(memory_estimate_bytes > 0, "memory_estimate_bytes")?;
        not_yet(!durable_uri.is_empty(), "durable_uri")?;
        let function = name(function, "function")?;
        Ok(Self {
            function: (!function.is_empty()).then_some(function),
            resources: resources(needs).within("resources")?,
            runtime: runtime(kind).within("runtime")?,
            workers: names(workers, limits::CLASS_WORKERS, "workers")?,
            allow_other_workers,
            labels: list(at_most(labels, limits::LABELS, "labels")?, "labels")?,
            retry: optional(retry, "retry")?.unwrap_or_default(),
            timeout: span(timeout_us),
            on_worker_lost: commanded(on_worker_lost, "on_worker_lost")?,
            outputs: output_count(outputs)?,
        })
    }
}

impl From<TaskClass> for pb::TaskClass {
    fn from(class: TaskClass) -> Self {
        let TaskClass {
            resources,
            runtime,
            workers,
            allow_other_workers,
            labels,
            retry,
            timeout,
            on_worker_lost,
            outputs,
            function,
        } = class;
        Self {
            resources: resources_sent(resources),
            runtime: runtime_sent(runtime),
            workers,
            allow_other_workers,
            labels: sent(labels),
            retry: (retry != RetryPolicy::default()).then(|| retry.into()),
            timeout_us: us(timeout),
            on_worker_lost: number(on_worker_lost),
            outputs: outputs.into(),
            function: function.unwrap_or_default(),
            ..Self::default()
        }
    }
}

/// How many outputs a task has; 0 stands for 1.
pub(crate) fn output_count(outputs: u32) -> Result<u16, Refusal> {
    match u16::try_from(outputs) {
        Ok(outputs) if outputs <= limits::TASK_OUTPUTS => Ok(outputs.max(1)),
        _ => {
            let message = format!("{outputs} outputs, the limit is {}", limits::TASK_OUTPUTS);
            Err(Refusal::at(Reason::GraphTooLarge, "outputs", message))
        }
    }
}

/// Which kind of executor runs a payload: native where nothing is said.
pub(crate) fn runtime(message: Option<pb::Runtime>) -> Result<Runtime, Refusal> {
    message.map_or(Ok(Runtime::Native), TryInto::try_into)
}

/// The other way round.
pub(crate) fn runtime_sent(runtime: Runtime) -> Option<pb::Runtime> {
    (runtime != Runtime::Native).then(|| runtime.into())
}

impl TryFrom<pb::Runtime> for Runtime {
    type Error = Refusal;

    fn try_from(message: pb::Runtime) -> Result<Self, Refusal> {
        let pb::Runtime { kind, name: text, environment, fresh_process } = message;
        let kind = pb::RuntimeKind::try_from(kind).map_err(|_| {
            unsupported("kind", format!("kind {kind} is not known to this version"))
        })?;
        if kind == pb::RuntimeKind::External {
            if text.is_empty() {
                return Err(missing("name"));
            }
            let environment = optional(environment, "environment")?;
            return Ok(Self::External { name: name(text, "name")?, environment, fresh_process });
        }
        let given = [
            ("name", !text.is_empty()),
            ("environment", environment.is_some()),
            ("fresh_process", fresh_process),
        ];
        if let Some((field, _)) = given.iter().find(|(_, is_given)| *is_given) {
            return Err(malformed(field, "only RUNTIME_KIND_EXTERNAL has that"));
        }
        Ok(match kind {
            pb::RuntimeKind::Command => Self::Command,
            pb::RuntimeKind::Wasm => Self::Wasm,
            pb::RuntimeKind::Unspecified | pb::RuntimeKind::Native | pb::RuntimeKind::External => {
                Self::Native
            }
        })
    }
}

impl From<Runtime> for pb::Runtime {
    fn from(runtime: Runtime) -> Self {
        let plain = |kind: pb::RuntimeKind| Self { kind: kind.into(), ..Self::default() };
        match runtime {
            Runtime::Command => plain(pb::RuntimeKind::Command),
            Runtime::External { name, environment, fresh_process } => Self {
                kind: pb::RuntimeKind::External.into(),
                name,
                environment: environment.map(Into::into),
                fresh_process,
            },
            Runtime::Native => plain(pb::RuntimeKind::Native),
            Runtime::Wasm => plain(pb::RuntimeKind::Wasm),
        }
    }
}

impl TryFrom<pb::Label> for (String, String) {
    type Error = Refusal;

    fn try_from(pb::Label { key, value }: pb::Label) -> Result<Self, Refusal> {
        if key.is_empty() {
            return Err(missing("key"));
        }
        Ok((name(key, "key")?, name(value, "value")?))
    }
}

impl From<(String, String)> for pb::Label {
    fn from((key, value): (String, String)) -> Self {
        Self { key, value }
    }
}

impl TryFrom<pb::RetryPolicy> for RetryPolicy {
    type Error = Refusal;

    fn try_from(message: pb::RetryPolicy) -> Result<Self, Refusal> {
        let pb::RetryPolicy { max_retries, backoff_us, backoff_max_us, retry_on, max_crashes } =
            message;
        let mut classes = Vec::with_capacity(retry_on.len());
        for (n, class) in retry_on.into_iter().enumerate() {
            // The number itself is the field.
            let class = commanded(class, "class")
                .map_err(|refusal| Refusal { field: String::new(), ..refusal });
            classes.push(class.within_item("retry_on", n)?);
        }
        classes.sort_unstable();
        classes.dedup();
        Ok(Self {
            max_retries,
            backoff: Span(backoff_us),
            backoff_max: span(backoff_max_us).unwrap_or(Self::default().backoff_max),
            retry_on: classes,
            max_crashes: max_crashes.unwrap_or(DEFAULT_CRASHES),
        })
    }
}

impl From<RetryPolicy> for pb::RetryPolicy {
    fn from(policy: RetryPolicy) -> Self {
        let RetryPolicy { max_retries, backoff, backoff_max, retry_on, max_crashes } = policy;
        Self {
            max_retries,
            backoff_us: backoff.0,
            backoff_max_us: backoff_max.0,
            retry_on: retry_on.into_iter().map(number).collect(),
            max_crashes: Some(max_crashes),
        }
    }
}

//! What the tasks of a table have in common: what they take, and what happens when they fail.

use std::collections::BTreeMap;

use bireme_core::error::ErrorClass;
use bireme_core::graph::{OnWorkerLost, TaskClass};
use bireme_core::resources::{Resources, UNITS};
use bireme_core::retry::RetryPolicy;
use bireme_core::{Span, limits};
use bireme_daemon::units;

use super::file::{self, Scalar, Task};
use super::nearest;
use super::payload::{self, KeyProblem};

/// Greatest amount of a resource that a task may ask for.
const AMOUNT_MAX: f64 = 1e9;

/// The failures that `retry_on` may name. What the task cannot help, such as a lost worker, is tried again anyway.
pub(super) const RETRY_ON: [(&str, ErrorClass); 8] = [
    ("deserialize", ErrorClass::Deserialize),
    ("not_found", ErrorClass::NotFound),
    ("out_of_memory", ErrorClass::OutOfMemory),
    ("process_died", ErrorClass::ProcessDied),
    ("serialize", ErrorClass::Serialize),
    ("store", ErrorClass::Store),
    ("timeout", ErrorClass::Timeout),
    ("user", ErrorClass::User),
];

/// The class of the tasks of a table.
pub(super) fn class(task: &Task) -> Result<TaskClass, KeyProblem> {
    let runtime = payload::runtime(task)?;
    let outputs = u16::try_from(task.outputs.len().max(1)).unwrap_or(u16::MAX);
    if outputs > limits::TASK_OUTPUTS {
        return Err((
            "outputs",
            format!("{outputs} of them, the limit is {}", limits::TASK_OUTPUTS),
        ));
    }
    Ok(TaskClass {
        runtime,
        resources: resources(&task.resources).map_err(|text| ("resources", text))?,
        workers: task.workers.clone().unwrap_or_default(),
        labels: task.labels.clone().into_iter().collect(),
        retry: retry(task)?,
        timeout: span("timeout", task.timeout.as_ref())?,
        on_worker_lost: match task.on_worker_lost {
            Some(file::OnWorkerLost::Fail) => OnWorkerLost::Fail,
            Some(file::OnWorkerLost::Rerun) | None => OnWorkerLost::Rerun,
        },
        outputs,
        ..TaskClass::default()
    })
}

fn retry(task: &Task) -> Result<RetryPolicy, KeyProblem> {
    let mut policy =
        RetryPolicy { max_retries: task.retries.unwrap_or_default(), ..RetryPolicy::default() };
    policy.max_crashes = task.max_crashes.unwrap_or(policy.max_crashes);
    policy.backoff = span("backoff", task.backoff.as_ref())?.unwrap_or(policy.backoff);
    policy.backoff_max =
        span("backoff_max", task.backoff_max.as_ref())?.unwrap_or(policy.backoff_max);
    for name in task.retry_on.iter().flatten() {
        let Some((_, class)) = RETRY_ON.iter().find(|(known, _)| known == name) else {
            let hint = nearest(name, RETRY_ON.map(|(known, _)| known));
            return Err(("retry_on", format!("no failure is called `{name}`: {hint}")));
        };
        policy.retry_on.push(*class);
    }
    policy.retry_on.sort_unstable();
    policy.retry_on.dedup();
    Ok(policy)
}

fn span(key: &'static str, text: Option<&String>) -> Result<Option<Span>, KeyProblem> {
    text.map(|text| units::span(text).map_err(|error| (key, error.to_string()))).transpose()
}

fn resources(asked: &BTreeMap<String, Scalar>) -> Result<Resources, String> {
    let mut all = Resources::one_cpu();
    let mut others = Vec::new();
    for (name, amount) in asked {
        match (name.as_str(), amount) {
            ("cpus", amount) => all.cpu_units = amount_units(name, amount)?,
            ("memory", Scalar::Text(text)) => {
                all.memory_bytes =
                    units::bytes(text).map_err(|error| format!("memory: {error}"))?;
            }
            ("memory", other) => {
                return Err(format!("memory is `{other}`: write a text such as \"512MiB\""));
            }
            _ => others.push((name.clone(), amount_units(name, amount)?)),
        }
    }
    all.with_others(others).map_err(|error| error.to_string())
}

#[expect(clippy::cast_precision_loss, reason = "beyond the limit it is refused")]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within the limits")]
fn amount_units(name: &str, amount: &Scalar) -> Result<u64, String> {
    let number = match amount {
        Scalar::Int(number) => *number as f64,
        Scalar::Float(number) => *number,
        Scalar::Bool(_) | Scalar::Text(_) => {
            return Err(format!("{name} is `{amount}`: write a number such as 2 or 0.5"));
        }
    };
    if !(0.0..=AMOUNT_MAX).contains(&number) {
        return Err(format!("{name} is {number}: write a number from 0 to {AMOUNT_MAX}"));
    }
    Ok((number * UNITS as f64).round() as u64)
}

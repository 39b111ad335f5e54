//! Options of tasks, each set of which has a number.

use std::collections::BTreeMap;

use bireme_client::ExternalPayload;
use bireme_core::graph::{Runtime, TaskClass};
use bireme_core::id::Digest;
use bireme_core::resources::{Resources, UNITS};
use bireme_core::retry::RetryPolicy;
use bireme_core::time::Span;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

/// What the tasks of a client have in common.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Options {
    pub(crate) class: TaskClass,
    pub(crate) priority: i32,
}

/// The sets that a session has used, by number.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    numbers: BTreeMap<Options, u32>,
    all: Vec<Options>,
}

impl Default for Options {
    fn default() -> Self {
        let runtime = ExternalPayload::runtime("python");
        Self { class: TaskClass { runtime, ..TaskClass::default() }, priority: 0 }
    }
}

impl Default for Known {
    fn default() -> Self {
        let mut known = Self { numbers: BTreeMap::new(), all: Vec::new() };
        known.add(Options::default());
        known
    }
}

impl Known {
    /// The number of a set of options, if it has one.
    pub(crate) fn find(&self, options: &Options) -> Option<u32> {
        self.numbers.get(options).copied()
    }

    /// Numbers a set of options that has no number.
    pub(crate) fn add(&mut self, options: Options) -> u32 {
        let number = u32::try_from(self.all.len()).unwrap_or(u32::MAX);
        self.all.push(options.clone());
        self.numbers.insert(options, number);
        number
    }

    /// The set with a number.
    pub(crate) fn get(&self, number: u32) -> PyResult<&Options> {
        self.all.get(number as usize).ok_or_else(|| {
            PyValueError::new_err(format!("there are no options {number}; ask for them first"))
        })
    }
}

/// A language, in an environment where one is given.
pub(crate) fn runtime(
    name: impl Into<String>,
    environment: Option<[u8; 32]>,
    fresh_process: bool,
) -> Runtime {
    Runtime::External { name: name.into(), environment: environment.map(Digest), fresh_process }
}

/// What a task takes, of numbers as people write them.
pub(crate) fn resources(
    cpus: f64,
    memory: u64,
    others: BTreeMap<String, f64>,
) -> PyResult<Resources> {
    let others = others.into_iter().map(|(name, amount)| Ok((name.clone(), units(&name, amount)?)));
    let others: Vec<_> = others.collect::<PyResult<_>>()?;
    let resources = Resources::new(units("cpus", cpus)?, memory).with_others(others);
    resources.map_err(|error| PyValueError::new_err(error.to_string()))
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the amount is in bounds by then"
)]
fn units(name: &str, amount: f64) -> PyResult<u64> {
    let most = (u64::MAX / UNITS / 2) as f64;
    if !(0.0..=most).contains(&amount) {
        return Err(PyValueError::new_err(format!("{amount} is no amount of {name}")));
    }
    Ok((amount * UNITS as f64).round() as u64)
}

/// So many units, as people write them.
#[expect(clippy::cast_precision_loss, reason = "for people")]
pub(crate) fn amount(units: u64) -> f64 {
    units as f64 / UNITS as f64
}

/// A number of seconds.
pub(crate) fn span(seconds: f64) -> PyResult<Span> {
    let duration = std::time::Duration::try_from_secs_f64(seconds);
    let duration = duration
        .map_err(|_| PyValueError::new_err(format!("{seconds} is no number of seconds")))?;
    Ok(Span(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)))
}

/// Tried again so often: after failures of its own, and after deaths of its process or worker.
pub(crate) fn retries(max_retries: u32, max_crashes: Option<u32>) -> RetryPolicy {
    let usual = RetryPolicy::default();
    RetryPolicy { max_retries, max_crashes: max_crashes.unwrap_or(usual.max_crashes), ..usual }
}

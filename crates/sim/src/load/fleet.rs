//! Workers, and classes of tasks that some worker can run.

use bireme_core::graph::{OnWorkerLost, Runtime, TaskClass};
use bireme_core::id::WorkerUid;
use bireme_core::resources::UNITS;
use bireme_core::{ErrorClass, Resources, RetryPolicy, Span, Time, limits};

use super::WorkerPlan;
use crate::rng::Rng;

/// Longest time that code is planned to run, in microseconds. Timeouts of tasks that are to succeed are far beyond it.
pub(super) const LONGEST_RUN_US: u64 = 200_000;

/// How many crashes most tasks may be part of: how many faults there are in a run is not their fault.
const PATIENCE: u32 = 200;

pub(super) fn workers(rng: &mut Rng) -> Vec<WorkerPlan> {
    let count = rng.between(1, 6);
    (0..count).map(|n| worker(rng, n)).collect()
}

fn worker(rng: &mut Rng, n: u64) -> WorkerPlan {
    let cpus = if rng.chance(10) { UNITS / 2 } else { rng.between(1, 4) * UNITS };
    let memory = if rng.chance(30) { rng.between(1, 8) << 30 } else { 0 };
    let mut others = Vec::new();
    if rng.chance(30) {
        // What is no whole amount has no numbered pieces.
        let units = if rng.chance(10) { UNITS * 3 / 2 } else { rng.between(1, 3) * UNITS };
        others.push(("gpu".to_owned(), units));
    }
    let resources = Resources::new(cpus, memory).with_others(others).expect("the name is good");
    let zone = if rng.chance(50) { "a" } else { "b" };
    WorkerPlan {
        uid: WorkerUid(u128::from(rng.bits())),
        name: format!("worker-{n}"),
        resources,
        labels: vec![("zone".to_owned(), zone.to_owned())],
        followers: *rng.pick(&[0, 2, limits::FOLLOWERS, limits::FOLLOWERS]),
        store_bytes: 0,
        joins: Time(if rng.chance(70) { rng.below(2_000) } else { rng.below(40_000) }),
    }
}

/// A class that at least one of the workers can run.
pub(super) fn class(rng: &mut Rng, workers: &[WorkerPlan]) -> TaskClass {
    let home = rng.pick(workers);
    let mut class = TaskClass {
        resources: need(rng, &home.resources),
        runtime: if rng.chance(80) { Runtime::Native } else { Runtime::Command },
        retry: retry(rng),
        outputs: *rng.pick(&[1, 1, 1, 1, 1, 0, 2, 3]),
        ..TaskClass::default()
    };
    match rng.below(10) {
        0 => class.labels.clone_from(&home.labels),
        1 => class.workers = vec![home.name.clone()],
        2 => {
            class.workers = vec![home.name.clone()];
            class.allow_other_workers = rng.chance(50)
                && workers.iter().all(|other| other.resources.fits(&class.resources));
        }
        _ => {}
    }
    if rng.chance(15) {
        class.timeout = Some(Span(10 * LONGEST_RUN_US));
    }
    if rng.chance(8) {
        class.on_worker_lost = OnWorkerLost::Fail;
    }
    class
}

/// A class that only one worker may run.
pub(super) fn pinned(worker: &WorkerPlan) -> TaskClass {
    TaskClass {
        resources: Resources::new(worker.resources.cpu_units.min(UNITS), 0),
        workers: vec![worker.name.clone()],
        retry: RetryPolicy { max_crashes: PATIENCE, ..RetryPolicy::default() },
        ..TaskClass::default()
    }
}

fn need(rng: &mut Rng, have: &Resources) -> Resources {
    let cpus = match rng.below(10) {
        0 => 0,
        1 => UNITS / 2,
        2 => have.cpu_units,
        3 => UNITS / 3,
        _ => UNITS,
    };
    let cpus = cpus.min(have.cpu_units);
    let memory =
        if have.memory_bytes > 0 && rng.chance(15) { rng.between(1, have.memory_bytes) } else { 0 };
    let gpu = have.other("gpu");
    let others = (gpu > 0 && rng.chance(25)).then(|| {
        let units = match rng.below(5) {
            0 => gpu,
            1 => UNITS / 2,
            2 => UNITS / 3,
            3 => UNITS,
            _ => rng.between(1, gpu),
        };
        ("gpu".to_owned(), units.min(gpu))
    });
    Resources::new(cpus, memory).with_others(others).expect("the name is good")
}

fn retry(rng: &mut Rng) -> RetryPolicy {
    RetryPolicy {
        max_retries: if rng.chance(50) { rng.small(1, 3) } else { 0 },
        backoff: if rng.chance(50) { Span::ZERO } else { rng.span(100, 20_000) },
        backoff_max: Span::millis(50),
        retry_on: if rng.chance(30) {
            vec![ErrorClass::User, ErrorClass::WorkerLost]
        } else {
            Vec::new()
        },
        max_crashes: if rng.chance(5) { 0 } else { PATIENCE },
    }
}

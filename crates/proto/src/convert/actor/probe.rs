//! What looks for calls that wait for each other.

use bireme_core::actor::probe::{Probe, Step};
use bireme_core::id::Incarnation;
use bireme_core::limits;
use bireme_core::reason::Refusal;

use crate::convert::field::{at_most, list, name, optional, required, sent};
use crate::pb;
use crate::pb::deadlock_probe::Step as Wire;

impl TryFrom<pb::DeadlockProbe> for Probe {
    type Error = Refusal;

    fn try_from(pb::DeadlockProbe { number, steps }: pb::DeadlockProbe) -> Result<Self, Refusal> {
        let steps = list(at_most(steps, limits::CALL_CHAIN, "steps")?, "steps")?;
        Ok(Self { number, steps })
    }
}

impl From<Probe> for pb::DeadlockProbe {
    fn from(Probe { number, steps }: Probe) -> Self {
        Self { number, steps: sent(steps) }
    }
}

impl TryFrom<Wire> for Step {
    type Error = Refusal;

    fn try_from(message: Wire) -> Result<Self, Refusal> {
        let Wire { waits, waits_method, runs, runs_method, class_name, incarnation, run, wait } =
            message;
        Ok(Self {
            waits: optional(waits, "waits")?,
            waits_method: name(waits_method, "waits_method")?,
            runs: required(runs, "runs")?,
            runs_method: name(runs_method, "runs_method")?,
            class_name: name(class_name, "class_name")?,
            incarnation: Incarnation(incarnation),
            run,
            wait,
        })
    }
}

impl From<Step> for Wire {
    fn from(step: Step) -> Self {
        let Step { waits, waits_method, runs, runs_method, class_name, incarnation, run, wait } =
            step;
        Self {
            waits: waits.map(Into::into),
            waits_method,
            runs: Some(runs.into()),
            runs_method,
            class_name,
            incarnation: incarnation.0,
            run,
            wait,
        }
    }
}

//! Calls that an actor of this process makes to others: who waits for them, and their numbers where it has a call log.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use bireme_client::{Actor, OwnCalls};
use bireme_core::actor::call::{CallId, Callee};
use bireme_core::actor::{ActorSpec, Delivery};
use bireme_executor::{Call, Creation};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use crate::thread::Driver;

/// The numbered calls of an effectively-once actor.
#[derive(Debug)]
pub(crate) struct Own {
    calls: OwnCalls,
    /// The lanes whose calls are made again in the same order: those that run one call at a time.
    ordered: Vec<bool>,
    /// Who carries them out, once there are some.
    driver: Mutex<Weak<Driver>>,
}

/// The calls that wait for one that is made now.
#[pyclass(frozen, module = "bireme._bireme")]
#[derive(Clone, Debug, Default)]
pub(crate) struct Chain {
    waiting: Vec<CallId>,
    /// Whose calls are numbered, and the lane that makes them.
    own: Option<(Arc<Own>, u32)>,
}

impl Own {
    /// Of an actor that has a log, made from what it left if it left something.
    pub(crate) fn of(creation: &Creation) -> Option<Arc<Self>> {
        let ActorSpec { delivery, reentrant, lanes, .. } = &creation.spec;
        if *delivery != Delivery::EffectivelyOnce || *reentrant {
            return None;
        }
        let made = creation.restored.as_ref().map_or(&[][..], |state| &state.callees);
        Some(Arc::new(Self {
            calls: OwnCalls::new(creation.actor, made),
            ordered: lanes.iter().map(|lane| lane.concurrency <= 1).collect(),
            driver: Mutex::default(),
        }))
    }

    fn is_ordered(&self, lane: u32) -> bool {
        let lane = usize::try_from(lane).unwrap_or(usize::MAX);
        self.ordered.get(lane).copied().unwrap_or_default()
    }

    /// A method or the constructor has returned: waits until the calls have ended that it left behind, which would be lost
    /// with the process.
    pub(crate) fn settle(&self, py: Python<'_>, lane: u32) {
        if !self.calls.has_called(lane) {
            return;
        }
        let driver = self.driver.lock().unwrap_or_else(PoisonError::into_inner).upgrade();
        if let Some(driver) = driver {
            // A signal ends the process anyway, or means nothing here.
            drop(driver.block(py, self.calls.settled(lane)));
        }
    }

    pub(crate) fn callees(&self) -> Vec<Callee> {
        self.calls.callees()
    }

    pub(crate) fn kept(&self, callees: &[Callee]) {
        self.calls.kept(callees);
    }

    pub(crate) fn wants_checkpoint(&self) -> bool {
        self.calls.want_checkpoint()
    }
}

impl Chain {
    /// Of what a method calls that runs for `call`.
    pub(crate) fn of_call(call: &Call, own: Option<&Arc<Own>>) -> Self {
        let waiting = call.chain.iter().copied().chain(call.id).collect();
        // What is not in the log is not done again.
        let own = own.filter(|_| call.replay || call.lsn > 0);
        if let Some(own) = own {
            own.calls.begin(call.lane, call.left_out);
        }
        Self { waiting, ..Self::of_lane(call.lane, own) }
    }

    /// Of what a constructor calls.
    pub(crate) fn of_lane(lane: u32, own: Option<&Arc<Own>>) -> Self {
        let own = own.filter(|own| own.is_ordered(lane)).map(|own| (Arc::clone(own), lane));
        Self { waiting: Vec::new(), own }
    }

    /// The same actor, called for those who wait.
    pub(crate) fn bind(&self, actor: &Actor, driver: &Arc<Driver>) -> PyResult<Actor> {
        let Some((own, lane)) = &self.own else { return Ok(actor.within(&*self.waiting)) };
        *own.driver.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(driver);
        let _entered = driver.enter();
        let actor = own.calls.actor(*lane, actor);
        let actor = actor.map_err(|failed| PyRuntimeError::new_err(failed.message))?;
        Ok(actor.within(&*self.waiting))
    }
}

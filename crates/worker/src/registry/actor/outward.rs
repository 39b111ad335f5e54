//! The cluster, as methods of native actors reach it: one session for all actors of the process, opened when one of them first
//! asks for it.

use std::sync::{Arc, Mutex};

use bireme_client::OwnCalls;
use bireme_core::actor::call::{CallFailure, Callee};
use bireme_core::actor::{ActorName, ActorSpec, Delivery};
use bireme_core::{ActorId, ErrorClass, Reason, TaskError};
use bireme_executor::{Call, Creation, Services};

use crate::failure::failure;
use crate::registry::cluster::{Cluster, nowhere};
use crate::sync::lock;

/// The way out of one actor.
#[derive(Debug)]
pub(super) struct Outward {
    services: Option<Arc<Services>>,
    /// Its calls by numbers of their own, where it has a call log.
    own: Option<OwnCalls>,
    /// The lanes whose calls are made again in the same order: those that run one call at a time.
    ordered: Vec<bool>,
}

/// A session, and where it is.
#[derive(Debug)]
struct Session {
    cluster: Cluster,
    services: Arc<Services>,
}

/// The session of this process, once there is one.
static SESSION: Mutex<Option<Session>> = Mutex::new(None);

impl Outward {
    pub(super) fn new(creation: &Creation) -> Self {
        let ActorSpec { delivery, reentrant, lanes, .. } = &creation.spec;
        let is_logged = *delivery == Delivery::EffectivelyOnce && !reentrant;
        let made = creation.restored.as_ref().map_or(&[][..], |state| &state.callees);
        Self {
            services: creation.services.clone(),
            own: is_logged.then(|| OwnCalls::new(creation.actor, made)),
            ordered: lanes.iter().map(|lane| lane.concurrency <= 1).collect(),
        }
    }

    /// A method begins, for `call`.
    pub(super) fn begin(&self, call: &Call) {
        if let Some(own) = &self.own {
            own.begin(call.lane, call.left_out);
        }
    }

    /// An actor, as a method calls it that runs for `call`.
    pub(super) fn actor(
        &self,
        call: &Call,
        id: ActorId,
    ) -> Result<bireme_client::Actor, Box<TaskError>> {
        self.bind(call, &self.session()?.actor(id))
    }

    /// The actor that has a name.
    pub(super) fn find(
        &self,
        call: &Call,
        name: ActorName,
    ) -> Result<bireme_client::Actor, Box<TaskError>> {
        self.bind(call, &self.session()?.find(name)?)
    }

    /// A handle whose calls tell who waits for them, and have numbers of the caller's own where it has a log.
    fn bind(
        &self,
        call: &Call,
        actor: &bireme_client::Actor,
    ) -> Result<bireme_client::Actor, Box<TaskError>> {
        let chain: Vec<_> = call.chain.iter().copied().chain(call.id).collect();
        let own = self.own.as_ref().filter(|_| self.is_repeated(call));
        let actor = match own {
            Some(own) => own.actor(call.lane, actor).map_err(not_called)?,
            None => actor.clone(),
        };
        Ok(actor.within(chain))
    }

    /// Whether a call is in the log, and would make the same calls again.
    fn is_repeated(&self, call: &Call) -> bool {
        let lane = usize::try_from(call.lane).unwrap_or(usize::MAX);
        let is_ordered = self.ordered.get(lane).copied().unwrap_or_default();
        is_ordered && (call.replay || call.lsn > 0)
    }

    /// Waits for something that has to do with the cluster.
    pub(super) fn wait<T>(&self, work: impl Future<Output = T>) -> Result<T, Box<TaskError>> {
        Ok(self.session()?.wait(work))
    }

    /// A method has returned: waits until the calls have ended that it left behind, where they could be lost.
    pub(super) fn settle(&self, lane: u32) {
        let Some(own) = self.own.as_ref().filter(|own| own.has_called(lane)) else { return };
        if let Ok(session) = self.session() {
            session.wait(own.settled(lane));
        }
    }

    /// What a checkpoint says of its calls.
    pub(super) fn callees(&self) -> Vec<Callee> {
        self.own.as_ref().map(OwnCalls::callees).unwrap_or_default()
    }

    pub(super) fn kept(&self, callees: &[Callee]) {
        if let Some(own) = &self.own {
            own.kept(callees);
        }
    }

    pub(super) fn wants_checkpoint(&self) -> bool {
        self.own.as_ref().is_some_and(OwnCalls::want_checkpoint)
    }

    /// The session of this process: another where the one that there was has ended.
    fn session(&self) -> Result<Cluster, Box<TaskError>> {
        let services = self.services.clone().ok_or_else(nowhere)?;
        let mut kept = lock(&SESSION);
        let lives = |session: &&Session| session.services == services && !session.cluster.is_lost();
        if let Some(session) = kept.as_ref().filter(lives) {
            return Ok(session.cluster.clone());
        }
        let name = format!("actors of process {}", std::process::id());
        let cluster = Cluster::open(&services, &name, None)?;
        *kept = Some(Session { cluster: cluster.clone(), services });
        Ok(cluster)
    }
}

fn not_called(failed: CallFailure) -> Box<TaskError> {
    failure(ErrorClass::User, Reason::UserError, failed.message)
}

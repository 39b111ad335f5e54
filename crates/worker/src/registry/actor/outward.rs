//! The cluster, as methods of native actors reach it: one session for all actors of the process, opened when one of them first
//! asks for it.

use std::sync::{Arc, Mutex, PoisonError};
use std::{io, thread};

use bireme_client::{Client, ConnectOptions, OwnCalls};
use bireme_core::actor::call::{CallFailure, Callee};
use bireme_core::actor::{ActorName, ActorSpec, Delivery};
use bireme_core::{ActorId, ErrorClass, Reason, TaskError};
use bireme_executor::{Call, Creation, Services, Turns};
use futures_util::FutureExt as _;
use tokio::runtime::Builder;

use crate::failure::failure;

/// The way out of one actor.
#[derive(Debug)]
pub(super) struct Outward {
    services: Option<Arc<Services>>,
    /// Its calls by numbers of their own, where it has a call log.
    own: Option<OwnCalls>,
    /// The lanes whose calls are made again in the same order: those that run one call at a time.
    ordered: Vec<bool>,
}

/// A session, and what it runs on.
#[derive(Clone, Debug)]
struct Session {
    turns: Arc<Turns>,
    client: Client,
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
        let session = self.session()?;
        let _entered = session.turns.runtime().enter();
        self.bind(call, &session.client.actor_of(id))
    }

    /// The actor that has a name.
    pub(super) fn find(
        &self,
        call: &Call,
        name: ActorName,
    ) -> Result<bireme_client::Actor, Box<TaskError>> {
        let session = self.session()?;
        let found = session.turns.wait(session.client.find_actor(name.clone()));
        let found = found.map_err(|refused| {
            failure(ErrorClass::NotFound, Reason::ActorUnknown, format!("actor {name}: {refused}"))
        })?;
        let _entered = session.turns.runtime().enter();
        self.bind(call, &found)
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
        Ok(self.session()?.turns.wait(work))
    }

    /// A method has returned: waits until the calls have ended that it left behind, where they could be lost.
    pub(super) fn settle(&self, lane: u32) {
        let Some(own) = self.own.as_ref().filter(|own| own.has_called(lane)) else { return };
        if let Ok(session) = self.session() {
            session.turns.wait(own.settled(lane));
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
    fn session(&self) -> Result<Session, Box<TaskError>> {
        let services = self.services.clone().ok_or_else(nowhere)?;
        let mut kept = SESSION.lock().unwrap_or_else(PoisonError::into_inner);
        let lives = |session: &&Session| {
            session.services == services && session.client.until_lost().now_or_never().is_none()
        };
        if let Some(session) = kept.as_ref().filter(lives) {
            return Ok(session.clone());
        }
        let session = open(services)?;
        *kept = Some(session.clone());
        Ok(session)
    }
}

fn open(services: Arc<Services>) -> Result<Session, Box<TaskError>> {
    let turns = start().map_err(|error| unreachable(&error))?;
    let options = ConnectOptions {
        scheduler: Some(services.address.clone()),
        token: Some(services.token.clone()).filter(|token| !token.is_empty()),
        name: format!("actors of process {}", std::process::id()),
        ..ConnectOptions::default()
    };
    let client = turns.wait(Client::connect(options)).map_err(|error| unreachable(&error))?;
    Ok(Session { turns, client, services })
}

/// A runtime that has a thread of its own for as long as the process lives, beside those that wait for it.
fn start() -> io::Result<Arc<Turns>> {
    let turns = Arc::new(Turns::new(Builder::new_current_thread().enable_all().build()?));
    let own = Arc::clone(&turns);
    let drive = move || own.drive(std::future::pending::<()>());
    thread::Builder::new().name("outward".to_owned()).spawn(drive)?;
    Ok(turns)
}

fn nowhere() -> Box<TaskError> {
    let message = "the worker has no scheduler, so that its actors can call nobody";
    failure(ErrorClass::User, Reason::Unsupported, message)
}

fn unreachable(error: &dyn std::fmt::Display) -> Box<TaskError> {
    let message = format!("the actor cannot reach its cluster: {error}");
    failure(ErrorClass::Reschedule, Reason::Busy, message)
}

fn not_called(failed: CallFailure) -> Box<TaskError> {
    failure(ErrorClass::User, Reason::UserError, failed.message)
}

//! The cluster, as native code reaches it: sessions of this process, all of which run on one thread of its own.

use std::sync::{Arc, Mutex};
use std::{fmt, io, thread};

use bireme_client::{Client, ConnectOptions};
use bireme_core::actor::ActorName;
use bireme_core::{ActorId, AttemptId, ErrorClass, Reason, TaskError, limits};
use bireme_executor::{Services, Turns};
use futures_util::FutureExt as _;
use tokio::runtime::Builder;

use crate::failure::failure;
use crate::sync::lock;

/// A session, and what it runs on.
#[derive(Clone, Debug)]
pub(super) struct Cluster {
    turns: Arc<Turns>,
    client: Client,
}

/// What the sessions of this process run on, once there is one.
static TURNS: Mutex<Option<Arc<Turns>>> = Mutex::new(None);

impl Cluster {
    /// Opens a session that people see under this name; with `parent` it ends with that attempt.
    pub(super) fn open(
        services: &Services,
        name: &str,
        parent: Option<AttemptId>,
    ) -> Result<Self, Box<TaskError>> {
        let turns = turns().map_err(|error| unreachable(&error))?;
        let options = ConnectOptions {
            scheduler: Some(services.address.clone()),
            token: Some(services.token.clone()).filter(|token| !token.is_empty()),
            name: name.get(..name.floor_char_boundary(limits::NAME_BYTES)).unwrap_or(name).into(),
            parent,
            ..ConnectOptions::default()
        };
        let client = turns.wait(Client::connect(options)).map_err(|error| unreachable(&error))?;
        Ok(Self { turns, client })
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// Whether the session is over.
    pub(super) fn is_lost(&self) -> bool {
        self.client.until_lost().now_or_never().is_some()
    }

    /// An actor, by its id.
    pub(super) fn actor(&self, id: ActorId) -> bireme_client::Actor {
        self.client.actor_of(id)
    }

    /// The actor that has a name.
    pub(super) fn find(&self, name: ActorName) -> Result<bireme_client::Actor, Box<TaskError>> {
        self.wait(self.client.find_actor(name.clone())).map_err(|refused| {
            failure(ErrorClass::NotFound, Reason::ActorUnknown, format!("actor {name}: {refused}"))
        })
    }

    /// Waits for something that has to do with the cluster.
    pub(super) fn wait<T>(&self, work: impl Future<Output = T>) -> T {
        self.turns.wait(work)
    }
}

/// A runtime that has a thread of its own for as long as the process lives, beside those that wait for it.
fn turns() -> io::Result<Arc<Turns>> {
    let mut kept = lock(&TURNS);
    if let Some(turns) = &*kept {
        return Ok(Arc::clone(turns));
    }
    let turns = Arc::new(Turns::new(Builder::new_current_thread().enable_all().build()?));
    let own = Arc::clone(&turns);
    let drive = move || own.drive(std::future::pending::<()>());
    thread::Builder::new().name("outward".to_owned()).spawn(drive)?;
    *kept = Some(Arc::clone(&turns));
    Ok(turns)
}

/// Why code finds no cluster where its worker has none.
pub(super) fn nowhere() -> Box<TaskError> {
    let message = "the worker has no scheduler, so that its code can call nobody";
    failure(ErrorClass::User, Reason::Unsupported, message)
}

fn unreachable(error: &dyn fmt::Display) -> Box<TaskError> {
    let message = format!("the cluster cannot be reached: {error}");
    failure(ErrorClass::Reschedule, Reason::Busy, message)
}

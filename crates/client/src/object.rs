//! Values that a session has put into the cluster.

use std::sync::Arc;

use bireme_core::session::Replica;
use bireme_core::{ObjectId, Value};

use crate::admin::Location;
use crate::client::{Client, Inner};
use crate::error::CommandError;
use crate::fetch::{self, Wanted};
use crate::slots::Place;

/// A value that a session has put into the cluster.
///
/// Dropping it does not release the value: that is what [`Object::release`] is for. What nobody releases ends with the
/// session.
#[derive(Clone, Debug)]
pub struct Object {
    id: ObjectId,
    place: Place,
    client: Arc<Inner>,
}

/// Replicas that are named in one command.
const REPLICAS: usize = 4_096;

/// The value cannot be fetched.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("cannot fetch object {object}: {problem}")]
pub struct FetchError {
    /// Which.
    pub object: ObjectId,
    /// What each holder answered.
    pub problem: String,
}

impl Client {
    /// A value that [`Admin::result`](crate::Admin::result) has located, of this session or another: to be fetched, or to be
    /// named to [`GraphBuilder::external`](bireme_core::graph::GraphBuilder::external). Only whose it is can release it.
    pub fn located(&self, location: &Location) -> Object {
        let holders = location.holders.iter().map(|holder| holder.worker).collect();
        let place = Place { holders, size: location.size };
        Object::new(location.object, place, Arc::clone(&self.inner))
    }

    /// Has workers drop replicas of values that others have too: of values that this session has put, and of outputs of its
    /// graphs. The last replica of a value stays.
    pub async fn drop_replicas(&self, replicas: &[Replica]) -> Result<(), CommandError> {
        for replicas in replicas.chunks(REPLICAS) {
            self.inner.drop_replicas(replicas).await?;
        }
        Ok(())
    }
}

impl Object {
    pub(crate) fn new(id: ObjectId, place: Place, client: Arc<Inner>) -> Self {
        Self { id, place, client }
    }

    /// What graphs name it by.
    pub fn id(&self) -> ObjectId {
        self.id
    }

    /// Its size in bytes.
    pub fn size(&self) -> u64 {
        self.place.size
    }

    /// Brings it back.
    pub async fn fetch(&self) -> Result<Value, FetchError> {
        let wanted = Wanted { object: self.id, place: self.place.clone() };
        let fetched = fetch::value(&self.client, wanted).await;
        fetched.map_err(|problem| FetchError { object: self.id, problem })
    }

    /// Gives it up: it goes when the last task that was submitted with it as an input has ended, and no further graph may
    /// name it.
    pub async fn release(&self) -> Result<(), CommandError> {
        self.client.release_value(self.id).await
    }
}

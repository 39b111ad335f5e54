//! The bytes of values, in and out: the service that this worker offers, and the calls that it makes to its peers.

pub(crate) mod adopt;
mod assembly;
mod blob;
mod chunks;
pub(crate) mod fetch;
pub(crate) mod haul;
mod leases;
mod local;
mod put;
pub(crate) mod read;
mod stat;
mod ticket;

use std::pin::Pin;
use std::sync::Arc;

use bireme_core::reason::{Reason, Refusal};
use bireme_proto::pb;
use bireme_proto::pb::store_server::Store as Service;
use bireme_proto::status::status;
use futures_util::TryStreamExt as _;
use tokio_stream::Stream;
use tonic::{Request, Response, Status, Streaming};

use self::leases::Leases;
use self::local::Local;
use self::put::{Landed, Ways};
use self::read::Reading;
use crate::bulk::Quay;
use crate::inbox::Inbox;
use crate::machine::Event;
use crate::store::Store;

/// Serves what the store holds.
#[derive(Clone, Debug)]
pub(crate) struct Door {
    store: Arc<Store>,
    inbox: Arc<Inbox>,
    leases: Arc<Leases>,
    local: Arc<Local>,
    quay: Arc<Quay>,
    /// Where bulk connections come in.
    addresses: Arc<[pb::Address]>,
}

impl Door {
    /// Tells `inbox` of what clients put; tickets are for `quay`, which is reached at `addresses`.
    pub(crate) fn new(
        store: Arc<Store>,
        inbox: Arc<Inbox>,
        quay: Arc<Quay>,
        addresses: Vec<pb::Address>,
    ) -> Self {
        let leases = Arc::new(Leases::default());
        let local = Arc::new(Local::new(Arc::clone(&store), Arc::clone(&leases)));
        Self { store, inbox, leases, local, quay, addresses: addresses.into() }
    }
}

type Answer<T> = Result<Response<T>, Status>;
type Parts<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl Service for Door {
    type FetchStream = Parts<pb::FetchResponse>;
    type FetchBlobStream = Parts<pb::FetchBlobResponse>;

    async fn fetch(&self, request: Request<pb::FetchRequest>) -> Answer<Self::FetchStream> {
        let reading = Reading::new(&self.store, request.into_inner()).map_err(status)?;
        Ok(Response::new(Box::pin(reading.messages())))
    }

    async fn put(&self, request: Request<Streaming<pb::PutRequest>>) -> Answer<pb::PutResponse> {
        let peer = ticket::peer(&request);
        let ways = Ways { leases: &self.leases, quay: &self.quay, peer };
        let landed = put::put(&self.store, ways, request.into_inner()).await?;
        let Landed { object, size, digest } = landed;
        self.inbox.tell(Event::Stored { object, size });
        let object = Some(object.into());
        Ok(Response::new(pb::PutResponse { object, size, digest, worker: None }))
    }

    async fn stat(&self, request: Request<pb::StatRequest>) -> Answer<pb::StatResponse> {
        stat::stat(&self.store, request.into_inner()).map(Response::new).map_err(status)
    }

    async fn put_blob(
        &self,
        request: Request<Streaming<pb::PutBlobRequest>>,
    ) -> Answer<pb::PutBlobResponse> {
        Ok(Response::new(blob::put(&self.store, request.into_inner()).await?))
    }

    async fn has_blobs(
        &self,
        request: Request<pb::HasBlobsRequest>,
    ) -> Answer<pb::HasBlobsResponse> {
        blob::missing(&self.store, request.into_inner()).map(Response::new).map_err(status)
    }

    async fn fetch_blob(
        &self,
        request: Request<pb::FetchBlobRequest>,
    ) -> Answer<Self::FetchBlobStream> {
        let request = request.into_inner();
        let from = request.offset;
        let reading = blob::read(&self.store, request).map_err(status)?;
        Ok(Response::new(Box::pin(reading.messages().map_ok(move |part| blob::part(part, from)))))
    }

    async fn ticket(&self, request: Request<pb::TicketRequest>) -> Answer<pb::TicketResponse> {
        let peer = ticket::peer(&request).map_err(status)?;
        let request = request.into_inner();
        let given = ticket::read(&self.quay, &self.store, &self.addresses, peer, request);
        given.map(Response::new).map_err(status)
    }

    async fn put_ticket(
        &self,
        request: Request<pb::PutTicketRequest>,
    ) -> Answer<pb::PutTicketResponse> {
        let peer = ticket::peer(&request).map_err(status)?;
        let head = request.into_inner().head;
        let head = head.ok_or_else(|| status(malformed("head", "the head is missing")))?;
        let given = ticket::write(&self.quay, &self.addresses, peer, &head);
        given.map(Response::new).map_err(status)
    }

    async fn pool_files(
        &self,
        request: Request<pb::PoolFilesRequest>,
    ) -> Answer<pb::PoolFilesResponse> {
        self.local.pool_files(request.into_inner()).await.map(Response::new).map_err(status)
    }

    async fn allocate_pool(
        &self,
        request: Request<pb::AllocatePoolRequest>,
    ) -> Answer<pb::AllocatePoolResponse> {
        self.local.allocate(request.into_inner()).await.map(Response::new).map_err(status)
    }

    async fn release_pool(
        &self,
        request: Request<pb::ReleasePoolRequest>,
    ) -> Answer<pb::ReleasePoolResponse> {
        self.leases.release(&request.into_inner().leases);
        Ok(Response::new(pb::ReleasePoolResponse {}))
    }
}

fn malformed(field: &str, message: impl Into<String>) -> Refusal {
    Refusal::at(Reason::Malformed, field, message)
}

fn unsupported(field: &str, message: &str) -> Refusal {
    Refusal::at(Reason::Unsupported, field, message)
}

#[cfg(test)]
mod tests;

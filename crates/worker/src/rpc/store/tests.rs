//! Values between two stores, over real sockets.

mod bulk;

use std::time::Duration;

use bireme_core::id::{AttemptId, AttemptNo, Digest, Epoch, GraphId, HolderId, TaskId, WorkerId};
use bireme_core::protocol::{Address, Peer};
use bireme_core::value::{Buffer, Codec};
use bireme_core::{ObjectId, Value, limits};
use bireme_daemon::Listener;
use bireme_daemon::auth::Bearer;
use bireme_proto::pb::store_client::StoreClient;
use bireme_proto::pb::store_server::StoreServer;
use bireme_proto::status::refusal;
use bytes::Bytes;
use smallvec::smallvec;
use tonic::transport::Server;

use super::assembly::head_of;
use super::*;
use crate::clock::Clock;
use crate::inbox::Told;
use crate::transfer::{Transfer, Way};

const GUARD: Duration = Duration::from_mins(1);

/// A store that is served.
struct Site {
    store: Arc<Store>,
    inbox: Arc<Inbox>,
    address: Address,
}

impl Site {
    async fn new() -> Self {
        Self::with(Store::scratch()).await
    }

    async fn with(store: Store) -> Self {
        let listener = Listener::bind("127.0.0.1:0", 16).await.unwrap();
        let address = crate::config::address(&listener.address().to_string(), 0);
        let (store, inbox) = (Arc::new(store), Arc::new(Inbox::default()));
        let (handle, clock) = (tokio::runtime::Handle::current(), Clock::start());
        let quay = Quay::new([7; 32], Arc::clone(&store), handle, clock);
        let listener = listener.with_door(quay.door());
        let door = Door::new(store.clone(), inbox.clone(), quay, vec![address.clone().into()]);
        let served = Server::builder().add_service(StoreServer::new(door));
        tokio::spawn(served.serve_with_incoming(listener.incoming()));
        Self { store, inbox, address }
    }

    fn transfer(&self) -> Transfer {
        self.transfer_by(Way::Auto)
    }

    fn transfer_by(&self, way: Way) -> Transfer {
        let handle = tokio::runtime::Handle::current();
        Transfer::new(handle, self.store.clone(), self.inbox.clone(), Bearer::none(), way)
    }

    async fn told(&self) -> String {
        let mut told = Vec::new();
        while told.is_empty() {
            tokio::time::timeout(GUARD, self.inbox.filled()).await.expect("nothing was told");
            self.inbox.take(&mut told);
        }
        match told.as_slice() {
            [Told::Event(Event::Fetched { size, .. })] => format!("fetched {size}"),
            [Told::Event(Event::Stored { size, .. })] => format!("stored {size}"),
            [Told::Event(Event::FetchFailed { asked, .. })] => format!("asked {asked:?} in vain"),
            other => panic!("{other:?}"),
        }
    }

    async fn client(&self) -> StoreClient<tonic::transport::Channel> {
        StoreClient::new(fetch::connect(&self.address).await.unwrap())
    }
}

fn object(n: u64) -> ObjectId {
    ObjectId::Held { holder: HolderId(1), n }
}

fn attempt() -> AttemptId {
    let no = AttemptNo { epoch: Epoch(1), n: 1 };
    AttemptId { task: TaskId { graph: GraphId(1), index: 0 }, no }
}

/// A value of several buffers, one of them empty and one of several chunks.
fn large() -> Value {
    let long: Vec<u8> = (0..=250).cycle().take(3 * limits::STORE_CHUNK_BYTES + 7).collect();
    let mut value = Value::inline(Codec::Pickle5, "head");
    value.size = 4 + long.len() as u64;
    value.buffers.extend([Buffer::Inline(Bytes::new()), Buffer::Inline(long.into())]);
    value.type_hint = "numpy.ndarray".to_owned();
    value
}

mod local;

#[tokio::test]
async fn a_value_arrives_as_it_was_from_the_first_holder_that_has_it() {
    let (near, gone, empty, far) =
        (Site::new().await, WorkerId(9), Site::new().await, Site::new().await);
    let transfer = near.transfer();
    let peer = |n, site: &Site| Peer {
        worker: WorkerId(n),
        addresses: vec![site.address.clone()],
        machine: String::new(),
    };
    transfer.know(vec![peer(2, &empty), peer(3, &far)]);
    far.store.put(object(1), Arc::new(large()), Some(attempt())).unwrap();
    transfer.fetch(object(1), 0, smallvec![gone, WorkerId(2), WorkerId(3)]);
    assert_eq!(near.told().await, format!("fetched {}", large().size));
    let stored = near.store.get(object(1)).unwrap();
    assert_eq!((&*stored.load().unwrap(), stored.made_by), (&large(), Some(attempt())));
    transfer.fetch(object(2), 0, smallvec![gone, WorkerId(3)]);
    assert_eq!(near.told().await, "asked [WorkerId(9), WorkerId(3)] in vain");
}

#[tokio::test]
async fn a_fetch_goes_on_where_it_broke() {
    let site = Site::new().await;
    site.store.put(object(1), Arc::new(large()), Some(attempt())).unwrap();
    let mut client = site.client().await;
    let source = Some(pb::fetch_request::Source::Object(object(1).into()));
    let from = limits::STORE_CHUNK_BYTES as u64;
    let request = pb::FetchRequest {
        source,
        buffer: 2,
        offset: from,
        length: 10,
        made_by: Some(attempt().into()),
        worker: None,
    };
    let mut parts = client.fetch(request.clone()).await.unwrap().into_inner();
    let Some(pb::fetch_response::Part::Head(head)) = parts.message().await.unwrap().unwrap().part
    else {
        panic!("no head")
    };
    assert_eq!((head.length, head.made_by), (10, Some(attempt().into())));
    let Some(pb::fetch_response::Part::Chunk(chunk)) = parts.message().await.unwrap().unwrap().part
    else {
        panic!("no chunk")
    };
    assert_eq!((chunk.buffer, chunk.offset, chunk.data.len()), (2, from, 10));
    assert!(parts.message().await.unwrap().is_none());

    let mut other = attempt();
    other.no.n = 2;
    let stale = pb::FetchRequest { made_by: Some(other.into()), ..request.clone() };
    let beyond = pb::FetchRequest { offset: u64::MAX, made_by: None, ..request };
    for (request, reason) in [(stale, Reason::ReplicaChanged), (beyond, Reason::Malformed)] {
        let status = client.fetch(request).await.unwrap_err();
        assert_eq!(refusal(&status).unwrap().reason, reason);
    }
}

fn put(chunks: Vec<pb::DataChunk>, change: impl FnOnce(&mut pb::PutHead)) -> Vec<pb::PutRequest> {
    let value = Value { digest: None, ..Value::raw("abcdef") };
    let mut head = pb::PutHead {
        object: Some(object(5).into()),
        value: Some(head_of(&value)),
        ..pb::PutHead::default()
    };
    change(&mut head);
    let chunks = chunks.into_iter().map(pb::put_request::Part::Chunk);
    let parts = std::iter::once(pb::put_request::Part::Head(head)).chain(chunks);
    parts.map(|part| pb::PutRequest { part: Some(part) }).collect()
}

fn chunk(offset: u64, data: &'static str) -> pb::DataChunk {
    pb::DataChunk { buffer: 0, offset, data: data.into() }
}

#[tokio::test]
async fn what_a_client_puts_is_stored_and_told() {
    let site = Site::new().await;
    let parts = put(vec![chunk(0, "abc"), chunk(3, "def")], |head| {
        let digest = Digest(*blake3::hash(b"abcdef").as_bytes());
        head.value.as_mut().unwrap().digest = Some(digest.into());
    });
    let answer = site.client().await.put(tokio_stream::iter(parts)).await.unwrap();
    assert_eq!(answer.into_inner().size, 6);
    assert_eq!(site.told().await, "stored 6");
    assert_eq!(site.store.get(object(5)).unwrap().value.bytes().as_deref(), Some(&b"abcdef"[..]));
}

#[tokio::test]
async fn a_bad_put_is_refused_by_field_and_stores_nothing() {
    let site = Site::new().await;
    let mut client = site.client().await;
    let whole = || vec![chunk(0, "abcdef")];
    let output = |head: &mut pb::PutHead| {
        head.object = Some(ObjectId::output(attempt().task, 0).into());
    };
    let digest = |head: &mut pb::PutHead| {
        head.value.as_mut().unwrap().digest = Some(Digest([0; 32]).into());
    };
    let huge = |head: &mut pb::PutHead| {
        head.value.as_mut().unwrap().buffer_lengths = vec![u64::MAX, 1];
    };
    for (parts, reason, field) in [
        (put(vec![chunk(0, "abc")], |_| {}), Reason::Malformed, "chunk"),
        (put(vec![chunk(1, "abc")], |_| {}), Reason::Malformed, "chunk.offset"),
        (put(vec![chunk(0, "abcdefg")], |_| {}), Reason::Malformed, "chunk.data"),
        (put(whole(), output), Reason::Malformed, "head.object"),
        (put(whole(), digest), Reason::DigestMismatch, "value.digest"),
        (put(whole(), huge), Reason::ValueTooLarge, "value.buffer_lengths"),
        (put(whole(), |head| head.ticket = "x".into()), Reason::Unauthenticated, "ticket"),
        (Vec::new(), Reason::Malformed, "head"),
    ] {
        let status = client.put(tokio_stream::iter(parts)).await.unwrap_err();
        let refusal = refusal(&status).unwrap();
        assert_eq!((refusal.reason, refusal.field.as_str()), (reason, field));
    }
    assert_eq!(site.store.totals().objects, 0);
}

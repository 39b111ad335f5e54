//! Tickets, bulk connections, and values taken over on one machine.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};

use bireme_proto::bulk::{self, BulkError};
use tokio::task::spawn_blocking;

use super::*;
use crate::host;
use crate::store::Residence;

/// A value of two long buffers with a short one between them.
fn wide() -> Value {
    let long = |byte: u8| Buffer::Inline(vec![byte; 1 << 20].into());
    let mut value = Value::inline(Codec::Pickle5, vec![1; 1 << 20]);
    value.buffers.extend([Buffer::Inline("between".into()), long(2)]);
    value.size = (2 << 20) + 7;
    value
}

fn here(n: u32, site: &Site) -> Peer {
    let addresses = vec![site.address.clone()];
    Peer { worker: WorkerId(n), addresses, machine: host::machine() }
}

async fn ticket(site: &Site, objects: &[u64]) -> pb::TicketResponse {
    let fetch = |n: &u64| pb::FetchRequest {
        source: Some(pb::fetch_request::Source::Object(object(*n).into())),
        ..pb::FetchRequest::default()
    };
    let request = pb::TicketRequest { fetches: objects.iter().map(fetch).collect() };
    site.client().await.ticket(request).await.unwrap().into_inner()
}

/// Runs what waits for a socket elsewhere than where the site is served.
async fn aside<T: Send + 'static>(run: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::time::timeout(GUARD, spawn_blocking(run)).await.expect("in time").unwrap()
}

fn dial(address: &Address) -> TcpStream {
    let stream = TcpStream::connect((address.host.as_str(), address.port)).unwrap();
    stream.set_read_timeout(Some(GUARD)).unwrap();
    stream
}

#[tokio::test]
async fn every_way_brings_the_same_bytes() {
    for way in [Way::Auto, Way::Socket, Way::Stream] {
        let (near, far) = (Site::new().await, Site::new().await);
        far.store.put(object(1), Arc::new(wide()), Some(attempt())).unwrap();
        let transfer = near.transfer_by(way);
        transfer.know(vec![here(1, &far)]);
        transfer.fetch(object(1), wide().size, smallvec![WorkerId(1)]);
        assert_eq!(near.told().await, format!("fetched {}", wide().size), "{way:?}");
        let stored = near.store.get(object(1)).unwrap();
        assert!(*stored.load().unwrap() == wide(), "{way:?}");
        assert_eq!(stored.residence(), Residence::Shared, "{way:?}");
        let shares = |site: &Site| {
            let stored = site.store.get(object(1)).unwrap();
            let Buffer::PoolFile(run) = &stored.value.buffers[0] else { panic!("not in a file") };
            let path = site.store.directory().join(&run.name);
            std::os::unix::fs::MetadataExt::ino(&std::fs::metadata(path).unwrap())
        };
        assert_eq!(shares(&near) == shares(&far), way == Way::Auto, "{way:?}");
    }
}

#[tokio::test]
async fn what_was_taken_over_outlives_its_first_owner() {
    let (near, far) = (Site::new().await, Site::new().await);
    far.store.put(object(1), Arc::new(wide()), None).unwrap();
    let transfer = near.transfer();
    transfer.know(vec![here(1, &far)]);
    transfer.fetch(object(1), wide().size, smallvec![WorkerId(1)]);
    near.told().await;
    far.store.remove(object(1));
    for n in 2..6 {
        far.store.put(object(n), Arc::new(Value::raw(vec![0xee; 1 << 20])), None).unwrap();
    }
    assert!(*near.store.get(object(1)).unwrap().load().unwrap() == wide());
}

#[tokio::test]
async fn many_are_fetched_by_few_connections() {
    let (near, far) = (Site::new().await, Site::new().await);
    let value = |n: u64| Value::raw(vec![u8::try_from(n % 251).unwrap(); 64 << 10]);
    for n in 1..=300 {
        far.store.put(object(n), Arc::new(value(n)), None).unwrap();
    }
    let transfer = near.transfer_by(Way::Socket);
    transfer.know(vec![here(1, &far)]);
    for n in 1..=300 {
        transfer.fetch(object(n), 64 << 10, smallvec![WorkerId(1)]);
    }
    let (mut came, mut told) = (0, Vec::new());
    while came < 300 {
        tokio::time::timeout(GUARD, near.inbox.filled()).await.expect("nothing was told");
        near.inbox.take(&mut told);
        for told in told.drain(..) {
            assert!(matches!(told, Told::Event(Event::Fetched { size: 65_536, .. })), "{told:?}");
            came += 1;
        }
    }
    for n in 1..=300 {
        assert!(*near.store.get(object(n)).unwrap().load().unwrap() == value(n), "{n}");
    }
}

#[tokio::test]
async fn a_ticket_tells_what_is_not_there_and_opens_only_what_it_says() {
    let site = Site::new().await;
    site.store.put(object(1), Arc::new(Value::raw("abc")), None).unwrap();
    let given = ticket(&site, &[1, 2]).await;
    assert_eq!((given.length, given.heads.len()), (3, 2));
    assert!(given.heads[0].value.is_some() && given.heads[1].value.is_none());
    let address = site.address.clone();
    aside(move || {
        let mut stream = dial(&address);
        bulk::present(&mut stream, &given.ticket).unwrap();
        let mut bytes = [0; 3];
        stream.read_exact(&mut bytes).unwrap();
        assert_eq!(&bytes, b"abc");
        bulk::confirm(&mut stream).unwrap();
        let mut forged = given.ticket.to_vec();
        *forged.last_mut().unwrap() ^= 1;
        let refused = bulk::present(&mut dial(&address), &forged).unwrap_err();
        let BulkError::Refused(refusal) = refused else { panic!("{refused}") };
        assert_eq!(refusal.reason, Reason::Unauthenticated);
    })
    .await;
    site.store.put(object(1), Arc::new(Value::raw("longer")), None).unwrap();
    let stale = ticket(&site, &[1]).await;
    site.store.put(object(1), Arc::new(Value::raw("abc")), None).unwrap();
    let address = site.address.clone();
    let refused = aside(move || bulk::present(&mut dial(&address), &stale.ticket)).await;
    let Err(BulkError::Refused(refusal)) = refused else { panic!("{refused:?}") };
    assert_eq!(refusal.reason, Reason::ReplicaChanged);
}

#[tokio::test]
async fn a_peer_that_goes_half_way_frees_what_it_had_pinned() {
    let site = Site::new().await;
    site.store.put(object(1), Arc::new(Value::raw(vec![7; 32 << 20])), None).unwrap();
    let given = ticket(&site, &[1]).await;
    let address = site.address.clone();
    let stream = aside(move || {
        let mut stream = dial(&address);
        bulk::present(&mut stream, &given.ticket).unwrap();
        stream.read_exact(&mut [0; 1_000]).unwrap();
        stream
    })
    .await;
    assert!(site.store.stat(object(1)).unwrap().pins > 0, "pinned while it is read");
    let freed = site.store.freed();
    site.store.remove(object(1));
    drop(stream);
    tokio::time::timeout(GUARD, freed).await.expect("the file came free");
}

#[tokio::test]
async fn a_value_is_put_by_a_bulk_connection() {
    let site = Site::new().await;
    let value = Value { digest: None, ..wide() };
    let head = pb::PutHead {
        object: Some(object(5).into()),
        value: Some(head_of(&value)),
        ..pb::PutHead::default()
    };
    let request = pb::PutTicketRequest { head: Some(head.clone()) };
    let mut client = site.client().await;
    let given = client.put_ticket(request).await.unwrap().into_inner();
    assert_eq!(given.length, value.size);
    let put = pb::PutHead { ticket: given.ticket.clone(), ..head };
    let put = pb::PutRequest { part: Some(pb::put_request::Part::Head(put)) };
    let early = client.put(tokio_stream::iter([put.clone()])).await.unwrap_err();
    assert_eq!(refusal(&early).unwrap().field, "head.ticket");

    let (address, all) = (site.address.clone(), value.bytes().unwrap());
    aside(move || {
        let mut broken = dial(&address);
        bulk::present(&mut broken, &given.ticket).unwrap();
        broken.write_all(&all[..100]).unwrap();
        broken.shutdown(Shutdown::Write).unwrap();
        assert!(bulk::read_done(&mut broken).is_err(), "it was not all");
        drop(broken);
        let mut stream = dial(&address);
        bulk::present(&mut stream, &given.ticket).unwrap();
        stream.write_all(&all).unwrap();
        bulk::read_done(&mut stream).unwrap();
    })
    .await;
    let landed = client.put(tokio_stream::iter([put])).await.unwrap().into_inner();
    assert_eq!(landed.size, value.size);
    assert_eq!(site.told().await, format!("stored {}", value.size));
    assert!(*site.store.get(object(5)).unwrap().load().unwrap() == value);
}

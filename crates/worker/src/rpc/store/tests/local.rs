//! Files of the pool in other hands, blobs, and what is told of all that.

use std::fs;
use std::path::{Path, PathBuf};

use bireme_proto::pb::ObjectStat;
use bireme_proto::pb::Residence::{Absent, Memory, SharedFile, Spilled};

use super::*;
use crate::host;
use crate::store::StoreConfig;

const ROOM: u64 = limits::POOL_FILE_BYTES;
const BIG: usize = 64 << 10;

/// A store with room for few values; its directories live as long as what comes with it.
async fn small(memory: u64, disk: u64) -> (Site, [tempfile::TempDir; 2]) {
    let directories = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let store = Store::new(StoreConfig {
        seed: 0,
        directory: Some(directories[0].path().to_owned()),
        limit_bytes: memory * ROOM,
        spill: Some(directories[1].path().to_owned()),
        spill_bytes: disk * ROOM,
    });
    (Site::with(store.unwrap()).await, directories)
}

fn big(n: u64) -> Value {
    Value::raw(vec![u8::try_from(n).unwrap(); BIG])
}

fn wanted(objects: &[u64]) -> pb::PoolFilesRequest {
    pb::PoolFilesRequest {
        machine: host::machine(),
        objects: objects.iter().map(|n| object(*n).into()).collect(),
        ..pb::PoolFilesRequest::default()
    }
}

fn room(submission: &'static [u8], lengths: Vec<u64>) -> pb::AllocatePoolRequest {
    let (submission_id, machine) = (submission.into(), host::machine());
    pb::AllocatePoolRequest { submission_id, machine, lengths, ..Default::default() }
}

/// Reads or writes a run as another process would.
fn path(directory: &pb::PoolDirectory, file: &pb::buffer::PoolFile) -> PathBuf {
    Path::new(&directory.path).join(&file.name)
}

fn file_of(value: &pb::Value) -> pb::buffer::PoolFile {
    match &value.buffers[0].place {
        Some(pb::buffer::Place::PoolFile(file)) => file.clone(),
        other => panic!("{other:?} is no pool file"),
    }
}

fn pins(site: &Site, n: u64) -> usize {
    site.store.stat(object(n)).unwrap().pins
}

#[tokio::test]
async fn values_are_lent_in_place_until_they_are_given_back() {
    let (site, _directories) = small(10, 10).await;
    for n in 1..=7 {
        site.store.put(object(n), Arc::new(big(n)), None).unwrap();
    }
    site.store.put(object(8), Arc::new(Value::raw("small")), None).unwrap();
    let mut client = site.client().await;
    assert_eq!(site.store.stat(object(1)).unwrap().residence, crate::store::Residence::Spilled);

    let lent = client.pool_files(wanted(&[1, 8, 9])).await.unwrap().into_inner();
    let directory = lent.directory.unwrap();
    let probe = fs::read(Path::new(&directory.path).join(&directory.probe_name)).unwrap();
    assert_eq!((probe.len(), &probe), (16, &directory.probe.to_vec()));
    let file = path(&directory, &file_of(&lent.values[0]));
    assert!(fs::symlink_metadata(&file).unwrap().is_file(), "it was brought back");
    assert_eq!(fs::read(&file).unwrap(), vec![1; BIG]);
    assert_eq!(Value::try_from(lent.values[1].clone()).unwrap(), Value::raw("small"));
    assert_eq!(lent.values[2], pb::Value::default());
    assert_eq!((pins(&site, 1), lent.lease_us), (1, limits::POOL_LEASE.0));

    let leases = vec![lent.lease, 1];
    let release = pb::ReleasePoolRequest { leases, ..Default::default() };
    client.release_pool(release).await.unwrap();
    assert_eq!(pins(&site, 1), 0);

    let elsewhere = pb::PoolFilesRequest { machine: "other".to_owned(), ..wanted(&[1]) };
    let status = client.pool_files(elsewhere).await.unwrap_err();
    assert_eq!(refusal(&status).unwrap().reason, Reason::OtherMachine);
}

#[tokio::test]
async fn a_lease_ends_by_itself() {
    let (leases, store) = (Arc::new(Leases::default()), Store::scratch());
    let draft = store.allocate(&[ROOM]).unwrap();
    let mut freed = std::pin::pin!(store.freed());
    freed.as_mut().enable();
    leases.give(leases::Held::Draft(draft), Vec::new(), leases::span(1_000)).unwrap();
    assert_eq!(store.totals().shared_bytes, ROOM);
    tokio::time::timeout(GUARD, freed).await.expect("the lease does not end");
    assert_eq!(store.totals().shared_bytes, 0);
    assert_eq!(leases::span(u64::MAX), limits::POOL_LEASE);
}

#[tokio::test]
async fn what_a_process_writes_into_leased_files_is_put_without_its_bytes() {
    let site = Site::new().await;
    let mut client = site.client().await;
    let given = client.allocate_pool(room(b"a", vec![ROOM, 10])).await.unwrap().into_inner();
    let again = client.allocate_pool(room(b"a", vec![ROOM, 10])).await.unwrap().into_inner();
    assert_eq!((again.lease, &again.files), (given.lease, &given.files));
    let directory = given.directory.unwrap();
    for (file, letter) in given.files.iter().zip(*b"xy") {
        let open = fs::OpenOptions::new().write(true).open(path(&directory, file)).unwrap();
        let bytes = vec![letter; usize::try_from(file.length).unwrap()];
        std::os::unix::fs::FileExt::write_all_at(&open, &bytes, file.offset).unwrap();
    }
    let send = |n, lengths: Vec<u64>, pool_files| {
        let size = lengths.iter().sum();
        let value = pb::ValueHead {
            codec: pb::Codec::Raw.into(),
            buffer_lengths: lengths,
            size,
            ..pb::ValueHead::default()
        };
        let (object, value) = (Some(object(n).into()), Some(value));
        let head = pb::PutHead { object, value, pool_files, ..pb::PutHead::default() };
        let part = Some(pb::put_request::Part::Head(head));
        tokio_stream::iter([pb::PutRequest { part }])
    };
    client.put(send(1, vec![ROOM, 10], given.files.clone())).await.unwrap();
    assert_eq!(site.told().await, format!("stored {}", ROOM + 10));
    let bytes = site.store.get(object(1)).unwrap().load().unwrap().bytes().unwrap();
    assert_eq!((bytes.len() as u64, &bytes[BIG..]), (ROOM + 10, &b"yyyyyyyyyy"[..]));
    assert_eq!(pins(&site, 1), 0, "the lease has ended");
    for (files, field) in [(given.files, "head.pool_files"), (Vec::new(), "chunk")] {
        let status = client.put(send(2, vec![ROOM, 10], files)).await.unwrap_err();
        assert_eq!(refusal(&status).unwrap().field, field);
    }
}

#[tokio::test]
async fn a_full_pool_is_waited_for_or_refused() {
    let (site, _directories) = small(2, 0).await;
    let mut client = site.client().await;
    let taken = client.allocate_pool(room(b"a", vec![ROOM; 2])).await.unwrap().into_inner();
    let status = client.allocate_pool(room(b"b", vec![ROOM])).await.unwrap_err();
    assert_eq!(refusal(&status).unwrap().reason, Reason::StoreFull);
    let brief = pb::AllocatePoolRequest { max_wait_us: 1, ..room(b"b", vec![ROOM]) };
    assert!(client.allocate_pool(brief).await.unwrap().into_inner().pending);
    let patient = pb::AllocatePoolRequest { max_wait_us: 20_000_000, ..room(b"b", vec![ROOM]) };
    let mut other = site.client().await;
    let release = pb::ReleasePoolRequest { leases: vec![taken.lease], ..Default::default() };
    let (given, released) =
        tokio::join!(client.allocate_pool(patient), other.release_pool(release));
    released.unwrap();
    assert!(!given.unwrap().into_inner().pending);
}

#[tokio::test]
async fn blobs_are_kept_under_their_digest() {
    let site = Site::new().await;
    let mut client = site.client().await;
    let bytes: Bytes = (0..=250).cycle().take(limits::STORE_CHUNK_BYTES + 9).collect();
    let digest: pb::Digest = Digest(*blake3::hash(&bytes).as_bytes()).into();
    let other: pb::Digest = Digest([0; 32]).into();
    let parts = |digest: &pb::Digest| {
        let (digest, length) = (Some(digest.clone()), bytes.len() as u64);
        let head = pb::PutBlobHead { digest, length, ..pb::PutBlobHead::default() };
        let data =
            [bytes.slice(..limits::STORE_CHUNK_BYTES), bytes.slice(limits::STORE_CHUNK_BYTES..)];
        let data = data.map(pb::put_blob_request::Part::Data);
        let parts = std::iter::once(pb::put_blob_request::Part::Head(head)).chain(data);
        let parts: Vec<_> = parts.map(|part| pb::PutBlobRequest { part: Some(part) }).collect();
        tokio_stream::iter(parts)
    };
    assert!(!client.put_blob(parts(&digest)).await.unwrap().into_inner().existed);
    assert!(client.put_blob(parts(&digest)).await.unwrap().into_inner().existed);
    let status = client.put_blob(parts(&other)).await.unwrap_err();
    assert_eq!(refusal(&status).unwrap().reason, Reason::DigestMismatch);
    let digests = vec![digest.clone(), other.clone()];
    let missing = client.has_blobs(pb::HasBlobsRequest { digests }).await.unwrap();
    assert_eq!(missing.into_inner().missing, std::slice::from_ref(&other));

    let request = pb::FetchBlobRequest { digest: Some(digest), offset: 5 };
    let mut came = client.fetch_blob(request).await.unwrap().into_inner();
    let first = came.message().await.unwrap().unwrap();
    assert_eq!((first.length, first.offset, first.data.len()), (bytes.len() as u64, 5, 0));
    let mut read = Vec::new();
    while let Some(part) = came.message().await.unwrap() {
        assert_eq!(part.offset, 5 + read.len() as u64);
        read.extend_from_slice(&part.data);
    }
    assert!(read == bytes[5..]);
    let request = pb::FetchBlobRequest { digest: Some(other), offset: 0 };
    let status = client.fetch_blob(request).await.unwrap_err();
    assert_eq!(refusal(&status).unwrap().reason, Reason::BlobUnknown);
}

#[tokio::test]
async fn it_is_told_where_everything_is() {
    let (site, _directories) = small(10, 10).await;
    for n in 1..=7 {
        site.store.put(object(n), Arc::new(big(n)), None).unwrap();
    }
    site.store.put(object(8), Arc::new(Value::raw("small")), None).unwrap();
    let objects = [1, 7, 8, 9].map(|n| object(n).into()).to_vec();
    let request = pb::StatRequest { objects, ..pb::StatRequest::default() };
    let told = site.client().await.stat(request).await.unwrap().into_inner();
    let where_are: Vec<_> = told.objects.iter().map(ObjectStat::residence).collect();
    assert_eq!(where_are, [Spilled, SharedFile, Memory, Absent]);
    assert_eq!(told.objects[0].value, Some(head_of(&big(1))));
    let totals = told.totals.unwrap();
    let expected = (8, 5, 5 * ROOM, 2 * ROOM, 10 * ROOM);
    let pb::StoreTotals { objects, memory_bytes, shared_bytes, spilled_bytes, limit_bytes, .. } =
        totals;
    assert_eq!((objects, memory_bytes, shared_bytes, spilled_bytes, limit_bytes), expected);
}

#[tokio::test]
async fn a_value_whose_file_was_cut_is_dropped_and_no_other() {
    let site = Site::new().await;
    for n in 1..=2 {
        site.store.put(object(n), Arc::new(big(n)), None).unwrap();
    }
    let mut client = site.client().await;
    let lent = client.pool_files(wanted(&[1])).await.unwrap().into_inner();
    let file = path(&lent.directory.unwrap(), &file_of(&lent.values[0]));
    fs::OpenOptions::new().write(true).open(file).unwrap().set_len(7).unwrap();
    let fetch = |n| pb::FetchRequest {
        source: Some(pb::fetch_request::Source::Object(object(n).into())),
        ..pb::FetchRequest::default()
    };
    let status = client.fetch(fetch(1)).await.unwrap_err();
    assert!(refusal(&status).unwrap().message.contains("cut"), "{status}");
    assert!(site.store.get(object(1)).is_none());
    let mut parts = client.fetch(fetch(2)).await.unwrap().into_inner();
    while parts.message().await.unwrap().is_some() {}
}

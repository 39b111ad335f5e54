//! Values and payloads, as the checks write and read them.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use bireme_proto::pb;
use bireme_proto::pb::arg::Kind;
use bireme_proto::pb::buffer::{Place, PoolFile};
use bytes::Bytes;
use prost::Message as _;
use serde_json::Value as Json;

/// Where runs of bytes begin in files of the pool: not at the start, which an executor might take for granted.
const OFFSET: u64 = 64;

/// A value whose bytes ride in the message.
pub(super) fn inline(codec: pb::Codec, bytes: impl Into<Bytes>) -> pb::Value {
    let bytes = bytes.into();
    let size = bytes.len() as u64;
    value(codec, vec![Place::Inline(bytes)], size)
}

/// A value whose bytes lie in a new file of the pool.
pub(super) fn in_pool(
    pool: &Path,
    name: &str,
    codec: pb::Codec,
    bytes: &[u8],
) -> Result<pb::Value> {
    let file = room(pool, name, bytes.len() as u64)?;
    File::options().write(true).open(pool.join(name))?.write_all_at(bytes, OFFSET)?;
    Ok(value(codec, vec![Place::PoolFile(file)], bytes.len() as u64))
}

/// A new file of the pool with room for so many bytes.
pub(super) fn room(pool: &Path, name: &str, length: u64) -> Result<PoolFile> {
    let file = File::create_new(pool.join(name)).context("cannot make a file of the pool")?;
    file.set_len(OFFSET + length)?;
    Ok(PoolFile { name: name.to_owned(), offset: OFFSET, length, generation: 1 })
}

fn value(codec: pb::Codec, places: Vec<Place>, size: u64) -> pb::Value {
    let buffers = places.into_iter().map(|place| pb::Buffer { place: Some(place) }).collect();
    pb::Value { codec: codec.into(), buffers, size, ..pb::Value::default() }
}

/// Plain data as a value.
pub(super) fn plain(data: impl Into<Json>) -> pb::Value {
    let bytes = rmp_serde::to_vec(&data.into()).expect("JSON is plain data");
    inline(pb::Codec::Msgpack, bytes)
}

/// An argument that is a value.
pub(super) fn given(value: pb::Value) -> pb::Arg {
    pb::Arg { kind: Some(Kind::Value(value)) }
}

/// An argument that is an input.
pub(super) fn input(n: u32) -> pb::Arg {
    pb::Arg { kind: Some(Kind::Input(n)) }
}

/// The payload of some work with arguments.
pub(super) fn payload(work: pb::payload::Work, args: Vec<pb::Arg>) -> Bytes {
    pb::Payload { work: Some(work), args, named_args: Vec::new() }.encode_to_vec().into()
}

/// All bytes of a value, wherever they are.
pub(super) fn bytes_of(value: &pb::Value, pool: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    for buffer in &value.buffers {
        match &buffer.place {
            Some(Place::Inline(inline)) => bytes.extend_from_slice(inline),
            Some(Place::PoolFile(place)) => bytes.extend(read(pool, place)?),
            other => bail!("a buffer of the result is at {other:?}"),
        }
    }
    ensure!(
        value.size == bytes.len() as u64,
        "the size is {} and the buffers have {}",
        value.size,
        bytes.len()
    );
    Ok(bytes)
}

fn read(pool: &Path, place: &PoolFile) -> Result<Vec<u8>> {
    ensure!(!place.name.contains('/'), "{:?} is no name of a file of the pool", place.name);
    let path = pool.join(&place.name);
    let length = usize::try_from(place.length)?;
    let whole = fs::metadata(&path).with_context(|| format!("the result names {}", place.name))?;
    ensure!(place.offset + place.length <= whole.len(), "the result reaches beyond {}", place.name);
    let mut bytes = vec![0; length];
    File::open(&path)?.read_exact_at(&mut bytes, place.offset)?;
    Ok(bytes)
}

/// The data of a value in one of the codecs that every language reads.
pub(super) fn data_of(value: &pb::Value, pool: &Path) -> Result<Json> {
    let bytes = bytes_of(value, pool)?;
    Ok(match value.codec() {
        pb::Codec::None => Json::Null,
        pb::Codec::Utf8 => Json::String(String::from_utf8(bytes)?),
        pb::Codec::Json => serde_json::from_slice(&bytes)?,
        pb::Codec::Msgpack => rmp_serde::from_slice(&bytes)?,
        other => bail!("plain data was returned as {}", other.as_str_name()),
    })
}

/// So many bytes, each its place modulo 251.
pub(super) fn pattern(count: usize) -> Vec<u8> {
    (0..=250).cycle().take(count).collect()
}

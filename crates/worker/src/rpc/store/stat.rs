//! How large values are and where they are kept.

use bireme_core::id::Digest;
use bireme_core::limits;
use bireme_core::reason::Refusal;
use bireme_proto::pb;

use super::assembly::head_of;
use super::malformed;
use crate::store::{Residence, Stat, Store};

/// Answers for every value and blob asked about, and for the whole store.
pub(super) fn stat(store: &Store, request: pb::StatRequest) -> Result<pb::StatResponse, Refusal> {
    let pb::StatRequest { objects, blobs } = request;
    if objects.len() + blobs.len() > limits::STAT_OBJECTS {
        let message = format!("more than {} things are asked about", limits::STAT_OBJECTS);
        return Err(malformed("objects", message));
    }
    let objects = objects.into_iter().map(|object| of_object(store, object));
    let objects = objects.collect::<Result<_, _>>()?;
    let blobs = blobs.into_iter().map(|digest| of_blob(store, digest));
    let blobs = blobs.collect::<Result<_, _>>()?;
    Ok(pb::StatResponse { objects, blobs, totals: Some(of_all(store)) })
}

fn of_object(store: &Store, object: pb::ObjectId) -> Result<pb::ObjectStat, Refusal> {
    let Some(stat) = store.stat(object.try_into()?) else {
        return Ok(pb::ObjectStat {
            object: Some(object),
            residence: pb::Residence::Absent.into(),
            ..pb::ObjectStat::default()
        });
    };
    let Stat { value, made_by, residence, stored_bytes, pins, used } = stat;
    Ok(pb::ObjectStat {
        object: Some(object),
        residence: residence_of(residence).into(),
        stored_bytes,
        value: Some(head_of(&value)),
        made_by: made_by.map(Into::into),
        pins: u32::try_from(pins).unwrap_or(u32::MAX),
        idle_us: store.now().since(used).0,
    })
}

fn of_blob(store: &Store, digest: pb::Digest) -> Result<pb::BlobStat, Refusal> {
    let blob = store.blob_stat(Digest::try_from(digest.clone())?);
    let residence = blob.as_ref().map(|blob| residence_of(blob.residence()));
    Ok(pb::BlobStat {
        digest: Some(digest),
        residence: residence.unwrap_or(pb::Residence::Absent).into(),
        length: blob.map_or(0, |blob| blob.value.size),
    })
}

fn of_all(store: &Store) -> pb::StoreTotals {
    let totals = store.totals();
    let (blobs, blob_bytes) = store.blob_totals();
    pb::StoreTotals {
        objects: totals.objects,
        memory_bytes: totals.memory_bytes,
        shared_bytes: totals.shared_bytes,
        spilled_bytes: totals.spilled_bytes,
        limit_bytes: store.limit(),
        blobs,
        blob_bytes,
    }
}

fn residence_of(residence: Residence) -> pb::Residence {
    match residence {
        Residence::Memory => pb::Residence::Memory,
        Residence::Shared => pb::Residence::SharedFile,
        Residence::Spilled => pb::Residence::Spilled,
    }
}

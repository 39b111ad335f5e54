//! The pool for other processes on this machine, which map its files rather than have them sent.

use std::path::PathBuf;
use std::pin::pin;
use std::sync::{Arc, OnceLock};

use bireme_core::reason::{Reason, Refusal};
use bireme_core::{ObjectId, Span, limits};
use bireme_proto::pb;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::assembly::check_lengths;
use super::leases::{self, Held, Leases};
use super::malformed;
use crate::host;
use crate::store::{Draft, Store, StoreError, Stored};

/// The name of the file that proves that a caller sees this machine's memory.
const PROBE: &str = "probe";

/// Serves callers on this machine.
#[derive(Debug)]
pub(super) struct Local {
    store: Arc<Store>,
    leases: Arc<Leases>,
    /// What is in the probe file, once it was needed.
    probe: OnceLock<[u8; 16]>,
}

impl Local {
    pub(super) fn new(store: Arc<Store>, leases: Arc<Leases>) -> Self {
        Self { store, leases, probe: OnceLock::new() }
    }

    /// Keeps values in place for a caller, those that were spilled brought back.
    pub(super) async fn pool_files(
        &self,
        request: pb::PoolFilesRequest,
    ) -> Result<pb::PoolFilesResponse, Refusal> {
        let pb::PoolFilesRequest { machine, objects, lease_us, max_wait_us } = request;
        check_machine(&machine)?;
        if objects.len() > limits::STAT_OBJECTS {
            let message = format!("more than {} objects are asked for", limits::STAT_OBJECTS);
            return Err(malformed("objects", message));
        }
        let objects = objects.into_iter().map(TryInto::try_into);
        let objects: Arc<[ObjectId]> = objects.collect::<Result<_, _>>()?;
        let found = self.wait(max_wait_us, |store| {
            let objects = Arc::clone(&objects);
            async move { in_memory(store, objects).await }
        });
        let Some(found) = found.await? else {
            return Ok(pb::PoolFilesResponse { pending: true, ..Default::default() });
        };
        let values = found.iter().map(|stored| match stored {
            Some(stored) => (*stored.value).clone().into(),
            None => pb::Value::default(),
        });
        let values: Vec<pb::Value> = values.collect();
        let inline = found.iter().flatten().map(|stored| stored.value.inline_bytes());
        if inline.sum::<u64>() > limits::POOL_INLINE_BYTES {
            let message = "the small values among the objects are too many; ask for fewer";
            return Err(Refusal::at(Reason::MessageTooLarge, "objects", message));
        }
        let held = Held::Values { _pins: found.into_iter().flatten().collect() };
        let lease = self.leases.give(held, Vec::new(), leases::span(lease_us))?;
        let directory = Some(self.directory()?);
        let (lease, lease_us) = (lease.number, lease.span.0);
        Ok(pb::PoolFilesResponse { pending: false, lease, lease_us, values, directory })
    }

    /// Gives a caller files to write into.
    pub(super) async fn allocate(
        &self,
        request: pb::AllocatePoolRequest,
    ) -> Result<pb::AllocatePoolResponse, Refusal> {
        let pb::AllocatePoolRequest { submission_id, machine, lengths, lease_us, max_wait_us } =
            request;
        check_machine(&machine)?;
        check_lengths(&lengths)?;
        let span = leases::span(lease_us);
        if let Some((lease, runs)) = self.leases.repeated(&submission_id) {
            return self.allocated(lease, span, runs);
        }
        let draft = self.wait(max_wait_us, |store| store_room(store, lengths.clone()));
        let Some(draft) = draft.await? else {
            return Ok(pb::AllocatePoolResponse { pending: true, ..Default::default() });
        };
        let runs = draft.runs().to_vec();
        let lease = self.leases.give(Held::Draft(draft), submission_id.to_vec(), span)?;
        self.allocated(lease.number, lease.span, runs)
    }

    fn allocated(
        &self,
        lease: u64,
        span: Span,
        runs: Vec<bireme_core::value::PoolFile>,
    ) -> Result<pb::AllocatePoolResponse, Refusal> {
        let directory = Some(self.directory()?);
        let (lease_us, files) = (span.0, runs.into_iter().map(Into::into).collect());
        Ok(pb::AllocatePoolResponse { pending: false, lease, lease_us, files, directory })
    }

    /// Does what needs room, again and again as room is made; `None` when the caller has waited for long enough. One who
    /// does not wait at all is refused.
    async fn wait<T, F>(
        &self,
        max_wait_us: u64,
        mut act: impl FnMut(Arc<Store>) -> F,
    ) -> Result<Option<T>, Refusal>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        let mut over = pin!(sleep(Span(max_wait_us).min(limits::MAX_WAIT).to_std()));
        loop {
            let mut freed = pin!(self.store.freed());
            freed.as_mut().enable();
            match act(Arc::clone(&self.store)).await {
                Err(StoreError::Full { .. }) if max_wait_us > 0 => {}
                done => return Ok(Some(done?)),
            }
            tokio::select! {
                () = freed => {}
                () = &mut over => return Ok(None),
            }
        }
    }

    /// Where the files are, with the proof.
    fn directory(&self) -> Result<pb::PoolDirectory, Refusal> {
        let path = self.store.directory();
        let probe = if let Some(probe) = self.probe.get() {
            probe
        } else {
            let probe = write_probe(path.join(PROBE)).map_err(StoreError::System)?;
            self.probe.get_or_init(|| probe)
        };
        Ok(pb::PoolDirectory {
            path: path.to_string_lossy().into_owned(),
            probe_name: PROBE.to_owned(),
            probe: probe.to_vec().into(),
        })
    }
}

fn write_probe(path: PathBuf) -> std::io::Result<[u8; 16]> {
    let mut probe = [0; 16];
    getrandom::fill(&mut probe).map_err(std::io::Error::other)?;
    std::fs::write(path, probe)?;
    Ok(probe)
}

async fn store_room(store: Arc<Store>, lengths: Vec<u64>) -> Result<Draft, StoreError> {
    store.make_room(lengths).await
}

/// The values, in memory, in the order asked.
async fn in_memory(
    store: Arc<Store>,
    objects: Arc<[ObjectId]>,
) -> Result<Vec<Option<Stored>>, StoreError> {
    let found: Vec<_> = objects.iter().map(|object| store.get(*object)).collect();
    // Whoever has one keeps it where it is.
    if found.iter().flatten().all(Stored::is_in_memory) {
        return Ok(found);
    }
    let bring = move || objects.iter().map(|object| store.bring_back(*object)).collect();
    spawn_blocking(bring).await.map_err(std::io::Error::other)?
}

fn check_machine(machine: &str) -> Result<(), Refusal> {
    let own = host::machine();
    if machine == own {
        return Ok(());
    }
    let message = format!("the caller is on machine {machine:?}, the worker on {own:?}");
    Err(Refusal::at(Reason::OtherMachine, "machine", message))
}

//! Languages otherwise than as they are installed: in environments, or with a process for each attempt. Their processes are
//! started when they are first needed, and go when they have not been needed for a while.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, Weak};

use bireme_core::graph::Runtime;
use bireme_core::limits;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::executor::Job;
use crate::executor::process::Processes;
use crate::sync::lock;

/// The processes of all variants. For the driver's thread.
#[derive(Debug, Default)]
pub(super) struct Variants(Arc<Mutex<Table>>);

#[derive(Debug, Default)]
struct Table {
    pools: BTreeMap<Runtime, Pool>,
    /// Counts uses.
    turns: u64,
}

/// The processes of one variant.
#[derive(Debug)]
struct Pool {
    processes: Processes,
    /// The turn in which it was used last.
    used: u64,
    /// Sends it away when it is not used.
    watcher: JoinHandle<()>,
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.watcher.abort();
    }
}

impl Variants {
    /// Gives an attempt to the processes of its variant. Returns it if there are none.
    pub(super) fn give(&self, job: Job, how: impl FnOnce(&Processes, Job)) -> Option<Job> {
        let mut table = lock(&self.0);
        let Table { pools, turns } = &mut *table;
        let Some(pool) = pools.get_mut(&job.execution.runtime) else { return Some(job) };
        *turns += 1;
        pool.used = *turns;
        how(&pool.processes, job);
        None
    }

    /// Whether there are processes of a variant.
    pub(super) fn has(&self, runtime: &Runtime) -> bool {
        lock(&self.0).pools.contains_key(runtime)
    }

    /// Whether there is room for another variant, perhaps for the least recently used one.
    pub(super) fn make_room(&self) -> bool {
        let mut table = lock(&self.0);
        if table.pools.len() < limits::VARIANTS {
            return true;
        }
        let idle = table.pools.iter().filter(|(_, pool)| pool.processes.is_idle());
        let oldest = idle.min_by_key(|(_, pool)| pool.used).map(|(runtime, _)| runtime.clone());
        oldest.is_some_and(|oldest| table.pools.remove(&oldest).is_some())
    }

    /// Keeps the processes of a variant until they are not used.
    pub(super) fn add(&self, runtime: Runtime, processes: Processes) {
        let watcher = tokio::spawn(watch(Arc::downgrade(&self.0), runtime.clone()));
        let mut table = lock(&self.0);
        table.turns += 1;
        let used = table.turns;
        table.pools.insert(runtime, Pool { processes, used, watcher });
    }

    /// Does something with the processes of every variant.
    pub(super) fn each(&self, mut what: impl FnMut(&Processes)) {
        lock(&self.0).pools.values().for_each(|pool| what(&pool.processes));
    }

    /// Ends every process and waits for it.
    pub(super) async fn close(&self) {
        let pools = std::mem::take(&mut lock(&self.0).pools);
        for pool in pools.values() {
            pool.processes.close().await;
        }
    }
}

/// Ends the processes of a variant that has not been used from one look to the next.
async fn watch(table: Weak<Mutex<Table>>, runtime: Runtime) {
    let mut seen = None;
    loop {
        sleep(limits::VARIANT_IDLE.to_std()).await;
        let Some(table) = table.upgrade() else { return };
        let mut table = lock(&table);
        let Some(pool) = table.pools.get(&runtime) else { return };
        if seen == Some(pool.used) && pool.processes.is_idle() {
            table.pools.remove(&runtime);
            return;
        }
        seen = Some(pool.used);
    }
}

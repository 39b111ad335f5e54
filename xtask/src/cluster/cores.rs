//! Which core a process runs on.

use anyhow::{Context as _, Result};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The core for the client and the one for all daemons; `None` where there is only one.
pub(crate) fn two() -> Result<Option<(usize, usize)>> {
    let allowed = sched_getaffinity(None).context("cannot tell which cores may be used")?;
    let mut cores = (0..CpuSet::MAX_CPU).filter(|&core| allowed.is_set(core));
    Ok(cores.next().zip(cores.next()))
}

/// Does something on one core, and what it starts stays there: processes and threads inherit the core.
pub(crate) fn on<T>(core: usize, work: impl FnOnce() -> T) -> Result<T> {
    let pin = Pin::new(core)?;
    let done = work();
    drop(pin);
    Ok(done)
}

/// While it lives, the thread that made it runs on one core.
#[derive(Debug)]
pub(crate) struct Pin {
    before: CpuSet,
}

impl Pin {
    /// Moves this thread to a core.
    pub(crate) fn new(core: usize) -> Result<Self> {
        let before = sched_getaffinity(None).context("cannot tell which cores may be used")?;
        let mut only = CpuSet::new();
        only.set(core);
        sched_setaffinity(None, &only).with_context(|| format!("cannot run on core {core}"))?;
        Ok(Self { before })
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        // It was allowed before.
        let _ = sched_setaffinity(None, &self.before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_holds_as_long_as_it_lives() {
        let before = sched_getaffinity(None).unwrap();
        let core = (0..CpuSet::MAX_CPU).rfind(|&core| before.is_set(core)).unwrap();
        let within = on(core, || sched_getaffinity(None).unwrap()).unwrap();
        assert_eq!((within.count(), within.is_set(core)), (1, true));
        assert_eq!(sched_getaffinity(None).unwrap(), before);
    }
}

//! What a native function knows of the attempt that it runs, and what it can do beside it: wait, and call actors.

use std::fmt;
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bireme_client::Client;
use bireme_core::actor::ActorName;
use bireme_core::{ActorId, AttemptId, ErrorClass, Reason, TaskError, limits};
use bireme_executor::Services;
pub(crate) use bireme_executor::Stop;
use tokio::time::timeout;

use super::cluster::{Cluster, nowhere};
use crate::failure::failure;

/// Who runs attempts, as code of one asks.
pub(crate) trait Runner: Sync {
    /// Where it finds the cluster; `None` where the worker has no scheduler.
    fn services(&self) -> Option<Arc<Services>>;

    /// It waits from here on: others may have its cpus. Fails where so many wait that this might never end.
    fn secede(&self) -> Result<(), Box<TaskError>>;

    /// It has waited. Returns when it has its cpus again, or fails where it is to end instead.
    fn rejoin(&self) -> Result<(), Box<TaskError>>;
}

/// The attempt that runs.
pub struct Context<'a> {
    attempt: AttemptId,
    key: &'a str,
    outputs: u16,
    stop: &'a Stop,
    runner: &'a dyn Runner,
    /// The session that its code has opened.
    cluster: OnceLock<Cluster>,
}

impl<'a> Context<'a> {
    pub(crate) fn new(
        (attempt, key): (AttemptId, &'a str),
        outputs: u16,
        stop: &'a Stop,
        runner: &'a dyn Runner,
    ) -> Self {
        Self { attempt, key, outputs, stop, runner, cluster: OnceLock::new() }
    }

    /// Which attempt it is.
    pub fn attempt(&self) -> AttemptId {
        self.attempt
    }

    /// The task's key.
    pub fn key(&self) -> &str {
        self.key
    }

    /// How many outputs are awaited.
    pub fn outputs(&self) -> u16 {
        self.outputs
    }

    /// Whether the attempt is unwanted or over its time, and the function had better return; whatever it returns is dropped.
    /// One that does not is killed with its process after a grace, unless the worker runs functions in its own process: there
    /// nobody can make it return.
    pub fn is_cancelled(&self) -> bool {
        self.stop.is_asked()
    }

    /// Waits for so long, or fails as soon as the attempt is cancelled.
    pub fn sleep(&self, duration: Duration) -> Result<(), Box<TaskError>> {
        if self.stop.wait(duration) { Err(cancelled("slept")) } else { Ok(()) }
    }

    /// An actor, to be called by this function.
    ///
    /// The calls that an attempt makes are those of a session of its own, which ends with it: calls that have not ended when
    /// the function returns are dropped.
    ///
    /// ```
    /// use bireme_client::encode;
    /// use bireme_core::ActorId;
    /// use bireme_worker::{Context, Failure, Registry};
    ///
    /// fn record(context: &mut Context<'_>, counter: ActorId, n: i64) -> Result<i64, Failure> {
    ///     let counter = context.actor(counter)?;
    ///     let count = context.wait(counter.call("add", encode(&n)?))??;
    ///     Ok(bireme_client::decode(&count)?)
    /// }
    /// # drop(Registry::default().task("record", record));
    /// ```
    pub fn actor(&self, actor: ActorId) -> Result<bireme_client::Actor, Box<TaskError>> {
        Ok(self.cluster()?.actor(actor))
    }

    /// As [`Context::actor`], by the actor's name.
    pub fn find_actor(
        &self,
        name: impl Into<ActorName>,
    ) -> Result<bireme_client::Actor, Box<TaskError>> {
        self.cluster()?.find(name.into())
    }

    /// The session of the attempt, by which it submits tasks of its own and creates actors. Whatever it made ends with the
    /// attempt. Its futures are for [`Context::wait`].
    pub fn client(&self) -> Result<&Client, Box<TaskError>> {
        Ok(self.cluster()?.client())
    }

    /// Waits for a call of an actor, or for whatever else the cluster is to do. Fails as soon as the attempt is cancelled.
    ///
    /// A wait of more than [`limits::SECEDE_AFTER`] gives the attempt's cpus back, so that others can run meanwhile, and ends
    /// when it has them again. It fails as `WOULD_DEADLOCK` where so many wait on this worker that it might never end.
    pub fn wait<T>(&self, work: impl Future<Output = T>) -> Result<T, Box<TaskError>> {
        let cluster = self.cluster()?;
        let mut work = pin!(self.unless_cancelled(work));
        let soon = async { timeout(limits::SECEDE_AFTER.to_std(), work.as_mut()).await };
        if let Ok(done) = cluster.wait(soon) {
            return done;
        }
        self.without_cpus(|| cluster.wait(work))?
    }

    /// Waits in a way of its own: others may have the attempt's cpus.
    pub(crate) fn without_cpus<T>(&self, wait: impl FnOnce() -> T) -> Result<T, Box<TaskError>> {
        self.runner.secede()?;
        let done = wait();
        self.runner.rejoin()?;
        Ok(done)
    }

    async fn unless_cancelled<T>(
        &self,
        work: impl Future<Output = T>,
    ) -> Result<T, Box<TaskError>> {
        tokio::select! {
            biased;
            done = work => Ok(done),
            () = self.stop.asked() => Err(cancelled("waited")),
        }
    }

    fn cluster(&self) -> Result<&Cluster, Box<TaskError>> {
        if let Some(cluster) = self.cluster.get() {
            return Ok(cluster);
        }
        let services = self.runner.services().ok_or_else(nowhere)?;
        let opened = Cluster::open(&services, &format!("task {}", self.key), Some(self.attempt))?;
        Ok(self.cluster.get_or_init(|| opened))
    }
}

impl fmt::Debug for Context<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { attempt, key, .. } = self;
        f.debug_struct("Context")
            .field("attempt", attempt)
            .field("key", key)
            .finish_non_exhaustive()
    }
}

fn cancelled(while_it: &str) -> Box<TaskError> {
    let message = format!("the attempt was cancelled while it {while_it}");
    failure(ErrorClass::Cancelled, Reason::Cancelled, message)
}

/// Runs attempts that have nobody to ask.
#[cfg(test)]
pub(crate) struct Alone;

#[cfg(test)]
impl Runner for Alone {
    fn services(&self) -> Option<Arc<Services>> {
        None
    }

    fn secede(&self) -> Result<(), Box<TaskError>> {
        Ok(())
    }

    fn rejoin(&self) -> Result<(), Box<TaskError>> {
        Ok(())
    }
}

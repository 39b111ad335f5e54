//! The line to the scheduler: dialled until it is up, and again whenever it is lost.

use std::pin::Pin;

use bireme_core::Span;
use bireme_core::hash::Seeded;
use bireme_core::id::{ClusterId, Epoch};
use bireme_core::link::{Hello, pause};
use bireme_core::protocol::{Join, Joined};
use bireme_core::reason::{Reason, Refusal};
use bireme_daemon::auth::{Access, Bearer};
use tokio::sync::mpsc;

use crate::rpc::fleet::{self, Down, Incoming, Link, LinkError, Sealed};
use crate::target::{Scheduler, Target, TargetError};

/// Why a worker cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    /// The scheduler will not have it, and asking again is no use.
    #[error("the scheduler refuses this worker: {0}")]
    Refused(Refusal),
}

/// Something that happened to the line.
pub(super) enum News {
    /// The scheduler has accepted the worker.
    Joined {
        joined: Joined,
        /// Another life of the scheduler than the last.
        new_epoch: bool,
        /// What was shown to it, and is to be shown to peers.
        bearer: Bearer,
        /// Who is let in here from now on.
        admits: Access,
        first: Down,
    },
    /// It says something.
    Down(Down),
    /// The line is lost, or could not be had; it is being dialled again.
    Lost {
        error: DialError,
        /// It was up.
        was_up: bool,
        /// Dials in a row that failed, if it was not.
        failures: u32,
    },
    /// There will be no line.
    Over(DriverError),
}

/// Why a line is not up.
#[derive(Debug, thiserror::Error)]
pub(super) enum DialError {
    #[error(transparent)]
    Link(#[from] LinkError),
    #[error(transparent)]
    Target(#[from] TargetError),
}

type Dial = Pin<Box<dyn Future<Output = Result<(Link, Target), DialError>> + Send>>;

enum State {
    Dialing(Dial),
    Up { incoming: Box<Incoming>, outgoing: mpsc::Sender<Sealed> },
}

/// The line to the scheduler.
pub(super) struct Line {
    state: State,
    scheduler: Scheduler,
    join: Join,
    jitter: Seeded,
    /// Dials in a row that failed.
    failures: u32,
    /// Where this worker belongs, once it has joined.
    home: Option<(Option<ClusterId>, Epoch)>,
}

impl Line {
    /// Begins to dial.
    pub(super) fn new(scheduler: Scheduler, join: Join, seed: u64) -> Self {
        let state = State::Dialing(dial(scheduler.clone(), join.clone(), None, Span::ZERO));
        Self { state, scheduler, join, jitter: Seeded::new(seed), failures: 0, home: None }
    }

    /// What happens next. Cancel-safe.
    pub(super) async fn next(&mut self) -> News {
        match &mut self.state {
            State::Dialing(dial) => match dial.await {
                Ok((link, target)) => self.up(link, target),
                Err(error) => self.lost(error, false),
            },
            State::Up { incoming, .. } => match incoming.next().await {
                Ok(down) => News::Down(down),
                Err(error) => self.lost(error.into(), true),
            },
        }
    }

    /// The way to the scheduler, while the line is up.
    pub(super) fn outgoing(&self) -> Option<&mpsc::Sender<Sealed>> {
        match &self.state {
            State::Dialing(_) => None,
            State::Up { outgoing, .. } => Some(outgoing),
        }
    }

    /// Says no more, and waits until the scheduler has read everything and says no more either.
    pub(super) async fn hang_up(self) {
        if let State::Up { mut incoming, outgoing } = self.state {
            drop(outgoing);
            while incoming.next().await.is_ok() {}
        }
    }

    fn up(&mut self, link: Link, target: Target) -> News {
        let Target { bearer, admits, .. } = target;
        let Link { hello, joined, first, outgoing, incoming } = link;
        let new_epoch = self.home.is_none_or(|(_, epoch)| epoch != hello.epoch);
        self.home = Some((hello.cluster, hello.epoch));
        self.failures = 0;
        self.state = State::Up { incoming: Box::new(incoming), outgoing };
        News::Joined { joined, new_epoch, bearer, admits, first }
    }

    fn lost(&mut self, error: DialError, was_up: bool) -> News {
        if let DialError::Link(LinkError::Refused(refusal)) = &error
            && is_final(refusal.reason, self.home.is_some())
        {
            self.state = State::Dialing(Box::pin(std::future::pending()));
            return News::Over(DriverError::Refused(refusal.clone()));
        }
        let pause = pause(self.failures, &self.jitter);
        self.failures += 1;
        let (scheduler, join) = (self.scheduler.clone(), self.join.clone());
        self.state = State::Dialing(dial(scheduler, join, self.home, pause));
        News::Lost { error, was_up, failures: self.failures }
    }
}

/// Whether a refusal would be the same the next time. One who has been let in before is told so for other reasons too: a
/// scheduler that was restarted has other tokens until its access file is read again.
fn is_final(reason: Reason, joined_before: bool) -> bool {
    match reason {
        Reason::ProtocolVersion
        | Reason::FeatureMissing
        | Reason::WrongCluster
        | Reason::Superseded
        | Reason::Malformed
        | Reason::Unsupported => true,
        Reason::Unauthenticated | Reason::RoleMissing | Reason::WorkerNameTaken => !joined_before,
        _ => false,
    }
}

fn dial(
    scheduler: Scheduler,
    join: Join,
    home: Option<(Option<ClusterId>, Epoch)>,
    pause: Span,
) -> Dial {
    Box::pin(async move {
        tokio::time::sleep(pause.to_std()).await;
        let target = scheduler.find()?;
        let (cluster, epoch) = home.unwrap_or((target.cluster, Epoch::default()));
        let hello = Hello::new(cluster, epoch);
        let link = fleet::join(target.address.clone(), target.bearer.clone(), hello, join).await?;
        Ok((link, target))
    })
}

/// For logs: when the next dial is due is nobody's business but its own.
impl std::fmt::Debug for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { failures, home, .. } = self;
        f.debug_struct("Line")
            .field("failures", failures)
            .field("home", home)
            .finish_non_exhaustive()
    }
}

//! Actors: what there are, what is seen inside them, and how they are created, called, moved and ended.

mod inside;
mod logs;
mod once;

use bireme_core::actor::place::{ActorPlace, Checkpoint};
use bireme_core::actor::statistics::ActorStatistics;
use bireme_core::actor::{ActorName, ActorSpec, Delivery, Selector};
use bireme_core::id::{ActorId, Incarnation, SessionId};
use bireme_core::reason::{Reason, Refusal};
use bireme_core::{Resources, Span, TaskError};
use bireme_proto::convert::actor;
use bireme_proto::pb;
use bytes::Bytes;
use tonic::Streaming;

pub use self::inside::{ActorDetails, LaneStatus, RunningCall};
pub use self::logs::{ActorLogPiece, ActorLogQuery, ActorLogs};
pub use self::once::OneCall;
use super::{Admin, error, page, resources};
use crate::actors::{CreateError, Created, Kill, Life, Move};
use crate::error::Refused;

/// What the scheduler knows of an actor.
#[derive(Clone, Debug, PartialEq)]
pub struct ActorStatus {
    /// Where it is, and how.
    pub place: ActorPlace,
    /// Its name, if it has one.
    pub name: Option<ActorName>,
    /// Name of its class.
    pub class: String,
    /// The session that made it; `None` where it is detached.
    pub session: Option<SessionId>,
    /// How often it was started again.
    pub restarts: u32,
    /// How its last incarnations ended, the latest first.
    pub deaths: Vec<ActorDeath>,
    /// How long ago it was made.
    pub age: Span,
    /// What it takes for life.
    pub resources: Resources,
    /// What it promises about its calls; `None` is something that this version does not know.
    pub delivery: Option<Delivery>,
    /// On how many other workers its log and its checkpoints are to be kept.
    pub peers: u32,
    /// Names of the workers whose copies are in step: any of them can go on with it.
    pub copies: Vec<String>,
    /// Why it waits, where it does: one line for each reason.
    pub waits_for: Vec<String>,
    /// Counters of its lives, as of its worker's last heartbeat.
    pub statistics: ActorStatistics,
}

/// How an incarnation ended.
#[derive(Clone, Debug, PartialEq)]
pub struct ActorDeath {
    /// Which.
    pub incarnation: Incarnation,
    /// Why.
    pub cause: Option<Box<TaskError>>,
    /// How long ago.
    pub ago: Span,
    /// Name of the worker where it lived.
    pub worker: String,
}

/// News of actors.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ActorChanges {
    /// Those that came or changed; at first all that there are.
    pub changed: Vec<ActorStatus>,
    /// Those that left the list.
    pub gone: Vec<ActorId>,
    /// Forget all that was known: this is all that there is.
    pub lagged: bool,
}

/// Actors that come, change and go. Dropping it ends the call.
#[derive(Debug)]
pub struct ActorWatch {
    changes: Streaming<pb::WatchActorsResponse>,
}

impl ActorWatch {
    /// The next changes; `None` once the scheduler is about to end.
    pub async fn next(&mut self) -> Result<Option<ActorChanges>, Refused> {
        let Some(message) = self.changes.message().await? else { return Ok(None) };
        let pb::WatchActorsResponse { changed, gone, cursor: _, lagged } = message;
        let changed = changed.into_iter().map(status).collect::<Result<_, _>>()?;
        let gone = gone.into_iter().map(ActorId::try_from).collect::<Result<_, _>>();
        Ok(Some(ActorChanges { changed, gone: gone?, lagged }))
    }
}

impl Admin {
    /// The actors that fit a filter: words `key=value` with the keys `name`, `namespace`, `class`, `state`, `worker` and
    /// `session`; all of them without.
    pub async fn actors(&self, filter: &str) -> Result<Vec<ActorStatus>, Refused> {
        let (mut all, mut token) = (Vec::new(), String::new());
        loop {
            let page = pb::PageRequest { filter: filter.to_owned(), ..page(token) };
            let request = self.request(pb::ListActorsRequest { page: Some(page) });
            let answer = self.peers.actors().list(request).await?.into_inner();
            for actor in answer.actors {
                all.push(status(actor)?);
            }
            token = answer.next_page_token;
            if token.is_empty() {
                return Ok(all);
            }
        }
    }

    /// One actor.
    pub async fn actor(&self, selector: &Selector) -> Result<ActorStatus, Refused> {
        let id = self.find_actor(selector, Span::ZERO).await?.0.actor;
        let filter = match selector {
            Selector::Name(name) => format!("name={}", name.name),
            Selector::Actor(_) => String::new(),
        };
        let found = self.actors(&filter).await?.into_iter().find(|actor| actor.place.actor == id);
        let unknown = || Refusal::new(Reason::ActorUnknown, format!("actor {id} is not listed"));
        Ok(found.ok_or_else(unknown)?)
    }

    /// Where an actor is, and whether it takes no calls yet, which is waited for at most 30 s.
    pub async fn find_actor(
        &self,
        selector: &Selector,
        max_wait: Span,
    ) -> Result<(ActorPlace, bool), Refused> {
        crate::actors::ask(&self.peers, selector.clone(), Incarnation(0), max_wait).await
    }

    /// Actors that come, change and go; first comes what there is. News are told at most every `interval`.
    pub async fn watch_actors(&self, filter: &str, interval: Span) -> Result<ActorWatch, Refused> {
        let request = pb::WatchActorsRequest {
            cursor: String::new(),
            filter: filter.to_owned(),
            interval_us: interval.0,
        };
        let changes = self.peers.actors().watch(self.request(request)).await?.into_inner();
        Ok(ActorWatch { changes })
    }

    /// Creates an actor. Without a session it is to be detached. Waits until it takes calls, at most for `max_wait`.
    pub async fn create_actor(
        &self,
        spec: ActorSpec,
        get_if_exists: bool,
        max_wait: Option<Span>,
    ) -> Result<Created, CreateError> {
        let log = |warning: &Refused| tracing::warn!("{warning}");
        self.life().create(spec, get_if_exists, max_wait, log).await
    }

    /// Ends an actor, or only its incarnation. Says where it was.
    pub async fn kill_actor(&self, kill: Kill) -> Result<ActorPlace, Refused> {
        self.life().kill(kill).await
    }

    /// Makes a checkpoint of an actor, and waits until it is made.
    pub async fn checkpoint_actor(
        &self,
        actor: Selector,
    ) -> Result<(Incarnation, Checkpoint), Refused> {
        self.life().checkpoint(actor).await
    }

    /// Moves an actor, and waits until it takes calls where it goes.
    pub async fn move_actor(&self, order: Move) -> Result<ActorPlace, Refused> {
        self.life().relocate(order).await
    }

    fn life(&self) -> Life {
        let session = self.session.map(|token| Bytes::copy_from_slice(&token.to_bytes()));
        Life { peers: self.peers.clone(), session: session.unwrap_or_default() }
    }
}

fn status(actor: pb::ActorSummary) -> Result<ActorStatus, Refused> {
    let delivery = match actor.delivery() {
        pb::Delivery::Unspecified => None,
        pb::Delivery::AtMostOnce => Some(Delivery::AtMostOnce),
        pb::Delivery::AtLeastOnce => Some(Delivery::AtLeastOnce),
        pb::Delivery::EffectivelyOnce => Some(Delivery::EffectivelyOnce),
    };
    let death = |death: pb::ActorDeath| {
        Ok(ActorDeath {
            incarnation: Incarnation(death.incarnation),
            cause: error(death.cause)?,
            ago: Span(death.ago_us),
            worker: death.worker,
        })
    };
    Ok(ActorStatus {
        place: actor::place(actor.place.unwrap_or_default())?,
        name: actor.name.map(ActorName::try_from).transpose()?,
        class: actor.class_name,
        session: actor.session.map(|session| SessionId(session.number)),
        restarts: actor.restarts,
        deaths: actor.deaths.into_iter().map(death).collect::<Result<_, Refused>>()?,
        age: Span(actor.age_us),
        resources: resources(actor.resources)?,
        delivery,
        peers: actor.peers,
        copies: actor.copies,
        waits_for: actor.waits_for,
        statistics: ActorStatistics::try_from(actor.statistics.unwrap_or_default())?,
    })
}

//! The list of actors.

use std::fmt;
use std::str::FromStr;

use tonic::{Response, Status};

use bireme_core::id::ActorId;
use bireme_proto::pb;
use bireme_proto::status::status;

use crate::machine::actor::{ActorView, DeathView};
use crate::rpc::Door;
use crate::rpc::cluster::page::Page;

/// What a list can be filtered by.
pub(super) const KEYS: [&str; 6] = ["name", "namespace", "class", "state", "worker", "session"];

/// A list of actors goes on after an id.
pub(super) struct After(ActorId);

impl fmt::Display for After {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0.0)
    }
}

impl FromStr for After {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        u128::from_str_radix(text, 16).map(|id| Self(ActorId(id)))
    }
}

impl Door {
    pub(super) async fn do_list_actors(
        &self,
        request: pb::ListActorsRequest,
    ) -> Result<Response<pb::ListActorsResponse>, Status> {
        let page: Page<After> = Page::read(request.page, &KEYS)?;
        let look = self.mailbox.look(move |scene| {
            let after = page.after.as_ref().map(|after| after.0);
            let passing = scene.machine.actors_after(after).filter(|actor| passes(&page, actor));
            let (actors, next_page_token) =
                page.cut(passing, |actor: &ActorView| After(actor.place.actor));
            let actors = actors.into_iter().map(summary).collect();
            pb::ListActorsResponse { actors, next_page_token }
        });
        look.await.map(Response::new).map_err(status)
    }
}

/// Whether an actor is among those that were asked for.
pub(super) fn passes<K: fmt::Display + FromStr>(page: &Page<K>, actor: &ActorView) -> bool {
    let name = actor.spec.name.as_ref();
    let number = actor.place.worker.map(|worker| worker.0.to_string()).unwrap_or_default();
    let session = actor.session.map(|session| session.0.to_string()).unwrap_or_default();
    page.passes("name", name.map_or("", |name| &name.name))
        && page.passes("namespace", name.map_or("", |name| &name.namespace))
        && page.passes("class", &actor.spec.class_name)
        && page.passes("state", actor.place.state.name())
        && page.asked("worker").all(|asked| asked == actor.worker || asked == number)
        && page.passes("session", session)
}

/// An actor as a message.
pub(super) fn summary(view: ActorView) -> pb::ActorSummary {
    let ActorView { spec, place, copies, waits_for, session, restarts, deaths, age, .. } = view;
    let actor = place.actor;
    let statistics = pb::ActorStatistics { actor: Some(actor.into()), ..view.statistics.into() };
    pb::ActorSummary {
        place: Some(place.into()),
        name: spec.name.clone().map(Into::into),
        class_name: spec.class_name.clone(),
        session: session.map(Into::into),
        restarts,
        deaths: deaths.into_iter().map(death).collect(),
        age_us: age.0,
        resources: Some(spec.resources.clone().into()),
        statistics: Some(statistics),
        delivery: pb::Delivery::from(spec.delivery).into(),
        peers: spec.peers,
        copies,
        waits_for,
    }
}

fn death(death: DeathView) -> pb::ActorDeath {
    let DeathView { incarnation, cause, ago, worker } = death;
    pb::ActorDeath {
        incarnation: incarnation.0,
        cause: Some((*cause).into()),
        ago_us: ago.0,
        worker,
    }
}

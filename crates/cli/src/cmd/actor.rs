//! `bireme actor`

mod call;
mod create;
mod items;
mod logs;
mod show;
mod top;

use bireme_client::{ActorStatus, Admin, Kill, Move, Refused, WorkerName};
use bireme_core::actor::place::{ActorPlace, ActorState};
use bireme_core::actor::statistics::ActorStatistics;
use bireme_core::{Reason, Span};
use serde_json::{Value as Json, json};

use super::interrupt::unless_interrupted;
use super::{admin, worker};
use crate::args::{Actor, ActorArg, ActorFilter, ActorList, ActorMove, Format, Global};
use crate::exit::{Exit, Failure};
use crate::output::{self, Table};

pub(super) async fn run(global: &Global, command: Actor) -> Result<Exit, Failure> {
    let command = match command {
        // With a session of their own.
        Actor::Create(args) => return create::run(global, *args).await,
        Actor::Call(args) if args.stream => return items::run(global, args).await,
        command => command,
    };
    let admin = admin(global).await?;
    match command {
        Actor::Call(args) => call::run(global, &admin, args).await,
        Actor::Checkpoint { actor } => checkpoint(global, &admin, actor).await,
        Actor::Create(_) => Ok(Exit::Done),
        Actor::Kill { actor, restart, grace } => kill(global, &admin, actor, restart, grace).await,
        Actor::Logs(args) => logs::run(global, &admin, args).await,
        Actor::List(wanted) => list(global, &admin, &wanted).await,
        Actor::Move(args) => relocate(global, &admin, args).await,
        Actor::Show { actor, stacks } => show::run(global, &admin, actor, stacks).await,
        Actor::Top(args) => top::run(global, &admin, args).await,
        Actor::Watch(filter) => watch(global, &admin, &filter).await,
    }
}

/// A refusal of something about an actor: names the one that is not there.
fn refused(actor: &ActorArg) -> impl Fn(Refused) -> Failure {
    move |refused| {
        Failure::named(refused, Reason::ActorUnknown, || {
            format!("there is no actor {actor}: `bireme actor list` lists those there are")
        })
    }
}

async fn list(global: &Global, admin: &Admin, wanted: &ActorList) -> Result<Exit, Failure> {
    let mut actors = admin.actors(&wanted.filter.words()).await?;
    actors.retain(|actor| wanted.wants_dead() || actor.place.state != ActorState::Dead);
    let list = actors.iter().map(json).collect::<Vec<_>>().into();
    output::show(global.output, &list, &table(&actors))?;
    Ok(Exit::Done)
}

/// Tells what changes, a line for each actor.
async fn watch(global: &Global, admin: &Admin, filter: &ActorFilter) -> Result<Exit, Failure> {
    let watched = async {
        let mut watch = admin.watch_actors(&filter.words(), Span::ZERO).await?;
        while let Some(news) = watch.next().await? {
            for actor in &news.changed {
                tell(global.output, &json(actor), &format!("{} {}", called(actor), state(actor)))?;
            }
            for gone in &news.gone {
                let json = json!({ "actor": gone.to_string(), "state": "gone" });
                tell(global.output, &json, &format!("{gone} is gone"))?;
            }
        }
        Ok(())
    };
    let interrupted = unless_interrupted(watched, "").await?.is_none();
    Ok(if interrupted { Exit::Interrupted } else { Exit::Done })
}

fn tell(format: Format, json: &Json, line: &str) -> std::io::Result<()> {
    match format {
        Format::Json => output::json_line(json),
        Format::Text => output::bytes(format!("{line}\n").as_bytes()),
    }
}

async fn kill(
    global: &Global,
    admin: &Admin,
    actor: ActorArg,
    restart: bool,
    grace: Span,
) -> Result<Exit, Failure> {
    let kill = Kill { actor: actor.selector.clone(), allow_restart: restart, grace };
    let place = admin.kill_actor(kill).await.map_err(refused(&actor))?;
    let what = if restart { "begins again, if it may" } else { "is told to end" };
    done(global, &place, format!("actor {actor} {what}"))
}

async fn checkpoint(global: &Global, admin: &Admin, actor: ActorArg) -> Result<Exit, Failure> {
    let made = admin.checkpoint_actor(actor.selector.clone()).await.map_err(refused(&actor))?;
    let (incarnation, made) = made;
    let json = json!({
        "incarnation": incarnation.0,
        "lsn": made.lsn,
        "state_bytes": made.bytes,
        "took_us": made.took.0,
    });
    let mut table = Table::new(&[]);
    let size = output::size(made.bytes);
    table.row([format!("actor {actor} has a checkpoint of {size}, made in {}", made.took)]);
    output::show(global.output, &json, &table)?;
    Ok(Exit::Done)
}

async fn relocate(global: &Global, admin: &Admin, args: ActorMove) -> Result<Exit, Failure> {
    let ActorMove { actor, to, lose_state, quiesce } = args;
    let to = match to {
        None => None,
        Some(named) => Some(match named.name {
            WorkerName::Id(worker) => worker,
            WorkerName::Name(_) => {
                let found = admin.worker(named.name.clone()).await;
                found.map_err(worker::refused(&named))?.worker
            }
        }),
    };
    let order = Move { actor: actor.selector.clone(), worker: to, lose_state, quiesce };
    let place = admin.move_actor(order).await.map_err(refused(&actor))?;
    let there = match place.worker {
        None => String::new(),
        // One that has left in the meantime has no other name.
        Some(id) => format!(" on {}", admin.worker(id).await.map_or(id.to_string(), |it| it.name)),
    };
    done(global, &place, format!("actor {actor} takes calls{there}"))
}

fn done(global: &Global, place: &ActorPlace, line: String) -> Result<Exit, Failure> {
    let mut table = Table::new(&[]);
    table.row([line]);
    output::show(global.output, &place_json(place), &table)?;
    Ok(Exit::Done)
}

fn place_json(place: &ActorPlace) -> Json {
    let addresses: Vec<_> = place.addresses.iter().map(ToString::to_string).collect();
    json!({
        "actor": place.actor.to_string(),
        "state": place.state.name(),
        "incarnation": place.incarnation.0,
        "worker": place.worker.map(|worker| worker.to_string()),
        "addresses": addresses,
        "cause": place.cause.as_ref().map(|cause| cause.message.clone()),
    })
}

fn json(actor: &ActorStatus) -> Json {
    let deaths = actor.deaths.iter().map(|death| {
        json!({
            "incarnation": death.incarnation.0,
            "cause": death.cause.as_ref().map(|cause| cause.message.clone()),
            "ago_us": death.ago.0,
            "worker": death.worker,
        })
    });
    super::with(
        place_json(&actor.place),
        json!({
            "name": actor.name.as_ref().map(ToString::to_string),
            "class": actor.class,
            "session": actor.session.map(|session| session.to_string()),
            "restarts": actor.restarts,
            "peers": actor.peers,
            "copies": actor.copies,
            "waits_for": actor.waits_for,
            "deaths": deaths.collect::<Vec<_>>(),
            "age_us": actor.age.0,
            "resources": actor.resources.to_string(),
            "statistics": statistics_json(&actor.statistics),
        }),
    )
}

fn statistics_json(statistics: &ActorStatistics) -> Json {
    let methods = statistics.methods.iter().map(|(method, counted)| {
        let json = json!({
            "calls": counted.calls,
            "user_errors": counted.user_errors,
            "failures": counted.failures,
            "running": counted.running,
            "queue_p50_us": counted.queue_us.quantile(500),
            "queue_p99_us": counted.queue_us.quantile(990),
            "run_p50_us": counted.run_us.quantile(500),
            "run_p99_us": counted.run_us.quantile(990),
            "run_sum_us": counted.run_us.sum,
        });
        (method.clone(), json)
    });
    json!({
        "methods": methods.collect::<serde_json::Map<_, _>>(),
        "mailbox": statistics.mailbox,
        "oldest_us": statistics.oldest.0,
        "state_bytes": statistics.state_bytes,
        "checkpoints": statistics.checkpoints,
        "log_bytes": statistics.log_bytes,
    })
}

fn table(actors: &[ActorStatus]) -> Table {
    let headings =
        ["ACTOR", "CLASS", "STATE", "WORKER", "CALLS", "MAILBOX", "RESTARTS", "AGE", "WHY"];
    let mut table = Table::new(&headings);
    for actor in actors {
        table.row([
            called(actor),
            actor.class.clone(),
            actor.place.state.name().to_owned(),
            actor.place.worker.map(|worker| worker.to_string()).unwrap_or_default(),
            calls(&actor.statistics).to_string(),
            actor.statistics.mailbox.to_string(),
            actor.restarts.to_string(),
            actor.age.to_string(),
            why(actor),
        ]);
    }
    table
}

/// By which it can be named on a command line.
fn called(actor: &ActorStatus) -> String {
    actor.name.as_ref().map_or_else(|| actor.place.actor.to_string(), ToString::to_string)
}

/// Its state, with the reason where it has ended or waits.
fn state(actor: &ActorStatus) -> String {
    let state = actor.place.state.name();
    match why(actor).as_str() {
        "" => state.to_owned(),
        why => format!("{state}: {why}"),
    }
}

/// Why it takes no calls: what ended it, or what it waits for.
fn why(actor: &ActorStatus) -> String {
    match &actor.place.cause {
        Some(cause) => cause.message.clone(),
        None => actor.waits_for.join("; "),
    }
}

fn calls(statistics: &ActorStatistics) -> u64 {
    statistics.methods.values().map(|method| method.calls).sum()
}

#[cfg(test)]
pub(super) mod tests {
    use bireme_core::actor::statistics::MethodStatistics;
    use bireme_core::actor::{ActorName, Delivery};
    use bireme_core::id::{ActorId, Incarnation, WorkerId};
    use bireme_core::resources::Resources;
    use expect_test::expect;

    use super::*;

    pub(in crate::cmd) fn actor() -> ActorStatus {
        let mut increment = MethodStatistics { calls: 3, user_errors: 1, ..Default::default() };
        for run in [100, 200, 300] {
            increment.run_us.add(run);
        }
        let place = ActorPlace {
            actor: ActorId(7),
            incarnation: Incarnation(2),
            state: ActorState::Alive,
            worker: Some(WorkerId(3)),
            addresses: Vec::new(),
            machine: String::new(),
            lease: Span::ZERO,
            cause: None,
        };
        ActorStatus {
            place,
            name: Some(ActorName::from("bank/counter")),
            class: "Counter".into(),
            session: None,
            restarts: 1,
            deaths: Vec::new(),
            age: Span::secs(60),
            resources: Resources::none(),
            delivery: Some(Delivery::AtMostOnce),
            peers: 0,
            copies: Vec::new(),
            waits_for: Vec::new(),
            statistics: ActorStatistics {
                methods: [("increment".to_owned(), increment)].into(),
                mailbox: 2,
                ..ActorStatistics::default()
            },
        }
    }

    #[test]
    fn actors_are_listed_by_the_name_that_calls_them() {
        expect![[r"
            ACTOR         CLASS    STATE  WORKER  CALLS  MAILBOX  RESTARTS  AGE    WHY
            bank/counter  Counter  alive  w3      3      2        1         1 min
        "]]
        .assert_eq(&table(&[actor()]).render());
        let json = json(&actor());
        assert_eq!((&json["name"], &json["restarts"]), (&"bank/counter".into(), &1.into()));
        assert_eq!(json["statistics"]["methods"]["increment"]["calls"], 3);
    }
}

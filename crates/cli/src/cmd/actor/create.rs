//! `bireme actor create`

use bireme_client::{Actor, ActorBuilder, Client, CreateError, ExternalPayload};
use bireme_core::Span;
use bireme_core::actor::CheckpointPolicy;
use bireme_core::actor::place::ActorState;
use serde_json::json;

use super::super::connect_options;
use super::super::interrupt::unless_interrupted;
use super::call::arguments;
use crate::args::{ActorCreate, Global};
use crate::exit::{Exit, Failure};
use crate::output::{self, Table};

pub(super) async fn run(global: &Global, args: ActorCreate) -> Result<Exit, Failure> {
    // A session of its own, which ends with the command: the actor does not.
    let client = Client::connect(connect_options(global)).await?;
    client.on_warning(|warning| output::say(&format!("warning: {}", warning.message)));
    let (timeout, name) = (args.timeout, args.name.as_ref().map(ToString::to_string));
    let creating = async {
        let actor = builder(&client, args).create().await.map_err(failed)?;
        let place = actor.ready(Span::ZERO).await?;
        if place.state != ActorState::Alive {
            let (waited, state) = (timeout.unwrap_or_default(), place.state.name());
            let why = format!("actor {} is {state} after {waited}", actor.id());
            let stays =
                "it stays until it is killed, and `bireme actor show` says what it waits for";
            return Err(Failure::too_late(format!("{why}; {stays}")));
        }
        Ok(place)
    };
    let Some(place) = unless_interrupted(creating, "interrupted").await? else {
        return Ok(Exit::Interrupted);
    };
    client.close().await?;
    let json = super::super::with(super::place_json(&place), json!({ "name": name }));
    let mut table = Table::new(&[]);
    table.row([name.unwrap_or_else(|| place.actor.to_string())]);
    output::show(global.output, &json, &table)?;
    Ok(Exit::Done)
}

fn builder(client: &Client, args: ActorCreate) -> ActorBuilder<Actor> {
    let checkpoint = CheckpointPolicy {
        every_calls: args.checkpoint_calls,
        every: args.checkpoint_every,
        ..CheckpointPolicy::default()
    };
    let mut builder = client
        .actor(&args.class)
        .args(arguments(&args.args, &args.named))
        .detached()
        .delivery(args.delivery)
        .isolation(args.isolation)
        .with(|spec| spec.restart.max_restarts = args.max_restarts.0)
        .peers(args.peers)
        .checkpoint(checkpoint);
    if let Some(name) = args.name {
        builder = builder.name(name);
    }
    if args.get_if_exists {
        builder = builder.get_if_exists();
    }
    if let Some(runtime) = args.runtime {
        builder = builder.runtime(ExternalPayload::runtime(runtime), args.class);
    }
    if let Some(timeout) = args.timeout {
        builder = builder.max_wait(timeout);
    }
    builder
}

fn failed(error: CreateError) -> Failure {
    match error {
        CreateError::Refused(refused) => refused.into(),
        CreateError::Argument(_) | CreateError::Ended(_) => Failure::work(error.to_string()),
    }
}

//! `bireme actor call --stream`

use std::io;

use bireme_client::{CallError, Client};
use bireme_core::Value;
use bireme_core::actor::Selector;

use super::super::interrupt::interrupted;
use super::super::{connect_options, value};
use super::{call, refused};
use crate::args::{ActorCall, Format, Global};
use crate::exit::{Exit, Failure};
use crate::output;

/// Calls a method that gives items, and prints each as it comes.
pub(super) async fn run(global: &Global, args: ActorCall) -> Result<Exit, Failure> {
    let ActorCall { actor: wanted, method, args, named, lane: _, deadline, stream: _ } = args;
    let client = Client::connect(connect_options(global)).await?;
    let actor = match wanted.selector.clone() {
        Selector::Actor(id) => client.actor_of(id),
        Selector::Name(name) => client.find_actor(name).await.map_err(refused(&wanted))?,
    };
    let mut called = actor.method(method).args(call::arguments(&args, &named));
    if let Some(deadline) = deadline {
        called = called.deadline(deadline);
    }
    let mut items = called.stream();
    let interrupted = interrupted();
    tokio::pin!(interrupted);
    loop {
        tokio::select! {
            biased;
            listened = &mut interrupted => {
                listened?;
                items.cancel(None);
                client.close().await?;
                return Ok(Exit::Interrupted);
            }
            item = items.next() => match item {
                None => break,
                Some(Ok(item)) => print(global.output, &item)?,
                Some(Err(error)) => return Err(failed(error)),
            },
        }
    }
    client.close().await?;
    Ok(Exit::Done)
}

/// A line for each.
fn print(format: Format, item: &Value) -> io::Result<()> {
    let bytes = item.bytes().unwrap_or_default();
    match format {
        Format::Json => output::json_line(&value::json(item, &bytes)),
        Format::Text => {
            let line = call::text(item, &bytes);
            let end = if line.ends_with('\n') { "" } else { "\n" };
            output::bytes(format!("{line}{end}").as_bytes())
        }
    }
}

fn failed(error: CallError) -> Failure {
    match error {
        CallError::Failed(failure) => call::failed(&failure),
        CallError::User(error) => call::raised(&error),
        other => Failure::work(other.to_string()),
    }
}

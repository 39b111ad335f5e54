//! `bireme actor logs`

use bireme_client::{ActorLogPiece, ActorLogQuery, Admin};
use serde_json::{Value as Json, json};

use super::refused;
use crate::args::{ActorLogs, Format, Global};
use crate::cmd::interrupt::unless_interrupted;
use crate::cmd::value::hex;
use crate::exit::{Exit, Failure};
use crate::output;

pub(super) async fn run(global: &Global, admin: &Admin, args: ActorLogs) -> Result<Exit, Failure> {
    let ActorLogs { actor, follow, tail } = args;
    let query = ActorLogQuery { follow, tail_lines: tail, incarnation: None };
    let printed = async {
        let mut logs = admin.actor_logs(&actor.selector, query).await.map_err(refused(&actor))?;
        while let Some(piece) = logs.next().await? {
            if piece.lagged {
                output::say("something that was printed here is not kept");
            }
            match global.output {
                Format::Json => output::json_line(&json(&piece))?,
                Format::Text => output::bytes(&piece.text)?,
            }
        }
        Ok::<_, Failure>(())
    };
    let goes_on = format!("interrupted: actor {actor} goes on");
    let ended = unless_interrupted(printed, &goes_on).await?;
    Ok(ended.map_or(Exit::Interrupted, |()| Exit::Done))
}

fn json(piece: &ActorLogPiece) -> Json {
    let (form, text) = match std::str::from_utf8(&piece.text) {
        Ok(text) => ("text", text.to_owned()),
        Err(_) => ("hex", hex(&piece.text)),
    };
    json!({
        "incarnation": piece.incarnation.map(|incarnation| incarnation.0),
        "stream": if piece.is_error { "stderr" } else { "stdout" },
        "since_start_us": piece.since_start.0,
        "lagged": piece.lagged,
        form: text,
    })
}

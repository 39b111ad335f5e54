//! `bireme actor call`

use bireme_client::{Admin, Args, OneCall};
use bireme_core::actor::call::{CallCode, CallFailure, Ending, Outcome};
use bireme_core::{Codec, TaskError, Value};
use serde_json::{Value as Json, json};

use super::super::value;
use super::refused;
use crate::args::{ActorCall, Format, Global, Param};
use crate::exit::{Exit, Failure};
use crate::output;

pub(super) async fn run(global: &Global, admin: &Admin, args: ActorCall) -> Result<Exit, Failure> {
    let ActorCall { actor, method, args, named, lane, deadline, stream: _ } = args;
    let args = arguments(&args, &named);
    let call = OneCall { actor: actor.selector.clone(), method, args, lane, deadline };
    let ending = admin.call_actor(call).await.map_err(refused(&actor))?;
    print(global.output, ending)?;
    Ok(Exit::Done)
}

/// What was typed, as arguments of a call.
pub(super) fn arguments(placed: &[String], named: &[Param]) -> Args {
    let args = placed.iter().fold(Args::new(), |args, text| args.arg(argument(text)));
    named.iter().fold(args, |args, Param { name, value }| args.named(name, argument(value)))
}

/// What is no JSON is text, and travels as JSON all the same.
pub(super) fn argument(text: &str) -> Value {
    let json = match serde_json::from_str::<Json>(text) {
        Ok(_) => text.to_owned(),
        Err(_) => Json::from(text).to_string(),
    };
    Value::inline(Codec::Json, json)
}

fn print(format: Format, ending: Ending) -> Result<(), Failure> {
    let Ending { outcome, queue, run, lsn: _, incarnation } = ending;
    let what = match outcome {
        Outcome::Value(value) => {
            let bytes = value.bytes().unwrap_or_default();
            if format == Format::Text {
                return Ok(output::bytes(text(&value, &bytes).as_bytes())?);
            }
            value::json(&value, &bytes)
        }
        Outcome::Stored { object, size, worker } => {
            if format == Format::Text {
                let size = output::size(size);
                let line = format!("object {object} of {size} on {worker}\n");
                return Ok(output::bytes(line.as_bytes())?);
            }
            json!({
                "object": object.to_string(),
                "size": size,
                "worker": worker.to_string(),
            })
        }
        Outcome::Done { .. } if format == Format::Text => return Ok(()),
        Outcome::Done { .. } => json!({ "value": null }),
        Outcome::UserError(error) => return Err(raised(&error)),
        Outcome::Failure(failure) => return Err(failed(&failure)),
    };
    let took = json!({
        "queue_us": queue.0,
        "run_us": run.0,
        "incarnation": incarnation.0,
    });
    Ok(output::json(&super::super::with(what, took))?)
}

/// What the method itself failed with.
pub(super) fn raised(error: &TaskError) -> Failure {
    let traceback = match error.traceback.trim_end() {
        "" => String::new(),
        traceback => format!("\n{traceback}"),
    };
    Failure::work(format!("{}: {}{traceback}", error.reason, error.message))
}

/// What was asked for wrongly is told from what went wrong.
pub(super) fn failed(failure: &CallFailure) -> Failure {
    let message = format!("{}: {}", failure.code.name(), failure.message);
    match failure.code {
        CallCode::NoSuchMethod | CallCode::UnserializableArgs => Failure::bad_input(message),
        _ => Failure::work(message),
    }
}

/// A value on a terminal: plain data on a line, text as it is, other bytes in hexadecimal.
pub(super) fn text(value: &Value, bytes: &[u8]) -> String {
    value::line(value, bytes).unwrap_or_else(|| match std::str::from_utf8(bytes) {
        Ok(text) => format!("{text}\n"),
        Err(_) => format!("{}\n", value::hex(bytes)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(value: Value) -> String {
        text(&value, &value.bytes().unwrap())
    }

    #[test]
    fn what_is_no_json_is_text() {
        let json = |text: &str| argument(text).bytes().unwrap();
        assert_eq!(json("1"), "1");
        assert_eq!(json("{\"a\": [1]}"), "{\"a\": [1]}");
        assert_eq!(json("hello world"), "\"hello world\"");
        assert_eq!(json("-1.5"), "-1.5");
    }

    #[test]
    fn a_terminal_is_shown_the_value_alone() {
        assert_eq!(shown(Value::inline(Codec::Json, "3")), "3\n");
        assert_eq!(shown(Value::inline(Codec::Json, "\"a b\"")), "a b\n");
        assert_eq!(shown(Value::text("a b")), "a b\n");
        assert_eq!(shown(Value::none()), "");
        assert_eq!(shown(Value::raw(vec![0xff])), "ff\n");
    }

    #[test]
    fn a_missing_method_is_bad_input_and_a_lost_call_is_not() {
        let exit = |code| failed(&CallFailure::new(code, "why")).exit();
        assert_eq!(exit(CallCode::NoSuchMethod), Exit::BadInput);
        assert_eq!(exit(CallCode::Unknown), Exit::WorkFailed);
        assert_eq!(failed(&CallFailure::new(CallCode::Gone, "why")).to_string(), "GONE: why");
    }
}

//! The first message of every stream.

use tonic::{Code, Status, Streaming};

use bireme_core::limits;
use bireme_core::link::{Hello, greet};
use bireme_core::reason::{Reason, Refusal};
use bireme_proto::convert::common::Greeting;
use bireme_proto::pb;
use bireme_proto::status::status;

/// Waits for the first message of a stream.
pub(crate) async fn first<T>(stream: &mut Streaming<T>) -> Result<T, Status> {
    let message = tokio::time::timeout(limits::HELLO_WAIT.to_std(), stream.message()).await;
    let problem = match message {
        Ok(Ok(Some(message))) => return Ok(message),
        Ok(Ok(None)) => "the stream ended before its first message".to_owned(),
        Ok(Err(error)) => return Err(broken(&error).map_or(error, status)),
        Err(_) => format!("no first message within {}", limits::HELLO_WAIT),
    };
    Err(status(Refusal::at(Reason::HelloExpected, "hello", problem)))
}

/// Judges the greeting of a peer, who must be able to talk to us. Returns name and version of its software.
pub(crate) fn judge(ours: &Hello, theirs: Option<pb::Hello>) -> Result<String, Refusal> {
    let Some(theirs) = theirs else { return Err(expected("hello")) };
    let theirs = Greeting::try_from(theirs)?;
    greet(ours, &theirs.hello)?;
    Ok(theirs.product)
}

/// The first message lacks a part.
pub(crate) fn expected(field: &str) -> Refusal {
    let message = format!("the first message carries no `{field}`");
    Refusal::at(Reason::HelloExpected, field, message)
}

/// Our own greeting.
pub(crate) fn ours(hello: &Hello) -> pb::Hello {
    Greeting::new(hello.clone()).into()
}

/// Why reading from a stream failed, if the peer is to blame; otherwise the peer is gone and hears nothing.
pub(crate) fn broken(error: &Status) -> Option<Refusal> {
    match error.code() {
        Code::OutOfRange => Some(Refusal::new(Reason::MessageTooLarge, error.message())),
        Code::Internal if error.message().contains("decode") => {
            Some(Refusal::new(Reason::Malformed, error.message()))
        }
        _ => None,
    }
}

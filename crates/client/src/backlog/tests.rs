//! What goes into a message, and what a new stream begins with.

use bireme_core::id::SessionId;
use tokio_stream::StreamExt as _;

use super::*;
use crate::client::{fresh_id, wire};
use crate::outgoing::Outgoing;

fn backlog() -> Arc<Backlog> {
    Arc::new(Backlog::new())
}

fn outgoing(backlog: &Arc<Backlog>) -> Outgoing {
    Outgoing::new(&pb::SessionUp::default(), Arc::clone(backlog))
}

/// Adds a chunk of about so many bytes.
async fn chunk(backlog: &Backlog, bytes: usize) -> SubmissionId {
    let id = fresh_id();
    let options = pb::GraphOptions { name: "x".repeat(bytes), ..pb::GraphOptions::default() };
    let chunk = pb::GraphChunk {
        submission_id: wire(id),
        options: Some(options),
        ..pb::GraphChunk::default()
    };
    let graph = GraphId::new(SessionId(1), 1);
    backlog.add(Command::Chunk(chunk), Some((id, Answer::Chunk(graph)))).await.unwrap();
    id
}

/// The commands of the next message.
async fn next(outgoing: &mut Outgoing) -> Option<Vec<Command>> {
    let whole = outgoing.next().await?.concat();
    assert!(whole.len() <= limits::MESSAGE_BYTES);
    let message = pb::SessionUp::decode(&whole[..]).unwrap();
    Some(message.commands.into_iter().filter_map(|command| command.command).collect())
}

fn submission(command: &Command) -> SubmissionId {
    let Command::Chunk(chunk) = command else { panic!("{command:?}") };
    SubmissionId::from_slice(&chunk.submission_id).unwrap()
}

#[tokio::test]
async fn what_waits_goes_in_one_message() {
    let backlog = backlog();
    for n in 0..5 {
        backlog.add(Command::Ping(n), None).await.unwrap();
    }
    backlog.drain();
    let mut outgoing = outgoing(&backlog);
    assert_eq!(next(&mut outgoing).await.unwrap().len(), 0, "the hello is alone");
    assert_eq!(next(&mut outgoing).await.unwrap(), [0, 1, 2, 3, 4].map(Command::Ping));
    assert_eq!(next(&mut outgoing).await, None);
}

#[tokio::test]
async fn a_message_closes_before_it_is_too_long_and_keeps_the_order() {
    let backlog = backlog();
    let large = limits::BATCH_BYTES * 2 / 3;
    let ids = [10, large, large, 10].map(|bytes| chunk(&backlog, bytes));
    let mut sent = Vec::new();
    for id in ids {
        sent.push(id.await);
    }
    backlog.drain();
    let mut outgoing = outgoing(&backlog);
    let (mut lengths, mut came) = (Vec::new(), Vec::new());
    while let Some(commands) = next(&mut outgoing).await {
        lengths.push(commands.len());
        came.extend(commands.iter().map(submission));
    }
    assert_eq!((lengths, came), (vec![0, 2, 2], sent));
}

#[tokio::test]
async fn a_new_stream_begins_with_what_was_not_answered() {
    let backlog = backlog();
    let (answered, first, second) =
        (chunk(&backlog, 1).await, chunk(&backlog, 1).await, chunk(&backlog, 1).await);
    backlog.add(Command::Ping(1), None).await.unwrap();
    let mut old = outgoing(&backlog);
    next(&mut old).await.unwrap();
    assert_eq!(next(&mut old).await.unwrap().len(), 4);
    assert!(matches!(backlog.answered(answered), Some(Answer::Chunk(_))));
    assert!(backlog.answered(answered).is_none(), "it is answered once");

    let mut new = outgoing(&backlog);
    backlog.add_at_once(Command::Ping(2));
    assert_eq!(next(&mut old).await, None, "only one stream pulls");
    next(&mut new).await.unwrap();
    let again = next(&mut new).await.unwrap();
    assert_eq!(again[..2].iter().map(submission).collect::<Vec<_>>(), [first, second]);
    assert_eq!(again[2..], [Command::Ping(2)], "what has no answer went once");
}

#[tokio::test]
async fn commands_wait_for_room_until_others_are_answered() {
    let backlog = backlog();
    let first = chunk(&backlog, 1).await;
    for _ in 1..limits::UNANSWERED {
        chunk(&backlog, 1).await;
    }
    let mut further = std::pin::pin!(chunk(&backlog, 1));
    let is_waiting = std::future::poll_fn(|cx| Poll::Ready(further.as_mut().poll(cx).is_pending()));
    assert!(is_waiting.await);
    backlog.answered(first).unwrap();
    further.await;
}

#[tokio::test]
async fn nothing_waits_for_what_is_closed() {
    let backlog = backlog();
    let (sender, receiver) = oneshot::channel();
    let id = fresh_id();
    let answer = Some((id, Answer::Caller(sender)));
    backlog.add(Command::Ping(0), answer).await.unwrap();
    let mut outgoing = outgoing(&backlog);
    backlog.close();
    next(&mut outgoing).await.unwrap();
    assert_eq!(next(&mut outgoing).await, None);
    assert!(receiver.await.is_err());
    assert_eq!(backlog.add(Command::Ping(1), None).await, Err(Closed));
}

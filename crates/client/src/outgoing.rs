//! The session's way up: commands become messages when the stream asks for one.
//!
//! The connection pulls from here, so no task of ours stands between a caller and the socket. Whatever waits when the
//! stream has room goes in one message, up to the size of a batch.

use std::pin::Pin;
use std::task::{Context, Poll};

use bireme_core::limits;
use bireme_proto::pb;
use prost::Message as _;
use tokio::sync::mpsc;
use tokio_stream::Stream;

/// A command on its way, with its encoded length.
#[derive(Debug)]
pub(crate) struct Outbound {
    command: pb::SessionCommand,
    bytes: usize,
}

/// The stream of messages to the scheduler. It ends when every sender is gone.
#[derive(Debug)]
pub(crate) struct Outgoing {
    first: Option<pb::SessionUp>,
    commands: mpsc::Receiver<Outbound>,
    /// What did not fit into the message before.
    held: Option<Outbound>,
}

impl Outbound {
    pub(crate) fn new(command: pb::session_command::Command) -> Self {
        let command = pb::SessionCommand { command: Some(command) };
        Self { bytes: command.encoded_len(), command }
    }
}

impl Outgoing {
    /// A stream that begins with `first`, and the way to add to it.
    pub(crate) fn new(first: pb::SessionUp) -> (mpsc::Sender<Outbound>, Self) {
        let (sender, commands) = mpsc::channel(limits::SESSION_COMMANDS);
        (sender, Self { first: Some(first), commands, held: None })
    }
}

impl Stream for Outgoing {
    type Item = pb::SessionUp;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<pb::SessionUp>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(first));
        }
        let mut batch = Vec::new();
        let mut bytes = 0;
        if let Some(held) = self.held.take() {
            bytes += held.bytes;
            batch.push(held.command);
        }
        loop {
            match self.commands.poll_recv(cx) {
                Poll::Ready(Some(next))
                    if !batch.is_empty() && bytes + next.bytes > limits::BATCH_BYTES =>
                {
                    self.held = Some(next);
                    break;
                }
                Poll::Ready(Some(next)) => {
                    bytes += next.bytes;
                    batch.push(next.command);
                }
                Poll::Ready(None) if batch.is_empty() => return Poll::Ready(None),
                Poll::Pending if batch.is_empty() => return Poll::Pending,
                Poll::Ready(None) | Poll::Pending => break,
            }
        }
        Poll::Ready(Some(pb::SessionUp { commands: batch, ..pb::SessionUp::default() }))
    }
}

#[cfg(test)]
mod tests {
    use tokio_stream::StreamExt as _;

    use super::*;

    fn ping(n: u64) -> Outbound {
        Outbound::new(pb::session_command::Command::Ping(n))
    }

    fn large() -> Outbound {
        let chunk = pb::GraphChunk {
            submission_id: vec![0; limits::BATCH_BYTES - 100].into(),
            ..pb::GraphChunk::default()
        };
        Outbound::new(pb::session_command::Command::Chunk(chunk))
    }

    #[tokio::test]
    async fn what_waits_goes_in_one_message() {
        let (sender, mut outgoing) = Outgoing::new(pb::SessionUp::default());
        for n in 0..5 {
            sender.send(ping(n)).await.unwrap();
        }
        assert_eq!(outgoing.next().await.unwrap().commands.len(), 0, "the hello is alone");
        assert_eq!(outgoing.next().await.unwrap().commands.len(), 5);
        drop(sender);
        assert_eq!(outgoing.next().await, None);
    }

    #[tokio::test]
    async fn a_message_closes_before_it_is_too_long_and_keeps_the_order() {
        let (sender, mut outgoing) = Outgoing::new(pb::SessionUp::default());
        for outbound in [ping(1), large(), large(), ping(2)] {
            sender.send(outbound).await.unwrap();
        }
        drop(sender);
        let mut lengths = Vec::new();
        while let Some(message) = outgoing.next().await {
            assert!(message.encoded_len() <= limits::MESSAGE_BYTES);
            lengths.push(message.commands.len());
        }
        assert_eq!(lengths, [0, 2, 2]);
    }
}

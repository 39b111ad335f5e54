//! The streams of clients.

use tokio::sync::oneshot;
use tonic::{Request, Response, Status, Streaming};

use bireme_core::session::{Command, Open};
use bireme_proto::convert::session::Subject;
use bireme_proto::pb;
use bireme_proto::pb::session_server::Session;
use bireme_proto::status::status;

use crate::driver::mail::{BadCommand, Mail, Mailbox};
use crate::driver::outbox::Outflow;
use crate::driver::streams::Stream;
use crate::machine::ConnId;
use crate::rpc::cluster::caller::Caller;
use crate::rpc::pipe::Pipe;
use crate::rpc::{Door, hello, origin};

#[tonic::async_trait]
impl Session for Door {
    type AttachStream = Outflow<pb::SessionDown>;

    async fn attach(
        &self,
        request: Request<Streaming<pb::SessionUp>>,
    ) -> Result<Response<Self::AttachStream>, Status> {
        let (origin, owner) = (origin(&request), Caller::owner(self, &request));
        let mut incoming = request.into_inner();
        let pb::SessionUp { hello, open, commands } = hello::first(&mut incoming).await?;
        let product = hello::judge(&self.site.hello, hello).map_err(status)?;
        let open = open.ok_or_else(|| hello::expected("open")).and_then(Open::try_from);
        let open = Open { owner, ..open.map_err(status)? };
        let (conn, outbox, outflow) = self.mailbox.connect();
        let (stream, closed) = Stream::new(Pipe::session(outbox), origin, product);
        let sent = self.mailbox.send(Mail::Attached { conn, open, stream }).await;
        sent.map_err(status)?;
        tokio::spawn(read(incoming, commands, conn, self.mailbox.clone(), closed));
        Ok(Response::new(outflow))
    }
}

/// Passes a client's commands on until either side has had enough.
async fn read(
    mut incoming: Streaming<pb::SessionUp>,
    first: Vec<pb::SessionCommand>,
    conn: ConnId,
    mailbox: Mailbox,
    mut closed: oneshot::Receiver<()>,
) {
    let mut next = first;
    let because = loop {
        if !next.is_empty() {
            let commands = next.into_iter().map(decode).collect();
            if mailbox.send(Mail::Commands { conn, commands }).await.is_err() {
                return;
            }
        }
        let message = tokio::select! {
            biased;
            _ = &mut closed => return,
            message = incoming.message() => message,
        };
        next = match message {
            Ok(Some(pb::SessionUp { commands, .. })) => commands,
            Ok(None) => break None,
            Err(error) => break hello::broken(&error),
        };
    };
    // If the driver is gone, so is the stream.
    let _ = mailbox.send(Mail::Ended { conn, because }).await;
}

/// Reads one command; a bad one costs its sender a refusal.
fn decode(command: pb::SessionCommand) -> Result<Command, BadCommand> {
    let Subject { submission, graph } = Subject::of(&command);
    let is_chunk = matches!(command.command, Some(pb::session_command::Command::Chunk(_)));
    let chunk_of = graph.filter(|_| is_chunk);
    Command::try_from(command).map_err(|refusal| BadCommand { submission, chunk_of, refusal })
}

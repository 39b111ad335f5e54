//! The streams of workers.

use tokio::sync::oneshot;
use tonic::{Request, Response, Status, Streaming};

use bireme_core::protocol::{Announce, Join};
use bireme_core::reason::Refusal;
use bireme_proto::convert::fleet::Announced;
use bireme_proto::pb::fleet_server::Fleet;
use bireme_proto::status::status;
use bireme_proto::{convert, pb};

use crate::driver::mail::{Mail, Mailbox, WorkerBatch};
use crate::driver::outbox::Outflow;
use crate::driver::streams::Stream;
use crate::machine::ConnId;
use crate::rpc::pipe::Pipe;
use crate::rpc::{Door, hello, origin};

#[tonic::async_trait]
impl Fleet for Door {
    type JoinStream = Outflow<pb::FleetDown>;

    async fn join(
        &self,
        request: Request<Streaming<pb::FleetUp>>,
    ) -> Result<Response<Self::JoinStream>, Status> {
        let origin = origin(&request);
        let mut incoming = request.into_inner();
        let mut first = hello::first(&mut incoming).await?;
        let product = hello::judge(&self.site.hello, first.hello.take());
        let product = product.map_err(status)?;
        let join = first.join.take().ok_or_else(|| hello::expected("join"));
        let join = join.and_then(Join::try_from).map_err(status)?;
        let (conn, outbox, outflow) = self.mailbox.connect();
        let (stream, closed) = Stream::new(Pipe::worker(outbox), origin, product);
        let sent = self.mailbox.send(Mail::Joined { conn, join: Box::new(join), stream }).await;
        sent.map_err(status)?;
        tokio::spawn(read(incoming, first, conn, self.mailbox.clone(), closed));
        Ok(Response::new(outflow))
    }
}

/// Passes a worker's news on until either side has had enough.
async fn read(
    mut incoming: Streaming<pb::FleetUp>,
    first: pb::FleetUp,
    conn: ConnId,
    mailbox: Mailbox,
    mut closed: oneshot::Receiver<()>,
) {
    let mut next = first;
    let because = loop {
        let batch = match decode(next) {
            Ok(batch) => Box::new(batch),
            Err(refusal) => break Some(refusal),
        };
        if mailbox.send(Mail::Reports { conn, batch }).await.is_err() {
            return;
        }
        let message = tokio::select! {
            biased;
            _ = &mut closed => return,
            message = incoming.message() => message,
        };
        next = match message {
            Ok(Some(message)) => message,
            Ok(None) => break None,
            Err(error) => break hello::broken(&error),
        };
    };
    // If the driver is gone, so is the stream.
    let _ = mailbox.send(Mail::Ended { conn, because }).await;
}

/// Reads one message. What this version does not know is passed over and counted; what is malformed ends the stream.
fn decode(message: pb::FleetUp) -> Result<WorkerBatch, Refusal> {
    let pb::FleetUp { hello: _, join: _, announce, reports, heartbeat } = message;
    let announced = announce.map(convert::fleet::announced).transpose()?;
    let (reports, ignored) = convert::fleet::reports(reports)?;
    let mut batch = WorkerBatch { reports, ignored: ignored as u64, ..WorkerBatch::default() };
    if let Some(Announced { digest, announce, unknown }) = announced {
        batch.ignored += unknown as u64;
        // A first message with a digest and nothing else asks whether the parts are needed at all.
        batch.digest = digest.filter(|_| announce == Announce::default());
        batch.announce = batch.digest.is_none().then_some(announce);
    }
    if let Some(mut heartbeat) = heartbeat {
        batch.actors = convert::fleet::beats(std::mem::take(&mut heartbeat.actors))?;
        batch.heartbeat = Some(heartbeat.into());
    }
    Ok(batch)
}

//! The worker's side of its stream to the scheduler.

use bireme_core::actor::place::Beat;
use bireme_core::id::Digest;
use bireme_core::limits;
use bireme_core::link::{Hello, greet};
use bireme_core::protocol::{Announce, Heartbeat, Join, Joined, Order, Report};
use bireme_core::reason::{Reason, Refusal};
use bireme_daemon::auth::Bearer;
use bireme_proto::convert::common::{Clock as ClockSample, Greeting};
use bireme_proto::convert::fleet;
use bireme_proto::pb;
use bireme_proto::pb::fleet_client::FleetClient;
use bireme_proto::status::refusal;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::Endpoint;

/// Why there is no stream.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LinkError {
    /// The stream ended without a word.
    #[error("the scheduler ended the stream")]
    Ended,
    /// The scheduler says why.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Its first message did not come.
    #[error("the scheduler is silent for {}", limits::HELLO_WAIT)]
    Silent,
    /// Something between the two says no.
    #[error("{}", .0.message())]
    Status(Box<tonic::Status>),
    /// It cannot be reached.
    #[error("the scheduler cannot be reached: {}", innermost(.0))]
    Transport(#[from] tonic::transport::Error),
}

impl From<tonic::Status> for LinkError {
    fn from(status: tonic::Status) -> Self {
        match refusal(&status) {
            Some(refusal) => Self::Refused(refusal),
            None => Self::Status(Box::new(status)),
        }
    }
}

/// The source that says most: the transport's own words are "transport error".
fn innermost(error: &dyn std::error::Error) -> String {
    std::iter::successors(Some(error), |error| error.source())
        .last()
        .map_or_else(String::new, ToString::to_string)
}

/// A message to the scheduler.
#[derive(Debug)]
pub(crate) struct Up(pb::FleetUp);

impl Up {
    /// Asks whether the scheduler knows everything whose digest this is.
    pub(crate) fn digest(digest: Digest) -> Self {
        let announce = pb::Announce { digest: Some(digest.into()), ..pb::Announce::default() };
        Self(pb::FleetUp { announce: Some(announce), ..pb::FleetUp::default() })
    }

    /// A part of everything held.
    pub(crate) fn announce(part: Announce) -> Self {
        Self(pb::FleetUp { announce: Some(part.into()), ..pb::FleetUp::default() })
    }

    /// News, and how the worker is if that is due. Takes the reports out of the list, which keeps its room.
    pub(crate) fn reports(
        reports: &mut Vec<Report>,
        heartbeat: Option<(Heartbeat, Vec<Beat>, ClockSample)>,
    ) -> Self {
        let heartbeat = heartbeat.map(|(heartbeat, actors, clock)| pb::Heartbeat {
            clock: Some(clock.into()),
            actors: fleet::beats_sent(actors),
            ..heartbeat.into()
        });
        let reports = reports.drain(..).map(Into::into).collect();
        Self(pb::FleetUp { reports, heartbeat, ..pb::FleetUp::default() })
    }
}

/// A message from the scheduler.
#[derive(Debug, Default)]
pub(crate) struct Down {
    /// Whether it knows everything that was announced.
    pub(crate) announce_equal: Option<bool>,
    /// Carried out in order.
    pub(crate) orders: Vec<Order>,
}

/// A stream to a scheduler that has accepted this worker.
pub(crate) struct Link {
    pub(crate) hello: Hello,
    pub(crate) joined: Joined,
    /// What came with the answer.
    pub(crate) first: Down,
    pub(crate) outgoing: mpsc::Sender<Sealed>,
    pub(crate) incoming: Incoming,
}

/// A message on its way.
pub(crate) type Sealed = pb::FleetUp;

impl From<Up> for Sealed {
    fn from(Up(message): Up) -> Self {
        message
    }
}

/// What comes from the scheduler.
pub(crate) struct Incoming(Streaming<pb::FleetDown>);

impl Incoming {
    /// The next message. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Result<Down, LinkError> {
        read(self.0.message().await?.ok_or(LinkError::Ended)?)
    }
}

/// Connects and joins.
pub(crate) async fn join(
    address: String,
    bearer: Bearer,
    ours: Hello,
    join: Join,
) -> Result<Link, LinkError> {
    let channel = Endpoint::from_shared(address)?
        .connect_timeout(limits::HELLO_WAIT.to_std())
        .http2_keep_alive_interval(limits::PING.to_std())
        .keep_alive_timeout(limits::PING_WAIT.to_std())
        .keep_alive_while_idle(true)
        .tcp_nodelay(true)
        .connect()
        .await?;
    let (outgoing, messages) = mpsc::channel(limits::OUTBOX_MESSAGES);
    let first = pb::FleetUp {
        hello: Some(Greeting::new(ours.clone()).into()),
        join: Some(join.into()),
        ..pb::FleetUp::default()
    };
    // There is room: the channel is new.
    let _ = outgoing.try_send(first);
    let mut client = FleetClient::with_interceptor(channel, bearer)
        .max_decoding_message_size(limits::MESSAGE_BYTES);
    let answered = async {
        let mut incoming = client.join(ReceiverStream::new(messages)).await?.into_inner();
        let first = incoming.message().await?.ok_or(LinkError::Ended)?;
        Ok::<_, LinkError>((incoming, first))
    };
    let wait = limits::HELLO_WAIT.to_std();
    let (incoming, mut first) = timeout(wait, answered).await.map_err(|_| LinkError::Silent)??;
    let greeting: Greeting = first.hello.take().ok_or_else(|| expected("hello"))?.try_into()?;
    greet(&ours, &greeting.hello)?;
    let joined = first.joined.take().ok_or_else(|| expected("joined"))?.try_into()?;
    let first = read(first)?;
    let (hello, incoming) = (greeting.hello, Incoming(incoming));
    Ok(Link { hello, joined, first, outgoing, incoming })
}

fn expected(field: &str) -> Refusal {
    let message = format!("the scheduler's first message carries no `{field}`");
    Refusal::at(Reason::HelloExpected, field, message)
}

fn read(message: pb::FleetDown) -> Result<Down, LinkError> {
    let pb::FleetDown { hello: _, joined: _, announce_reply, orders } = message;
    let announce_equal = announce_reply.map(|pb::AnnounceReply { equal }| equal);
    Ok(Down { announce_equal, orders: fleet::orders(orders)? })
}

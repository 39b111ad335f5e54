//! Peers that speak the protocol by hand, and may say what no client or worker of ours would.

use std::future::Future;

use anyhow::{Context as _, Result, bail};
use bireme_core::resources::UNITS;
use bireme_proto::pb;
use bireme_proto::pb::fleet_client::FleetClient;
use bireme_proto::pb::session_client::SessionClient;
use pb::session_command::Command;
use pb::session_report::Report;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Streaming};

use super::door::{authorize, channel};
use crate::cluster::{Site, guarded};

/// Messages that wait to be sent.
const QUEUE: usize = 16;

/// A session.
pub(super) struct Session {
    up: mpsc::Sender<pb::SessionUp>,
    down: Streaming<pb::SessionDown>,
    number: u32,
}

impl Session {
    /// Opens one as a correct client does.
    pub(super) async fn open(site: &Site, token: u8) -> Result<Self> {
        let open = pb::OpenSession { token: vec![token; 16].into(), ..Default::default() };
        let first = pb::SessionUp { hello: Some(hello()), open: Some(open), ..Default::default() };
        let (up, mut down) = attach(site, first).await?;
        let opened = guarded("the answer", down.message()).await??.context("there is none")?;
        let session = opened.opened.and_then(|it| it.session).context("no session is opened")?;
        Ok(Self { up, down, number: session.number })
    }

    /// The number of its graph `n`, counted from 1.
    pub(super) fn graph(&self, n: u32) -> u64 {
        u64::from(self.number) << 32 | u64::from(n)
    }

    pub(super) async fn send(&self, command: Command) -> Result<()> {
        self.send_all(vec![command]).await
    }

    /// Sends commands in one message. Waits for room.
    pub(super) async fn send_all(&self, commands: Vec<Command>) -> Result<()> {
        let command = |it| pb::SessionCommand { command: Some(it) };
        let commands = commands.into_iter().map(command).collect();
        let sent = self.up.send(pb::SessionUp { commands, ..Default::default() });
        guarded("room for a command", sent).await?.context("the stream is over")
    }

    /// The first report that `pick` takes; others are passed over.
    pub(super) async fn report<T>(
        &mut self,
        mut pick: impl FnMut(Report) -> Option<T>,
    ) -> Result<T> {
        let looking = async {
            while let Some(message) = self.down.message().await? {
                let mut reports = message.reports.into_iter().filter_map(|it| it.report);
                if let Some(found) = reports.find_map(&mut pick) {
                    return Ok(found);
                }
            }
            bail!("the stream is over")
        };
        guarded("a report", looking).await?
    }

    /// The next refusal.
    pub(super) async fn refused(&mut self) -> Result<pb::Refused> {
        let refused = |report| match report {
            Report::Refused(refused) => Some(refused),
            _ => None,
        };
        self.report(refused).await.context("a refusal")
    }

    /// How a graph ended.
    pub(super) async fn over(&mut self, graph: u64) -> Result<pb::GraphUpdate> {
        let over = |report| match report {
            Report::Graph(update) if update.graph == graph && update.done => Some(update),
            _ => None,
        };
        self.report(over).await.with_context(|| format!("the end of graph {graph}"))
    }
}

/// Opens a session stream with a first message.
pub(super) async fn attach(
    site: &Site,
    first: pb::SessionUp,
) -> Result<(mpsc::Sender<pb::SessionUp>, Streaming<pb::SessionDown>)> {
    let mut client = SessionClient::new(channel(site).await?);
    dial(site, first, |request| async move { client.attach(request).await }).await
}

/// A worker of a name that does nothing but what it is told here.
pub(super) struct Worker {
    up: mpsc::Sender<pb::FleetUp>,
    down: Streaming<pb::FleetDown>,
}

impl Worker {
    /// Joins as a worker of one cpu that holds nothing and listens nowhere.
    pub(super) async fn join(site: &Site, name: &str) -> Result<Self> {
        let uid = vec![name.len().to_le_bytes()[0]; 16];
        let cpu = pb::Resources { cpu_units: UNITS, ..Default::default() };
        let join = pb::JoinFleet {
            uid: uid.clone().into(),
            incarnation: uid.into(),
            name: name.to_owned(),
            resources: Some(cpu),
            machine: "elsewhere".to_owned(),
            functions: vec!["builtin/echo".to_owned()],
            ..Default::default()
        };
        let first = pb::FleetUp { hello: Some(hello()), join: Some(join), ..Default::default() };
        let mut client = FleetClient::new(channel(site).await?);
        let dialled = dial(site, first, |request| async move { client.join(request).await });
        let (up, mut down) = dialled.await?;
        let joined = guarded("the answer", down.message()).await??.context("there is none")?;
        joined.joined.context("it is not let in")?;
        let nothing = pb::Announce { last: true, ..Default::default() };
        let announce = pb::FleetUp { announce: Some(nothing), ..Default::default() };
        up.send(announce).await.context("the stream is over")?;
        Ok(Self { up, down })
    }

    /// Reports something.
    pub(super) async fn report(&self, report: pb::fleet_report::Report) -> Result<()> {
        let reports = vec![pb::FleetReport { report: Some(report) }];
        let sent = self.up.send(pb::FleetUp { reports, ..Default::default() });
        guarded("room for a report", sent).await?.context("the stream is over")
    }

    /// The next attempt that it is to accept.
    pub(super) async fn start(&mut self) -> Result<pb::StartAttempt> {
        let looking = async {
            while let Some(message) = self.down.message().await? {
                for order in message.orders {
                    if let Some(pb::fleet_order::Order::Start(start)) = order.order {
                        return Ok(start);
                    }
                }
            }
            bail!("the stream is over")
        };
        guarded("an attempt", looking).await?
    }

    /// How its stream ends, which it must.
    pub(super) async fn ended(mut self) -> Result<tonic::Status> {
        let looking = async {
            loop {
                match self.down.message().await {
                    Ok(Some(_)) => {}
                    Ok(None) => bail!("the stream ended without a reason"),
                    Err(status) => return Ok(status),
                }
            }
        };
        guarded("the end of the stream", looking).await?
    }
}

/// Opens a stream with a first message.
async fn dial<U, D, F>(
    site: &Site,
    first: U,
    call: impl FnOnce(Request<ReceiverStream<U>>) -> F,
) -> Result<(mpsc::Sender<U>, Streaming<D>)>
where
    F: Future<Output = Result<tonic::Response<Streaming<D>>, tonic::Status>>,
{
    let (up, messages) = mpsc::channel(QUEUE);
    up.try_send(first).ok().context("the queue is new")?;
    let mut request = Request::new(ReceiverStream::new(messages));
    authorize(site, &mut request)?;
    let down = guarded("a stream", call(request)).await??.into_inner();
    Ok((up, down))
}

/// The greeting of a peer of our version.
fn hello() -> pb::Hello {
    use bireme_core::Epoch;
    use bireme_core::link::Hello;
    use bireme_proto::convert::common::Greeting;
    Greeting::new(Hello::new(None, Epoch(0))).into()
}

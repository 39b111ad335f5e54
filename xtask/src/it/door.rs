//! Who gets in, and what those who do not can do: nothing.

use anyhow::{Context as _, Result, bail, ensure};
use bireme_client::{Client, ConnectError};
use bireme_core::link::PROTOCOL_MAX;
use bireme_proto::pb::cluster_client::ClusterClient;
use bireme_proto::pb::session_client::SessionClient;
use bireme_proto::{access, pb, status};
use bytes::Bytes;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};
use tonic_prost::ProstCodec;

use super::graphs::{Sketch, text};
use crate::cluster::{Cluster, Shape, Site, connect_options, guarded};

/// The preface of every HTTP/2 connection.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Connections of random bytes.
const RANDOM: u64 = 32;

pub(super) async fn token_is_asked_for() -> Result<()> {
    let site = Site::new()?;
    let mut scheduler = site.start(site.scheduler(), "scheduler", None)?;
    scheduler.ready().await?;
    let mut cluster = ClusterClient::new(channel(&site).await?);
    let Err(status) = cluster.get_status(pb::GetStatusRequest {}).await else {
        bail!("the cluster's status was told to somebody without a token");
    };
    ensure!(reason(&status) == "UNAUTHENTICATED", "the answer without a token: {status}");
    let mut options = connect_options(&site.access_file())?;
    options.token = Some("guessed".to_owned());
    match guarded("an answer", Client::connect(options)).await? {
        Err(ConnectError::Refused { refused, .. }) if refused.reason == "UNAUTHENTICATED" => {}
        Err(error) => bail!("the answer to a wrong token: {error}"),
        Ok(_) => bail!("a wrong token opened a session"),
    }
    scheduler.stop().await
}

pub(super) async fn versions_must_meet() -> Result<()> {
    let site = Site::new()?;
    let mut scheduler = site.start(site.scheduler(), "scheduler", None)?;
    scheduler.ready().await?;
    let next = PROTOCOL_MAX + 1;
    let hello = pb::Hello { protocol_min: next, protocol_max: next, ..pb::Hello::default() };
    let first = pb::SessionUp { hello: Some(hello), ..pb::SessionUp::default() };
    let mut request = Request::new(tokio_stream::iter([first]));
    authorize(&site, &mut request)?;
    let mut session = SessionClient::new(channel(&site).await?);
    let answer = async {
        let mut answers = session.attach(request).await?.into_inner();
        answers.message().await
    };
    match guarded("an answer", answer).await? {
        Err(status) if reason(&status) == "PROTOCOL_VERSION" => {}
        Err(status) => bail!("the answer to another version: {status}"),
        Ok(answer) => bail!("another version was let in: {answer:?}"),
    }
    site.connect().await.context("a session of the right version after that")?.close().await?;
    scheduler.stop().await
}

pub(super) async fn strangers_harm_nobody() -> Result<()> {
    let cluster = Cluster::start(Shape::new(1, 1)).await?;
    works(&cluster).await.context("before")?;
    let access = access::read(&cluster.site().access_file())?;
    let address = access.address.strip_prefix("http://").context("an address without TLS")?;
    let requests: [&[u8]; 4] = [b"", b"\0", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", PREFACE];
    for request in requests {
        stranger(address, request).await?;
    }
    for seed in 1..=RANDOM {
        let noise = noise(seed);
        stranger(address, &noise).await?;
        // The same where frames are expected.
        stranger(address, &[PREFACE, &noise].concat()).await?;
    }
    malformed(cluster.site()).await?;
    works(&cluster).await.context("after")?;
    cluster.stop().await
}

/// Says something, hears the answer out, and goes.
async fn stranger(address: &str, request: &[u8]) -> Result<()> {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await?;
        // Being cut off is an answer, and so is silence.
        let _ = stream.write_all(request).await;
        let _ = stream.shutdown().await;
        let _ = stream.read_to_end(&mut Vec::new()).await;
        anyhow::Ok(())
    };
    guarded("a stranger to be cut off", exchange).await?
}

/// Opens a session with a first message that is none.
async fn malformed(site: &Site) -> Result<()> {
    let mut request = Request::new(tokio_stream::iter([Bytes::from_static(&[0xff; 100])]));
    authorize(site, &mut request)?;
    let mut grpc = tonic::client::Grpc::new(channel(site).await?);
    grpc.ready().await?;
    let path = tonic::codegen::http::uri::PathAndQuery::from_static("/bireme.v1.Session/Attach");
    let answer = async {
        let codec = ProstCodec::<Bytes, Bytes>::default();
        grpc.streaming(request, path, codec).await?.into_inner().message().await
    };
    match guarded("an answer", answer).await? {
        Err(_) => Ok(()),
        Ok(answer) => bail!("a message that is none was answered by {answer:?}"),
    }
}

/// Bytes that look random, and are the same each time.
fn noise(seed: u64) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    (0..64).flat_map(|_| next()).collect()
}

/// A task runs.
async fn works(cluster: &Cluster) -> Result<()> {
    let mut sketch = Sketch::new();
    let task = sketch.call("builtin/echo", [text("hello")], [])?;
    let graph = cluster.client.submit(sketch.graph).await?;
    let value = guarded("a result", graph.result(task)).await??;
    ensure!(value.bytes().as_deref() == Some(b"hello"), "the result is {value:?}");
    Ok(())
}

pub(super) async fn channel(site: &Site) -> Result<Channel> {
    let access = access::read(&site.access_file())?;
    Ok(Endpoint::from_shared(access.address)?.connect().await?)
}

pub(super) fn authorize<T>(site: &Site, request: &mut Request<T>) -> Result<()> {
    let access = access::read(&site.access_file())?;
    let bearer = format!("Bearer {}", access.token).parse()?;
    request.metadata_mut().insert("authorization", bearer);
    Ok(())
}

/// The stable name in a status; empty where it has none.
pub(super) fn reason(status: &Status) -> &'static str {
    status::refusal(status).map_or("", |refusal| refusal.reason.name())
}

//! From an address and a token to an open session.

use std::path::PathBuf;
use std::sync::Arc;

use bireme_core::Reason;
use bireme_core::id::{AttemptId, ClusterId, Epoch, SessionToken};
use bireme_core::limits;
use bireme_core::link::{Hello, greet};
use bireme_core::reason::Refusal;
use bireme_core::session::{Known, Opened};
use bireme_core::time::Span;
use bireme_proto::access::{self, Access, AccessError};
use bireme_proto::convert::common::Greeting;
use bireme_proto::pb;
use bytes::Bytes;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::metadata::AsciiMetadataValue;
use tonic::transport::Channel;
use tonic::{Status, Streaming};

use crate::backlog::Backlog;
use crate::client::random;
use crate::error::{ConnectError, Refused};
use crate::outgoing::{Encoded, Outgoing};
use crate::peers::{authorized, endpoint};

/// Where to connect, and as whom. What is not given is looked for: the address in `BIREME_SCHEDULER`, then in the access
/// file; the token in `BIREME_TOKEN`, then in the access file.
#[derive(Clone, Debug, Default)]
pub struct ConnectOptions {
    /// Address of the scheduler: `http://HOST:PORT`.
    pub scheduler: Option<String>,
    /// The bearer token.
    pub token: Option<String>,
    /// The access file that a scheduler wrote; the default is the one of this user.
    pub access_file: Option<PathBuf>,
    /// Name of the session, for people and to come back to it by.
    pub name: String,
    /// Come back to the session of this name, which some client opened with the same bearer token and left, rather than open
    /// a new one. Tickets for it are no good any more.
    pub by_name: bool,
    /// How long the session outlives a lost stream; the scheduler's default unless given.
    pub ttl: Option<Span>,
    /// Share of the cluster relative to other sessions, in percent; 0 is 100.
    pub weight_percent: u32,
    /// The running attempt whose code opens the session, which ends with it. Its tasks go before those of sessions further out.
    pub parent: Option<AttemptId>,
}

impl ConnectOptions {
    /// Where the access file is, or would be.
    pub fn access_path(&self) -> PathBuf {
        named_access_file(self).unwrap_or_else(|| access::default_path(variable))
    }
}

/// What is needed to speak to a cluster.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    address: String,
    cluster: Option<ClusterId>,
    bearer: Option<AsciiMetadataValue>,
    /// A scheduler that was restarted may have written another token where this one is from.
    rereads_token: bool,
}

/// With what a session's stream begins.
#[derive(Clone, Debug)]
pub(crate) struct Opening {
    /// 16 bytes: whoever shows them is the session.
    pub(crate) token: Bytes,
    /// Take over the session of this name, under this token.
    pub(crate) by_name: bool,
    /// The life of the scheduler that has the session.
    pub(crate) hello: Hello,
    /// What the client knows already.
    pub(crate) known: Vec<Known>,
    name: String,
    ttl: Option<Span>,
    weight_percent: u32,
    parent: Option<AttemptId>,
}

impl Opening {
    /// Of a new session, or of the one that the options name.
    pub(crate) fn new(options: &ConnectOptions) -> Self {
        Self {
            token: Bytes::copy_from_slice(&random().to_be_bytes()),
            by_name: options.by_name,
            hello: Hello::new(None, Epoch::default()),
            known: Vec::new(),
            name: options.name.clone(),
            ttl: options.ttl,
            weight_percent: options.weight_percent,
            parent: options.parent,
        }
    }

    /// Of the session with this token.
    pub(crate) fn of(token: SessionToken, options: &ConnectOptions) -> Self {
        let token = Bytes::copy_from_slice(&token.to_bytes());
        Self { token, by_name: false, ..Self::new(options) }
    }

    /// The first message.
    fn message(self) -> pb::SessionUp {
        let open = pb::OpenSession {
            token: self.token,
            name: self.name,
            ttl_us: self.ttl.map_or(0, |ttl| ttl.0),
            weight_percent: self.weight_percent,
            known: self.known.into_iter().map(Into::into).collect(),
            by_name: self.by_name,
            parent: self.parent.map(Into::into),
        };
        let hello = Some(Greeting::new(self.hello).into());
        pb::SessionUp { hello, open: Some(open), commands: Vec::new() }
    }
}

/// An open session.
pub(crate) struct Attached {
    pub(crate) opened: Opened,
    /// The scheduler's cluster, and which of its lives it is.
    pub(crate) life: (Option<ClusterId>, Epoch),
    pub(crate) channel: Channel,
    pub(crate) reports: Streaming<pb::SessionDown>,
    /// The first message, without what belongs to its opening.
    pub(crate) first: pb::SessionDown,
}

impl Target {
    /// Looks for what the options leave open.
    pub(crate) fn find(options: &ConnectOptions) -> Result<Self, ConnectError> {
        let given = options.scheduler.clone().or_else(|| variable("BIREME_SCHEDULER"));
        let file = access_file(options, given.is_some())?;
        let address = given
            .or_else(|| file.as_ref().map(|file| file.address.clone()))
            .ok_or(ConnectError::NoAddress)?;
        // The token of one cluster is never shown to another, unless the file was named for it.
        let file = file
            .filter(|file| options.access_file.is_some() || is_same_place(&file.address, &address));
        let given = options.token.clone().or_else(|| variable("BIREME_TOKEN"));
        let rereads_token = given.is_none();
        let token = given.or_else(|| file.as_ref().map(|file| file.token.clone()));
        let cluster = file.map(|file| file.cluster);
        let bearer = token.map(|token| bearer(&token, &address)).transpose()?;
        Ok(Self { address, cluster, bearer, rereads_token })
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    pub(crate) fn bearer(&self) -> Option<&AsciiMetadataValue> {
        self.bearer.as_ref()
    }

    pub(crate) fn rereads_token(&self) -> bool {
        self.rereads_token
    }

    /// A connection to the scheduler.
    pub(crate) async fn connect(&self) -> Result<Channel, ConnectError> {
        let endpoint = endpoint(&self.address)
            .map_err(|problem| ConnectError::Address { address: self.address.clone(), problem })?;
        endpoint.connect().await.map_err(|error| ConnectError::Unreachable {
            address: self.address.clone(),
            problem: innermost(&error),
        })
    }

    pub(crate) fn refused(&self, refused: impl Into<Refused>) -> ConnectError {
        ConnectError::Refused { address: self.address.clone(), refused: refused.into() }
    }
}

/// The access file named, or else this user's if there is one and it can be trusted.
fn access_file(
    options: &ConnectOptions,
    has_address: bool,
) -> Result<Option<Access>, ConnectError> {
    let is_named = named_access_file(options).is_some();
    match access::read(&options.access_path()) {
        Ok(file) => Ok(Some(file)),
        Err(AccessError::Missing { .. }) if !is_named => Ok(None),
        Err(_) if !is_named && has_address => Ok(None),
        Err(error) => Err(ConnectError::Access(Arc::new(error))),
    }
}

fn named_access_file(options: &ConnectOptions) -> Option<PathBuf> {
    options.access_file.clone().or_else(|| variable(access::VARIABLE).map(Into::into))
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Whether two addresses are one place, where `localhost` is the loopback address.
fn is_same_place(a: &str, b: &str) -> bool {
    let plain = |address: &str| {
        address.trim_end_matches('/').replace("//localhost:", "//127.0.0.1:").to_ascii_lowercase()
    };
    plain(a) == plain(b)
}

fn bearer(token: &str, address: &str) -> Result<AsciiMetadataValue, ConnectError> {
    let value: Result<AsciiMetadataValue, _> = format!("Bearer {token}").parse();
    let secret = value.map(|mut value| {
        value.set_sensitive(true);
        value
    });
    secret.map_err(|_| ConnectError::Refused {
        address: address.to_owned(),
        refused: Refused {
            reason: Reason::Unauthenticated.name().to_owned(),
            field: "authorization".to_owned(),
            message: "the token has characters that no token has".to_owned(),
        },
    })
}

/// What the system said, without what wraps it.
pub(crate) fn innermost(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

/// Opens a session's stream: says hello, and hears who it is. The stream goes on with what `backlog` has.
pub(crate) async fn attach(
    target: &Target,
    opening: Opening,
    backlog: &Arc<Backlog>,
) -> Result<Attached, ConnectError> {
    const ATTACH: &str = "/bireme.v1.Session/Attach";
    let channel = target.connect().await?;
    let mut ours = opening.hello.clone();
    ours.cluster = ours.cluster.or(target.cluster);
    let first = Opening { hello: ours.clone(), ..opening }.message();
    let request = authorized(Outgoing::new(&first, Arc::clone(backlog)), target.bearer());
    let mut session = Grpc::new(channel.clone())
        .max_decoding_message_size(limits::MESSAGE_BYTES)
        .max_encoding_message_size(limits::MESSAGE_BYTES);
    let opening = async {
        let ready = session.ready().await;
        ready.map_err(|error| target.refused(Status::unavailable(innermost(&error))))?;
        let attached = session.streaming(request, PathAndQuery::from_static(ATTACH), Encoded);
        let mut reports = attached.await.map_err(|status| target.refused(status))?.into_inner();
        let first = reports.message().await.map_err(|status| target.refused(status))?;
        Ok((reports, first.unwrap_or_default()))
    };
    let (reports, mut first) =
        tokio::time::timeout(limits::HELLO_WAIT.to_std(), opening).await.map_err(|_| {
            ConnectError::Silent { address: target.address.clone(), wait: limits::HELLO_WAIT }
        })??;
    let (life, opened) = judge(&ours, &mut first).map_err(|refusal| target.refused(refusal))?;
    Ok(Attached { opened, life, channel, reports, first })
}

/// Reads what the scheduler answered to the opening.
fn judge(
    ours: &Hello,
    first: &mut pb::SessionDown,
) -> Result<((Option<ClusterId>, Epoch), Opened), Refusal> {
    let missing = |field: &str| {
        let message = format!("the scheduler's first message has no `{field}`");
        Refusal::at(Reason::HelloExpected, field, message)
    };
    let hello = first.hello.take().ok_or_else(|| missing("hello"))?;
    let hello = Greeting::try_from(hello)?.hello;
    greet(ours, &hello)?;
    let opened = first.opened.take().ok_or_else(|| missing("opened"))?;
    Ok(((hello.cluster, hello.epoch), Opened::try_from(opened)?))
}

#[cfg(test)]
mod tests {
    use bireme_core::id::SessionId;

    use super::*;

    fn answer() -> pb::SessionDown {
        let theirs = Hello::new(Some(ClusterId(1)), Epoch(3));
        let session = Some(pb::SessionId { number: 7 });
        pb::SessionDown {
            hello: Some(Greeting::new(theirs).into()),
            opened: Some(pb::SessionOpened { session, ..pb::SessionOpened::default() }),
            reports: Vec::new(),
        }
    }

    #[test]
    fn the_answer_of_the_right_cluster_opens_the_session() {
        let judged = |cluster| {
            judge(&Hello::new(cluster, Epoch(0)), &mut answer()).map(|(_, opened)| opened.session)
        };
        assert_eq!(judged(None), Ok(SessionId(7)));
        assert_eq!(judged(Some(ClusterId(1))), Ok(SessionId(7)));
        assert_eq!(judged(Some(ClusterId(2))).unwrap_err().reason, Reason::WrongCluster);
        let silent = judge(&Hello::new(None, Epoch(0)), &mut pb::SessionDown::default());
        assert_eq!(silent.unwrap_err().reason, Reason::HelloExpected);
    }

    #[test]
    fn a_token_goes_only_where_its_file_points() {
        assert!(is_same_place("http://127.0.0.1:9700", "http://localhost:9700/"));
        assert!(!is_same_place("http://127.0.0.1:9700", "http://127.0.0.1:9701"));
        assert!(!is_same_place("http://127.0.0.1:9700", "http://example.org:9700"));
    }

    #[test]
    fn a_file_that_was_named_must_be_there() {
        let options = ConnectOptions {
            access_file: Some("/nowhere/access.toml".into()),
            ..ConnectOptions::default()
        };
        let error = Target::find(&options).unwrap_err();
        assert!(matches!(error, ConnectError::Access(_)), "{error}");
    }
}

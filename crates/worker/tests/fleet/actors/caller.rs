//! A caller that says just what the test wants.

use std::collections::VecDeque;
use std::sync::Arc;

use bireme_core::actor::call::{Call, CallerId, Ending, Outcome, ReplyKind, Who};
use bireme_core::actor::wire::{OnUnknown, Open, Opened, ToCaller, ToHost};
use bireme_core::id::{Epoch, Incarnation, SessionId};
use bireme_core::link::Hello;
use bireme_core::{ObjectId, Span};
use bireme_proto::convert::actor::{said, told};
use bireme_proto::convert::common::Greeting;
use bireme_proto::pb;
use bireme_proto::pb::actor_host_client::ActorHostClient;
use prost::Message as _;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Request, Streaming};

use super::COUNTER;
use crate::played::{GUARD, TOKEN};

/// A stream of calls.
pub(crate) struct Caller {
    say: mpsc::Sender<pb::CallerBatch>,
    hear: Streaming<pb::HostBatch>,
    words: VecDeque<ToCaller>,
    incarnation: u32,
}

/// An argument.
pub(crate) fn json(text: &'static str) -> pb::Arg {
    let buffer = pb::Buffer { place: Some(pb::buffer::Place::Inline(text.into())) };
    let value = pb::Value {
        codec: pb::Codec::Json.into(),
        size: text.len() as u64,
        buffers: vec![buffer],
        ..pb::Value::default()
    };
    pb::Arg { kind: Some(pb::arg::Kind::Value(value)) }
}

/// A call with one argument, or with none.
pub(crate) fn call(method: &str, argument: Option<&'static str>) -> Call {
    let args = argument.into_iter().map(json).collect();
    let arguments = pb::CallArguments { args, named_args: Vec::new() };
    let (method, arguments) = (method.to_owned(), arguments.encode_to_vec().into());
    Call { method, arguments, ..Call::default() }
}

/// Encoded arguments: one, which is the call's input of this number.
pub(crate) fn input(n: u32) -> bytes::Bytes {
    let args = vec![pb::Arg { kind: Some(pb::arg::Kind::Input(n)) }];
    pb::CallArguments { args, named_args: Vec::new() }.encode_to_vec().into()
}

/// A client of the service.
pub(crate) async fn client(address: &str) -> ActorHostClient<Channel> {
    let channel = Channel::from_shared(address.to_owned()).unwrap().connect().await;
    ActorHostClient::new(channel.expect("the worker listens"))
}

/// With the token that lets one in.
pub(crate) fn authorized<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    let bearer = format!("Bearer {TOKEN}").parse().unwrap();
    request.metadata_mut().insert("authorization", bearer);
    request
}

impl Caller {
    pub(crate) async fn new(address: &str) -> Self {
        let (say, said) = mpsc::channel(64);
        let hello = Some(Greeting::new(Hello::new(None, Epoch(0))).into());
        say.send(pb::CallerBatch { hello, ..pb::CallerBatch::default() }).await.unwrap();
        let stream = client(address).await.calls(authorized(ReceiverStream::new(said))).await;
        let hear = stream.expect("it lets callers in").into_inner();
        Self { say, hear, words: VecDeque::new(), incarnation: 0 }
    }

    pub(crate) async fn say(&self, words: impl IntoIterator<Item = ToHost>) {
        let messages = words.into_iter().map(|word| said::say(1, word)).collect();
        self.say
            .send(pb::CallerBatch { messages, ..pb::CallerBatch::default() })
            .await
            .expect("the stream is up");
    }

    /// Opens the counter as a caller of this life, and returns what the host says to that.
    pub(crate) async fn open(
        &mut self,
        life: u64,
        incarnation: u32,
        processed_up_to: u64,
    ) -> Opened {
        self.say_open(life, incarnation, processed_up_to).await;
        self.opened().await
    }

    /// The same where the host may refuse.
    pub(crate) async fn try_open(
        &mut self,
        life: u64,
        incarnation: u32,
        processed_up_to: u64,
    ) -> Option<Opened> {
        self.say_open(life, incarnation, processed_up_to).await;
        loop {
            match self.next().await {
                ToCaller::Opened(opened) => return Some(*opened),
                ToCaller::OpenRefused(_) => return None,
                _ => {}
            }
        }
    }

    async fn say_open(&mut self, life: u64, incarnation: u32, processed_up_to: u64) {
        self.incarnation = incarnation;
        let caller = CallerId { who: Who::Session(SessionId(3)), life };
        let open = Open {
            caller,
            actor: COUNTER,
            incarnation: Incarnation(incarnation),
            processed_up_to,
            on_unknown: OnUnknown::Continue,
            credit: 2,
        };
        self.say([ToHost::Open(open)]).await;
    }

    /// The next word that says that the actor is here.
    pub(crate) async fn opened(&mut self) -> Opened {
        loop {
            if let ToCaller::Opened(opened) = self.next().await {
                return *opened;
            }
        }
    }

    pub(crate) async fn call(&self, seq: u64, call: Call) {
        let incarnation = Incarnation(self.incarnation);
        self.say([ToHost::Call { seq, call: Arc::new(call), incarnation }]).await;
    }

    pub(crate) async fn ack(&self, processed_up_to: u64) {
        self.say([ToHost::Ack { processed_up_to }]).await;
    }

    /// What is said next.
    pub(crate) async fn next(&mut self) -> ToCaller {
        loop {
            if let Some(word) = self.words.pop_front() {
                return word;
            }
            let batch = tokio::time::timeout(GUARD, self.hear.message()).await;
            let batch = batch.expect("the host is silent").expect("the stream is up");
            let heard = told::heard(batch.expect("the stream goes on").messages).unwrap();
            assert_eq!(heard.refusals, []);
            self.words.extend(heard.words.into_iter().map(|(_, word)| word));
        }
    }

    /// Makes a call and waits until it is in the mailbox; what else is said meanwhile is kept.
    pub(crate) async fn call_accepted(&mut self, seq: u64, call: Call) {
        self.call(seq, Call { receipt: true, ..call }).await;
        let mut others = VecDeque::new();
        loop {
            match self.next().await {
                ToCaller::Accepted { seq: accepted, .. } if accepted == seq => break,
                other => others.push_back(other),
            }
        }
        others.append(&mut self.words);
        self.words = others;
    }

    /// The next reply.
    pub(crate) async fn reply(&mut self) -> (u64, Ending) {
        loop {
            if let ToCaller::Reply { seq, ending } = self.next().await {
                return (seq, *ending);
            }
        }
    }

    /// The next reply, which is a number.
    pub(crate) async fn number(&mut self) -> (u64, i64) {
        let (seq, ending) = self.reply().await;
        (seq, number(&ending.outcome))
    }
}

/// The number that a call returned.
pub(crate) fn number(outcome: &Outcome) -> i64 {
    let Outcome::Value(value) = outcome else { panic!("it has no value: {outcome:?}") };
    let bytes = value.bytes().unwrap();
    rmp_serde::from_slice(&bytes)
        .or_else(|_| serde_json::from_slice(&bytes))
        .expect("it is a number")
}

/// A call whose result is stored under an id.
pub(crate) fn stored(method: &str, argument: &'static str, object: ObjectId) -> Call {
    let (reply, result) = (ReplyKind::Store, Some(object));
    Call { reply, result, ..call(method, Some(argument)) }
}

/// A call that may take so long.
pub(crate) fn within(span: Span, call: Call) -> Call {
    Call { deadline: Some(span), ..call }
}

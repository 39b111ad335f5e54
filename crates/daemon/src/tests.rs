//! The pieces together, as a daemon and its caller use them, over a real socket.

use std::convert::Infallible;
use std::future::poll_fn;

use bireme_core::Reason;
use bireme_proto::status::refusal;
use http::Request;
use tonic::body::Body;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Server};
use tonic::{Code, Status};
use tower::Service;

use crate::auth::{Access, Bearer, Gate, Role, Roles, Token, Tokens};
use crate::{Listener, Shutdown, guarded};

const LOOK: &str = "/bireme.v1.Test/Look";
const DRAIN: &str = "/bireme.v1.Test/Drain";

fn role_of(path: &str) -> Option<Role> {
    match path {
        LOOK => Some(Role::Read),
        DRAIN => Some(Role::Admin),
        _ => None,
    }
}

/// Calls a method; says why it is refused.
async fn call(channel: &Channel, bearer: Bearer, path: &str) -> Result<(), Reason> {
    let mut service = InterceptedService::new(channel.clone(), bearer);
    let uri = format!("http://bireme{path}");
    let request = Request::post(uri).body(Body::empty()).unwrap();
    guarded(poll_fn(|context| service.poll_ready(context))).await.unwrap();
    let response = guarded(service.call(request)).await.unwrap();
    let status = Status::from_header_map(response.headers()).expect("it has a status");
    if status.code() == Code::Ok {
        return Ok(());
    }
    Err(refusal(&status).expect("it is one of ours").reason)
}

#[tokio::test]
async fn a_call_passes_the_gate_with_its_token_until_the_shutdown() {
    let (admin, reader) = (Token::generate().unwrap(), Token::generate().unwrap());
    let mut tokens = Tokens::one(&admin);
    tokens.grant(&reader, Roles::of(Role::Read)).unwrap();

    let listener = Listener::bind("127.0.0.1:0", 8).await.unwrap();
    let address = listener.address();
    let shutdown = Shutdown::manual();
    let answer = tower::service_fn(|_: Request<Body>| async {
        Ok::<_, Infallible>(Status::new(Code::Ok, "").into_http::<Body>())
    });
    let serving = tokio::spawn(
        Server::builder()
            .layer(Gate::new(Access::Tokens(tokens), role_of))
            .serve_with_incoming_shutdown(answer, listener.incoming(), shutdown.begun()),
    );

    let channel = Channel::from_shared(format!("http://{address}")).unwrap().connect_lazy();
    assert_eq!(call(&channel, Bearer::new(&admin), DRAIN).await, Ok(()));
    assert_eq!(call(&channel, Bearer::new(&reader), LOOK).await, Ok(()));
    assert_eq!(call(&channel, Bearer::new(&reader), DRAIN).await, Err(Reason::RoleMissing));
    assert_eq!(call(&channel, Bearer::none(), LOOK).await, Err(Reason::Unauthenticated));

    shutdown.trigger();
    guarded(serving).await.unwrap().unwrap();
}

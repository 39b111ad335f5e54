//! The check before every service.

use std::future::{Ready, ready};
use std::sync::Arc;
use std::task::{Context, Poll};

use bireme_core::Reason;
use bireme_core::reason::Refusal;
use bireme_proto::status::status;
use futures_util::future::Either;
use http::header::AUTHORIZATION;
use http::{HeaderMap, Request, Response};
use tonic::body::Body;
use tower::{Layer, Service};

use super::{Access, Role, Roles};

/// Looks up the role that a method, by its path `/package.Service/Method`, asks for: `bireme_proto::role::role_of`.
pub type RoleOf = fn(&str) -> Option<Role>;

/// Anybody may ask whether a daemon lives.
const HEALTH: &str = "/grpc.health.v1.Health/";
/// Any token may ask what there is to be called.
const REFLECTION: &str = "/grpc.reflection.";

/// A layer that lets a call pass only with a token that grants the role its method asks for. A method that is in no table
/// is refused too: what is not known to be allowed is closed. A service that must know more about its caller finds the
/// [`Roles`] of the token among the request's extensions.
#[derive(Clone, Debug)]
pub struct Gate {
    access: Arc<Access>,
    role_of: RoleOf,
}

/// A service behind a [`Gate`].
#[derive(Clone, Debug)]
pub struct Gated<S> {
    service: S,
    gate: Gate,
}

impl Gate {
    /// A gate for whom `access` lets in.
    pub fn new(access: Access, role_of: RoleOf) -> Self {
        Self { access: Arc::new(access), role_of }
    }

    /// Judges a call: says what its token grants, or why it is refused.
    pub fn check(&self, path: &str, headers: &HeaderMap) -> Result<Roles, Refusal> {
        let Access::Tokens(tokens) = &*self.access else { return Ok(Roles::ALL) };
        if path.starts_with(HEALTH) {
            return Ok(Roles::NONE);
        }
        let presented = bearer(headers)?;
        let granted = tokens.roles(presented).ok_or_else(|| {
            Refusal::new(Reason::Unauthenticated, "unknown token: this cluster did not issue it")
        })?;
        if path.starts_with(REFLECTION) {
            return Ok(granted);
        }
        let needed = (self.role_of)(path).ok_or_else(|| {
            Refusal::new(
                Reason::Unsupported,
                format!("unknown method {path}: bring the daemon up to date"),
            )
        })?;
        if granted.allow(needed) {
            return Ok(granted);
        }
        let message = format!("{path} needs the role {needed}, the token grants {granted}");
        Err(Refusal::new(Reason::RoleMissing, message))
    }
}

/// The token in the headers.
fn bearer(headers: &HeaderMap) -> Result<&str, Refusal> {
    let refused = |message| Refusal::new(Reason::Unauthenticated, message);
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        let message = "no token was given, or several: set BIREME_TOKEN, or name the scheduler's access file in \
             BIREME_ACCESS_FILE; calls of other programs carry one header `authorization: Bearer TOKEN`";
        return Err(refused(message));
    };
    let (scheme, token) =
        value.to_str().ok().and_then(|value| value.split_once(' ')).ok_or_else(|| {
            refused("cannot read the header `authorization`: write `Bearer TOKEN`")
        })?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(refused("unknown authorization scheme: write `Bearer TOKEN`"));
    }
    Ok(token.trim())
}

impl<S> Layer<S> for Gate {
    type Service = Gated<S>;

    fn layer(&self, service: S) -> Gated<S> {
        Gated { service, gate: self.clone() }
    }
}

impl<S, B> Service<Request<B>> for Gated<S>
where
    S: Service<Request<B>, Response = Response<Body>>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Either<Ready<Result<Response<Body>, S::Error>>, S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.service.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        match self.gate.check(request.uri().path(), request.headers()) {
            Ok(granted) => {
                request.extensions_mut().insert(granted);
                Either::Right(self.service.call(request))
            }
            Err(refusal) => {
                tracing::debug!(path = request.uri().path(), %refusal, "call refused");
                Either::Left(ready(Ok(status(refusal).into_http())))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use tonic::{Code, Status};

    use super::*;
    use crate::auth::{Token, Tokens};

    const ADMIN: &str = "0123456789abcdef";
    const READER: &str = "fedcba9876543210";

    fn role_of(path: &str) -> Option<Role> {
        match path {
            "/s/Look" => Some(Role::Read),
            "/s/Drain" => Some(Role::Admin),
            _ => None,
        }
    }

    fn gate() -> Gate {
        let mut tokens = Tokens::one(&Token::new(ADMIN).unwrap());
        tokens.grant(&Token::new(READER).unwrap(), Roles::of(Role::Read)).unwrap();
        Gate::new(Access::Tokens(tokens), role_of)
    }

    /// What a call is answered by a service that answers everything, and whether that service saw it.
    async fn call(gate: &Gate, path: &str, authorization: &[&str]) -> (Code, bool) {
        let mut request = Request::builder().uri(path);
        for value in authorization {
            request = request.header(AUTHORIZATION, *value);
        }
        let mut seen = false;
        let service = tower::service_fn(|_: Request<()>| {
            seen = true;
            async { Ok::<_, Infallible>(Response::new(Body::empty())) }
        });
        let response = gate.layer(service).call(request.body(()).unwrap()).await.unwrap();
        let status = Status::from_header_map(response.headers());
        (status.map_or(Code::Ok, |status| status.code()), seen)
    }

    #[tokio::test]
    async fn a_call_passes_with_the_role_it_needs_and_reaches_no_service_without() {
        let (admin, reader) = (format!("Bearer {ADMIN}"), format!("bearer {READER}"));
        let refused = |code| (code, false);
        let passed = (Code::Ok, true);
        for (path, header, expected) in [
            ("/s/Look", &[reader.as_str()][..], passed),
            ("/s/Look", &[&admin], passed),
            ("/s/Drain", &[&admin], passed),
            ("/s/Drain", &[&reader], refused(Code::PermissionDenied)),
            ("/s/Unknown", &[&admin], refused(Code::Unimplemented)),
            ("/s/Unknown", &[], refused(Code::Unauthenticated)),
            ("/grpc.channelz.v1.Channelz/GetServers", &[&admin], refused(Code::Unimplemented)),
            ("/s/Look", &[], refused(Code::Unauthenticated)),
            ("/s/Look", &["Bearer wrong"], refused(Code::Unauthenticated)),
            ("/s/Look", &["Bearer"], refused(Code::Unauthenticated)),
            ("/s/Look", &["Basic YTpi"], refused(Code::Unauthenticated)),
            ("/s/Look", &["Bearer \u{e9}"], refused(Code::Unauthenticated)),
            ("/s/Look", &[&reader, &admin], refused(Code::Unauthenticated)),
            ("/grpc.health.v1.Health/Check", &[], passed),
            ("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", &[&reader], passed),
            (
                "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
                &[],
                refused(Code::Unauthenticated),
            ),
        ] {
            assert_eq!(call(&gate(), path, header).await, expected, "{path} {header:?}");
        }
    }

    #[tokio::test]
    async fn everybody_may_do_everything_if_told_so() {
        let open = Gate::new(Access::Everybody, role_of);
        for path in ["/s/Drain", "/s/Unknown"] {
            assert_eq!(call(&open, path, &[]).await, (Code::Ok, true), "{path}");
        }
    }

    #[tokio::test]
    async fn a_service_finds_the_roles_of_its_caller() {
        let gate = gate();
        let service = tower::service_fn(|request: Request<()>| async move {
            assert_eq!(request.extensions().get(), Some(&Roles::of(Role::Read)));
            Ok::<_, Infallible>(Response::new(Body::empty()))
        });
        let request = Request::get("/s/Look").header(AUTHORIZATION, format!("Bearer {READER}"));
        gate.layer(service).call(request.body(()).unwrap()).await.unwrap();
    }

    #[test]
    fn a_refusal_names_what_is_missing() {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, format!("Bearer {READER}").parse().unwrap());
        let refusal = gate().check("/s/Drain", &headers).unwrap_err();
        assert_eq!(refusal.reason, Reason::RoleMissing);
        assert_eq!(refusal.message, "/s/Drain needs the role admin, the token grants read");
    }
}

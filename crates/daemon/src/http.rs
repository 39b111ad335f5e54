//! The port for people and Prometheus: `/healthz` and `/metrics`, nothing else.

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;

use bireme_core::limits;
use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::task::JoinSet;

use crate::listen::Connection;
use crate::{Listener, Shutdown};

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const EXPOSITION: HeaderValue =
    HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");

/// What the pages show. The closures are called once for each request.
#[derive(Clone)]
pub struct Pages {
    health: Arc<dyn Fn() -> Result<(), String> + Send + Sync>,
    metrics: Arc<dyn Fn() -> String + Send + Sync>,
}

impl Pages {
    /// `health` says what ails the daemon, if anything does; `metrics` writes the Prometheus text exposition.
    pub fn new(
        health: impl Fn() -> Result<(), String> + Send + Sync + 'static,
        metrics: impl Fn() -> String + Send + Sync + 'static,
    ) -> Self {
        Self { health: Arc::new(health), metrics: Arc::new(metrics) }
    }

    fn answer(&self, method: &Method, path: &str) -> Response<Full<Bytes>> {
        if !matches!(*method, Method::GET | Method::HEAD) {
            let mut response = page(StatusCode::METHOD_NOT_ALLOWED, TEXT, "use GET\n");
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        match path {
            "/healthz" => match (self.health)() {
                Ok(()) => page(StatusCode::OK, TEXT, "ok\n"),
                Err(ailment) => page(StatusCode::SERVICE_UNAVAILABLE, TEXT, ailment + "\n"),
            },
            "/metrics" => page(StatusCode::OK, EXPOSITION, (self.metrics)()),
            _ => page(StatusCode::NOT_FOUND, TEXT, "there are /healthz and /metrics\n"),
        }
    }
}

/// Serves the pages until the shutdown begins; connections still open are dropped then. To be run on a runtime that has
/// time for it, which the one of the machine has not.
pub async fn serve(listener: Listener, pages: Pages, shutdown: Shutdown) {
    let mut connections = JoinSet::new();
    let begun = shutdown.begun();
    tokio::pin!(begun);
    loop {
        tokio::select! {
            () = &mut begun => return,
            connection = listener.accept() => {
                connections.spawn(converse(connection, pages.clone()));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn converse(connection: Connection, pages: Pages) {
    let service = service_fn(async |request: Request<Incoming>| {
        Ok::<_, Infallible>(pages.answer(request.method(), request.uri().path()))
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits::HTTP_HEADER_WAIT.to_std())
        .max_buf_size(limits::HTTP_HEADER_BYTES)
        .serve_connection(TokioIo::new(connection), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "http connection failed");
    }
}

fn page(status: StatusCode, content: HeaderValue, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, content);
    response
}

impl fmt::Debug for Pages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pages").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::*;
    use crate::guarded;

    async fn served(health: Result<(), String>) -> (SocketAddr, Shutdown) {
        let listener = Listener::bind("127.0.0.1:0", limits::HTTP_CONNECTIONS).await.unwrap();
        let (address, shutdown) = (listener.address(), Shutdown::manual());
        let pages = Pages::new(move || health.clone(), || "bireme_up 1\n".to_owned());
        tokio::spawn(serve(listener, pages, shutdown.clone()));
        (address, shutdown)
    }

    /// The status line and the body of one exchange.
    async fn ask(address: SocketAddr, method: &str, path: &str) -> (String, String) {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        guarded(stream.read_to_string(&mut answer)).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.lines().next().unwrap().to_owned(), body.to_owned())
    }

    #[tokio::test]
    async fn a_page_for_each_path() {
        let (address, _shutdown) = served(Ok(())).await;
        for (method, path, status, body) in [
            ("GET", "/healthz", "HTTP/1.1 200 OK", "ok\n"),
            ("HEAD", "/healthz", "HTTP/1.1 200 OK", ""),
            ("GET", "/metrics", "HTTP/1.1 200 OK", "bireme_up 1\n"),
            ("GET", "/", "HTTP/1.1 404 Not Found", "there are /healthz and /metrics\n"),
            ("POST", "/metrics", "HTTP/1.1 405 Method Not Allowed", "use GET\n"),
        ] {
            assert_eq!(
                ask(address, method, path).await,
                (status.to_owned(), body.to_owned()),
                "{path}"
            );
        }
    }

    #[tokio::test]
    async fn an_ailment_is_told() {
        let (address, _shutdown) = served(Err("state directory is full".into())).await;
        let (status, body) = ask(address, "GET", "/healthz").await;
        assert_eq!(status, "HTTP/1.1 503 Service Unavailable");
        assert_eq!(body, "state directory is full\n");
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_never_finishes_its_headers_is_dropped() {
        let (address, _shutdown) = served(Ok(())).await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET /healthz HTTP/1.1\r\n").await.unwrap();
        let mut rest = Vec::new();
        guarded(stream.read_to_end(&mut rest)).await.unwrap();
        assert!(rest.is_empty(), "{rest:?}");
    }

    #[tokio::test]
    async fn shutdown_ends_it_and_its_connections() {
        let (address, shutdown) = served(Ok(())).await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let mut first = [0; 8];
        guarded(stream.read_exact(&mut first)).await.unwrap();
        shutdown.trigger();
        let mut rest = String::new();
        guarded(stream.read_to_string(&mut rest)).await.unwrap();
        assert!(rest.ends_with("ok\n"), "{rest}");
    }
}

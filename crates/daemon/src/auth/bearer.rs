//! The token on the calls that we make.

use http::header::{AUTHORIZATION, HeaderValue};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::{Request, Status};

use super::Token;

/// Puts `authorization: Bearer TOKEN` on every call: `SchedulerClient::with_interceptor(channel, bearer)`.
#[derive(Clone, Debug)]
pub struct Bearer(Option<MetadataValue<Ascii>>);

impl Bearer {
    /// Sends this token.
    pub fn new(token: &Token) -> Self {
        let header = format!("Bearer {}", token.reveal());
        let mut value: MetadataValue<Ascii> = header.parse().expect("a token is printable ASCII");
        // Not shown by debug output, not kept in compression tables.
        value.set_sensitive(true);
        Self(Some(value))
    }

    /// Sends none: the peer was started with `--insecure`.
    pub fn none() -> Self {
        Self(None)
    }

    /// The header's value, for requests that are no gRPC calls.
    pub fn header(&self) -> Option<HeaderValue> {
        let mut value = HeaderValue::from_bytes(self.0.as_ref()?.as_encoded_bytes()).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(value) = &self.0 {
            request.metadata_mut().insert(AUTHORIZATION.as_str(), value.clone());
        }
        Ok(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_is_put_on_and_not_shown() {
        let token = Token::new("0123456789abcdef").unwrap();
        let mut bearer = Bearer::new(&token);
        let request = bearer.call(Request::new(())).unwrap();
        let header = request.metadata().get("authorization").unwrap();
        assert_eq!(header.to_str().unwrap(), "Bearer 0123456789abcdef");
        assert!(!format!("{bearer:?}").contains("0123"), "{bearer:?}");
    }

    #[test]
    fn without_a_token_nothing_is_put_on() {
        let request = Bearer::none().call(Request::new(())).unwrap();
        assert!(request.metadata().is_empty());
    }
}

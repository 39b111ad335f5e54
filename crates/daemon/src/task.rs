//! Parts of a daemon that run by themselves.

use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::task::JoinHandle;

/// A part of a daemon that runs by itself, and ends with the whole. What it panics with, the whole panics with.
///
/// Event loops run so, not within what the runtime blocks on: that one is polled only after another look at the sockets,
/// which costs a system call for each time that it is woken.
#[derive(Debug)]
pub struct Task<T>(JoinHandle<T>);

impl<T: Send + 'static> Task<T> {
    /// Starts it on the runtime of whoever calls this.
    pub fn spawn(part: impl Future<Output = T> + Send + 'static) -> Self {
        Self(tokio::spawn(part))
    }
}

impl<T> Future for Task<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        Pin::new(&mut self.0).poll(context).map(|ended| match ended {
            Ok(outcome) => outcome,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        })
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

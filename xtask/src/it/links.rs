//! Connections that go through this process, where they can be broken.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Result;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinHandle};
use tokio::time::sleep;

use super::dice::Dice;

/// How long nothing is taken after something could not be.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

/// Passes on what comes to an address of its own, to a daemon that may die and come back elsewhere.
#[derive(Debug)]
pub(super) struct Links {
    address: SocketAddr,
    known: Arc<Mutex<Known>>,
    accepting: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Known {
    /// Where the daemon listens, while it does.
    daemon: Option<SocketAddr>,
    /// Connections, some of which may be over.
    links: Vec<AbortHandle>,
}

impl Links {
    /// Listens on a port of the kernel's choice.
    pub(super) async fn listen() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let (address, known) = (listener.local_addr()?, Arc::new(Mutex::default()));
        let accepting = tokio::spawn(accept(listener, Arc::clone(&known)));
        Ok(Self { address, known, accepting })
    }

    /// Where it listens.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Passes on to here, from now on.
    pub(super) fn lead_to(&self, daemon: Option<SocketAddr>) {
        lock(&self.known).daemon = daemon;
    }

    /// Breaks one of the connections, if there is one.
    pub(super) fn break_one(&self, dice: &mut Dice) -> bool {
        let mut known = lock(&self.known);
        known.links.retain(|link| !link.is_finished());
        if known.links.is_empty() {
            return false;
        }
        let at = dice.below(known.links.len());
        known.links.swap_remove(at).abort();
        true
    }
}

impl Drop for Links {
    fn drop(&mut self) {
        self.accepting.abort();
        lock(&self.known).links.iter().for_each(AbortHandle::abort);
    }
}

async fn accept(listener: TcpListener, known: Arc<Mutex<Known>>) {
    loop {
        let near = match listener.accept().await {
            Ok((near, _)) => near,
            Err(error) => {
                // One that broke before it was taken is nobody's loss. Where there is no room for more, others end meanwhile.
                eprintln!("a connection is not taken: {error}");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let mut known = lock(&known);
        let Some(daemon) = known.daemon else { continue };
        known.links.retain(|link| !link.is_finished());
        known.links.push(tokio::spawn(pass_on(near, daemon)).abort_handle());
    }
}

async fn pass_on(mut near: TcpStream, daemon: SocketAddr) {
    let Ok(mut far) = TcpStream::connect(daemon).await else { return };
    for end in [&near, &far] {
        // It is slower without, and as right.
        let _ = end.set_nodelay(true);
    }
    // How a connection ends is for those at its ends.
    let _ = copy_bidirectional(&mut near, &mut far).await;
}

fn lock(known: &Mutex<Known>) -> MutexGuard<'_, Known> {
    known.lock().unwrap_or_else(PoisonError::into_inner)
}

//! What a worker has before it is anything: ports, a name of its own, and perhaps a past.

use std::io;

use bireme_core::limits;
use bireme_core::protocol::PreviousLife;
use bireme_daemon::Listener;
use bireme_daemon::listen::ListenError;

use crate::blackbox::BlackBox;
use crate::bulk::Bulk;
use crate::config::Config;
use crate::identity;
use crate::inheritance::{Identity, Inheritance};
use crate::server::ServeError;

/// What a worker begins with.
#[derive(Debug)]
pub(crate) struct Birth {
    pub(crate) identity: Identity,
    pub(crate) previous: Option<PreviousLife>,
    pub(crate) black_box: BlackBox,
    /// The port for peers and clients.
    pub(crate) grpc: Listener,
    /// The port for people and Prometheus.
    pub(crate) http: Listener,
}

impl Birth {
    /// That of a worker without a supervisor. Its ports are open on the runtime of `bulk`.
    pub(crate) async fn alone(bulk: &Bulk, config: &Config) -> Result<Self, ServeError> {
        let uid = identity::uid(config.state_dir.as_deref())?;
        let identity = Identity { uid, life: identity::life()? };
        let (grpc, http) = (config.listen.clone(), config.http.clone());
        let open = async move {
            let grpc = Listener::bind(&grpc, limits::CONNECTIONS).await?;
            Ok::<_, ListenError>((grpc, Listener::bind(&http, limits::HTTP_CONNECTIONS).await?))
        };
        let (grpc, http) = bulk.run(open).await?;
        Ok(Self { identity, previous: None, black_box: BlackBox::none(), grpc, http })
    }

    /// That of a daemon. Its ports are open on the runtime of `bulk`.
    pub(crate) async fn of(bulk: &Bulk, inheritance: Inheritance) -> io::Result<Self> {
        let Inheritance { identity, pool_dir: _, previous, grpc, http, black_box } = inheritance;
        let black_box = BlackBox::open(black_box)?;
        let adopt = async move {
            let grpc = Listener::inherit(grpc, limits::CONNECTIONS)?;
            Ok::<_, io::Error>((grpc, Listener::inherit(http, limits::HTTP_CONNECTIONS)?))
        };
        let (grpc, http) = bulk.run(adopt).await?;
        Ok(Self { identity, previous, black_box, grpc, http })
    }
}

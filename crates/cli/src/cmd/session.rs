//! `bireme session`, and how other commands get into a session and out of it.

mod attach;

use bireme_client::{Client, ConnectError, ConnectOptions, SessionStatus};
use bireme_core::Reason;
use serde_json::json;

use super::{admin, connect_options, counts_json, counts_text};
use crate::args::{Global, OfSession, Session};
use crate::exit::{Exit, Failure};
use crate::output::{self, Table};

pub(super) async fn run(global: &Global, command: Session) -> Result<Exit, Failure> {
    match command {
        Session::List => list(global).await,
        Session::Attach(args) => attach::run(global, args).await,
        Session::Close { name } => close(global, &name).await,
    }
}

/// The session that a command works in.
pub(super) struct Workplace {
    pub(super) client: Client,
    /// Its name, where it is to outlive the command.
    name: Option<String>,
}

impl Workplace {
    /// Comes back to the session that is named, or opens one.
    pub(super) async fn enter(global: &Global, session: OfSession) -> Result<Self, Failure> {
        let OfSession { name, ttl } = session;
        let options = connect_options(global);
        let Some(name) = name else { return Ok(Client::connect(options).await?.into()) };
        let options = ConnectOptions { name: name.clone(), ttl, ..options };
        let back = ConnectOptions { by_name: true, ..options.clone() };
        let client = match Client::connect(back).await {
            Err(error) if is_unknown(&error) => Client::connect(options).await?,
            known => known?,
        };
        Ok(Self { client, name: Some(name) })
    }

    /// What becomes of work that is interrupted.
    pub(super) fn if_interrupted(&self) -> String {
        match &self.name {
            None => "interrupted: the job is cancelled".to_owned(),
            Some(name) => format!(
                "interrupted: the job goes on; `bireme session attach {name}` waits for it, `bireme session close {name}` ends it"
            ),
        }
    }

    /// Leaves a session with a name behind; any other ends, and what still runs in it with it.
    pub(super) async fn leave(self) -> Result<(), Failure> {
        match self.name {
            None => self.client.close().await?,
            Some(_) => {
                self.client.detach().await?;
            }
        }
        Ok(())
    }
}

impl From<Client> for Workplace {
    /// A session that ends with the command.
    fn from(client: Client) -> Self {
        Self { client, name: None }
    }
}

/// Comes back to a session that must be there.
async fn come_back(global: &Global, name: &str) -> Result<Client, Failure> {
    let options = connect_options(global);
    let options = ConnectOptions { name: name.to_owned(), by_name: true, ..options };
    Client::connect(options).await.map_err(|error| match error {
        ConnectError::Refused { ref refused, .. } if is_unknown(&error) => Failure::bad_input(
            format!("{}: `bireme session list` lists those there are", refused.message),
        ),
        ConnectError::Refused { ref refused, .. }
            if refused.reason == Reason::SessionHeld.name() =>
        {
            Failure::bad_input(refused.message.clone())
        }
        error => error.into(),
    })
}

fn is_unknown(error: &ConnectError) -> bool {
    matches!(error, ConnectError::Refused { refused, .. } if refused.reason == Reason::SessionUnknown.name())
}

async fn list(global: &Global) -> Result<Exit, Failure> {
    let sessions = admin(global).await?.sessions().await?;
    let mut table = Table::new(&["SESSION", "NAME", "CLIENT", "AGE", "TTL", "GRAPHS", "TASKS"]);
    for status in &sessions {
        let client = if status.connected { status.peer.as_str() } else { "left" };
        table.row([
            status.session.to_string(),
            status.name.clone(),
            client.to_owned(),
            status.age.to_string(),
            status.ttl.to_string(),
            status.graphs.to_string(),
            counts_text(&status.tasks),
        ]);
    }
    let json = |status: &SessionStatus| {
        json!({
            "session": status.session.to_string(),
            "name": status.name,
            "connected": status.connected,
            "age_us": status.age.0,
            "idle_us": status.idle.0,
            "ttl_us": status.ttl.0,
            "graphs": status.graphs,
            "tasks": counts_json(&status.tasks),
        })
    };
    let list: Vec<_> = sessions.iter().map(json).collect();
    output::show(global.output, &list.into(), &table)?;
    Ok(Exit::Done)
}

async fn close(global: &Global, name: &str) -> Result<Exit, Failure> {
    let client = come_back(global, name).await?;
    let session = client.session();
    client.close().await?;
    let mut table = Table::new(&[]);
    table.row([format!("session {session} is closed")]);
    output::show(global.output, &json!({ "session": session.to_string() }), &table)?;
    Ok(Exit::Done)
}

//! How sessions come, stay away, come back and end.
//!
//! Whoever knows a session's token is the session. One that no client has can also be taken over by its name: by whoever
//! shows the bearer token with which it was opened, and gives it a new token with that.

use bireme_core::id::{SessionId, SessionToken};
use bireme_core::reason::{Reason, Refusal};
use bireme_core::session::{Known, Open, Opened, Owner};
use bireme_core::{Span, limits};

use super::number::{GraphNo, TaskRef};
use super::session::{News, Session};
use super::task::{Phase, flag};
use super::{ConnId, Effect, Machine, Timer};

impl Machine {
    pub(super) fn on_session_opened(
        &mut self,
        conn: Option<ConnId>,
        open: Open,
        effects: &mut Vec<Effect>,
    ) {
        let known = match self.resumed_by(&open) {
            Ok(known) => known,
            Err(refusal) => {
                effects.extend(conn.map(|conn| Effect::Disconnect { conn, refusal }));
                return;
            }
        };
        let id = known.unwrap_or_else(|| self.new_session(open.token));
        if known.is_none() {
            self.nest(id, open.parent);
        }
        if open.by_name {
            self.hand_over(id, open.token);
        }
        let last_value = self.last_value(id);
        let Some(session) = self.sessions.get_mut(&id) else { return };
        // Whoever comes back keeps what he does not say anew.
        if known.is_none() || !open.name.is_empty() {
            session.name = open.name;
        }
        session.weight_percent = open.weight_percent.max(1);
        if let Some(ttl) = open.ttl.or(known.is_none().then_some(limits::SESSION_TTL)) {
            session.ttl = ttl.min(limits::SESSION_TTL_MAX);
        }
        if known.is_none() {
            session.owner = open.owner;
        }
        session.left = self.now;
        let opened = Opened {
            session: id,
            resumed: known.is_some(),
            ttl: session.ttl,
            last_graph: session.last_graph,
            last_value,
        };
        if let Some(conn) = conn {
            if let Some(old) = session.conn.replace(conn) {
                let refusal = Refusal::new(Reason::Superseded, "the session has connected anew");
                effects.push(Effect::Disconnect { conn: old, refusal });
            }
            session.outbox.open();
            session.answers = 0;
        } else {
            self.timers.insert((self.now + opened.ttl, Timer::Session(id)));
        }
        effects.push(Effect::SessionOpened { conn, opened });
        if conn.is_some() {
            self.tell_everything(id, &open.known);
        }
    }

    /// Which session a client comes back to; `None` is a new one.
    pub fn resumed_by(&self, open: &Open) -> Result<Option<SessionId>, Refusal> {
        match self.tokens.get(&open.token) {
            Some(known) => Ok(Some(*known)),
            None if open.by_name => self.session_named(&open.name, open.owner).map(Some),
            None if self.sessions.len() >= limits::SESSIONS => {
                let message = format!("there are {} sessions, the limit", self.sessions.len());
                Err(Refusal::new(Reason::Busy, message))
            }
            None => self.depth_below(open.parent).map(|_| None),
        }
    }

    /// The one session of a name that `owner` may take over and no client has.
    fn session_named(&self, name: &str, owner: Owner) -> Result<SessionId, Refusal> {
        let is_open = |session: &&Session| self.tokens.get(&session.token) == Some(&session.id);
        let of_name = self.sessions.values().filter(|session| session.name == name);
        let own: Vec<&Session> =
            of_name.filter(is_open).filter(|session| session.owner.admits(owner)).collect();
        let left: Vec<_> = own.iter().filter(|session| session.conn.is_none()).collect();
        match (left.as_slice(), own.as_slice()) {
            ([session], _) => Ok(session.id),
            ([], [held, ..]) => {
                let message =
                    format!("session {} named {name:?} has a client: end that", held.id.0);
                Err(Refusal::at(Reason::SessionHeld, "open.name", message))
            }
            ([], []) => {
                let message =
                    format!("no session of this token is named {name:?}, or its time ran out");
                Err(Refusal::at(Reason::SessionUnknown, "open.name", message))
            }
            (several, _) => {
                let count = several.len();
                let message = format!("{count} sessions are named {name:?}: come back by ticket");
                Err(Refusal::at(Reason::SessionHeld, "open.name", message))
            }
        }
    }

    fn new_session(&mut self, token: SessionToken) -> SessionId {
        let id = SessionId(self.next_session);
        self.next_session += 1;
        self.tokens.insert(token, id);
        self.sessions.insert(id, Session::new(id, token, self.now));
        id
    }

    /// Whoever shows `token` is the session from here on, and nobody else.
    fn hand_over(&mut self, id: SessionId, token: SessionToken) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let before = std::mem::replace(&mut session.token, token);
        self.forget_token(id, before);
        self.tokens.insert(token, id);
    }

    /// Marks everything a client that has just connected does not know.
    fn tell_everything(&mut self, id: SessionId, known: &[Known]) {
        let workers: Vec<_> = self.workers.keys().collect();
        for worker in workers {
            self.tell_session(id, News::Worker(worker));
        }
        let graphs: Vec<GraphNo> = self
            .sessions
            .get(&id)
            .map(|session| session.graphs.iter().copied().collect())
            .unwrap_or_default();
        for no in graphs {
            let graph = self.graph_mut(no);
            graph.notice = true;
            let seen = known
                .iter()
                .find(|known| known.graph == graph.id)
                .map_or(&[][..], |known| &known.seen);
            let has_seen = |index: u32| {
                seen.iter().any(|range| range.first <= index && index - range.first < range.count)
            };
            // What it saw finish may have failed since: an output was lost and could not be made again.
            let is_news = |index: u32| {
                let phase = graph.task(index).phase;
                phase.is_final() && (phase != Phase::Finished || !has_seen(index))
            };
            let ended: Vec<u32> = (0..graph.len()).filter(|index| is_news(*index)).collect();
            for index in 0..graph.len() {
                if graph.task(index).has(flag::NOTICE) {
                    graph.task_mut(index).clear(flag::NOTICE);
                }
            }
            self.tell_session(id, News::Graph(no));
            for index in ended {
                self.note_end(TaskRef { graph: no, index });
            }
        }
    }

    pub(super) fn on_session_disconnected(&mut self, conn: ConnId, id: SessionId) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        if session.conn != Some(conn) {
            return; // A newer stream has taken its place.
        }
        session.conn = None;
        session.left = self.now;
        session.outbox.close();
        let due = self.now + session.ttl;
        for no in session.graphs.clone() {
            self.graph_mut(no).notice = false;
        }
        self.timers.insert((due, Timer::Session(id)));
    }

    pub(super) fn on_session_timer(&mut self, id: SessionId, effects: &mut Vec<Effect>) {
        let Some(session) = self.sessions.get(&id) else { return };
        if session.conn.is_some() {
            return;
        }
        let due = session.left + session.ttl;
        let detached = session.graphs.iter().any(|no| self.graph(*no).options.detached);
        if due > self.now {
            self.timers.insert((due, Timer::Session(id)));
        } else if detached {
            self.drop_attached(id);
            self.timers.insert((self.now + limits::SESSION_TTL_MAX, Timer::Session(id)));
        } else {
            self.end_session(id, effects);
        }
    }

    /// Drops the graphs of a session that do not outlive it.
    pub(super) fn drop_attached(&mut self, id: SessionId) {
        let graphs =
            self.sessions.get(&id).map(|session| session.graphs.clone()).unwrap_or_default();
        for no in graphs {
            if !self.graph(no).options.detached {
                self.drop_graph(no);
            }
        }
        self.end_actors_of(id);
    }

    /// Ends a session that asked for it, unless a graph of it lives on. One with a stream ends with that, once the answer is
    /// read; nobody can come back to it.
    pub(super) fn close_session(&mut self, id: SessionId, effects: &mut Vec<Effect>) {
        let Some(session) = self.sessions.get_mut(&id).filter(|session| session.graphs.is_empty())
        else {
            return;
        };
        if session.conn.is_none() {
            return self.end_session(id, effects);
        }
        session.ttl = Span::ZERO;
        let token = session.token;
        self.forget_token(id, token);
    }

    /// Lets nobody come back to a session by its token, which by now may be another's.
    fn forget_token(&mut self, id: SessionId, token: SessionToken) {
        if self.tokens.get(&token) == Some(&id) {
            self.tokens.remove(&token);
        }
    }

    pub(super) fn end_session(&mut self, id: SessionId, effects: &mut Vec<Effect>) {
        let graphs =
            self.sessions.get(&id).map(|session| session.graphs.clone()).unwrap_or_default();
        for no in graphs {
            self.drop_graph(no);
        }
        self.end_actors_of(id);
        self.drop_values(id);
        self.forsake(id);
        if let Some(session) = self.sessions.remove(&id) {
            self.forget_token(id, session.token);
        }
        effects.push(Effect::SessionGone(id));
    }
}

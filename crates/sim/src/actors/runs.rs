//! Calls in the actor's process: they begin, do what their method says, and end.

use bireme_core::Value;
use bireme_core::actor::call::{CallId, ReplyKind};
use bireme_core::actor::caller;
use bireme_core::actor::host::{Run, RunEnd, RunNo};
use bireme_core::actor::probe::Probe;
use bireme_core::error::{ErrorClass, TaskError};

use super::daemon::Awaited;
use super::process::Running;
use super::{Item, World};
use bireme_core::Span;

/// What a message from a process takes: as long for each, so that they stay in order.
const PIPE: Span = Span(60);

impl World {
    /// Begins what may begin in a worker's process.
    pub(super) fn pump(&mut self, worker: usize) -> Result<(), String> {
        let spec = self.plan.spec.clone();
        let concurrency = |lane: u32| {
            let lane = usize::try_from(lane).ok().and_then(|lane| spec.lanes.get(lane));
            lane.map_or(1, |lane| lane.concurrency)
        };
        loop {
            let hosting = self.daemons.get_mut(worker).and_then(|it| it.hosting.as_mut());
            let Some(process) = hosting.and_then(|hosting| hosting.process.as_mut()) else {
                return Ok(());
            };
            let number = process.number;
            let Some(run) = process.next(concurrency) else { return Ok(()) };
            self.begin(worker, number, run)?;
        }
    }

    fn begin(&mut self, worker: usize, number: u64, run: Run) -> Result<(), String> {
        let (id, method) = (run.id, run.call.method.clone());
        let poison_after = self.plan.spec.restart.poison_after.max(1);
        let hosting = self.daemons.get(worker).and_then(|it| it.hosting.as_ref());
        let life = hosting.map(|hosting| hosting.incarnation).filter(|_| !self.plan.stops());
        self.ledger.begun(&run, life)?;
        let lies = run.replay && self.lies(id);
        let chance = if method == "odd" || lies { self.rng.bits() } else { 0 };
        let took =
            if method == "slow" { self.rng.span(5_000, 90_000) } else { self.rng.span(20, 2_500) };
        let life = self.life(worker);
        let hosting = self.daemons.get_mut(worker).and_then(|it| it.hosting.as_mut());
        let Some(process) = hosting.and_then(|it| it.process.as_mut()) else { return Ok(()) };
        if process.order.contains(&id) && !self.ledger.may_repeat(id) {
            return Err(format!("{} begins twice in one incarnation", Self::name(id)));
        }
        process.order.push(id);
        let reply = match method.as_str() {
            "peek" | "missing" | "badargs" => (process.state.applied.len(), process.state.hash),
            _ => process.state.apply(id, chance),
        };
        process.exiting |= method == "exit";
        let (chain, no, streams) =
            (run.call.chain.clone(), run.run, run.call.reply == ReplyKind::Stream);
        let credit = u64::from(run.credit);
        let waits = method == "nest";
        let running = Running { run, reply, stopped: false, items: 0, credit, waits };
        process.running.insert(no, running);
        if method == "bomb" {
            let marked = self.rng.chance(70);
            self.kill_process(worker, marked);
            let most = u64::from(poison_after) + self.plan.trouble;
            return self.ledger.killed(id, most);
        }
        if waits {
            return self.call_inside((worker, number, no), id, &chain);
        }
        let what = if streams {
            Awaited::Item { process: number, run: no }
        } else {
            Awaited::Done { process: number, run: no }
        };
        self.agenda.after(took, Item::Daemon { worker, life, what });
        Ok(())
    }

    /// Whether a call that is played again does otherwise than it did. It is found out more often where somebody waits to hear
    /// of it.
    fn lies(&mut self, id: CallId) -> bool {
        let percent = match self.plan.lies {
            None => 0,
            Some(_) if self.ledger.is_awaited(id) => 50,
            Some(often) => often,
        };
        self.rng.chance(percent)
    }

    /// A call that runs is waited for: if it waits for one of its own, that one's host is told.
    pub(super) fn pass_on(
        &mut self,
        worker: usize,
        run: RunNo,
        probe: Probe,
    ) -> Result<(), String> {
        let hosting = self.daemons.get(worker).and_then(|it| it.hosting.as_ref());
        let Some(process) = hosting.and_then(|it| it.process.as_ref()) else { return Ok(()) };
        let place = (worker, process.number, run);
        if !process.running.get(&run).is_some_and(|running| running.waits) {
            return Ok(());
        }
        let Some(user) = self.users.iter().position(|user| user.inside == Some(place)) else {
            return Ok(());
        };
        let probe = Box::new(probe.in_wait(1));
        self.drive_user(user, caller::Event::Probed { seq: 1, probe })
    }

    /// A call is given back that has not begun.
    #[expect(clippy::unnecessary_wraps, reason = "as all that happens in the world")]
    pub(super) fn take_back(&mut self, worker: usize, run: RunNo) -> Result<(), String> {
        let life = self.life(worker);
        let hosting = self.daemons.get_mut(worker).and_then(|it| it.hosting.as_mut());
        let Some(process) = hosting.and_then(|it| it.process.as_mut()) else { return Ok(()) };
        let number = process.number;
        if process.unqueue(run) {
            let what = Awaited::TakenBack { process: number, run };
            self.agenda.after(PIPE, Item::Daemon { worker, life, what });
        }
        Ok(())
    }

    /// A call that waited for one of its own goes on.
    #[expect(clippy::unnecessary_wraps, reason = "as all that happens in the world")]
    pub(super) fn on_waited(
        &mut self,
        worker: usize,
        process: u64,
        run: RunNo,
    ) -> Result<(), String> {
        let life = self.life(worker);
        let hosting = self.daemons.get_mut(worker).and_then(|it| it.hosting.as_mut());
        let it = hosting.and_then(|hosting| hosting.process.as_mut());
        if let Some(it) = it.filter(|it| it.number == process)
            && let Some(running) = it.running.get_mut(&run)
        {
            running.waits = false;
            let what = Awaited::Done { process, run };
            self.agenda.after(PIPE, Item::Daemon { worker, life, what });
        }
        Ok(())
    }

    #[expect(clippy::unnecessary_wraps, reason = "as all that happens in the world")]
    pub(super) fn on_item_time(
        &mut self,
        worker: usize,
        process: u64,
        run: RunNo,
    ) -> Result<(), String> {
        let pause = self.rng.span(10, 400);
        let life = self.life(worker);
        let hosting = self.daemons.get_mut(worker).and_then(|it| it.hosting.as_mut());
        let it = hosting.and_then(|hosting| hosting.process.as_mut());
        let Some(it) = it.filter(|it| it.number == process && it.alive) else { return Ok(()) };
        let Some(running) = it.running.get_mut(&run) else { return Ok(()) };
        if running.items == items(&running.run) {
            let what = Awaited::Done { process, run };
            self.agenda.after(pause, Item::Daemon { worker, life, what });
        } else if running.items < running.credit {
            running.items += 1;
            let what = Awaited::ItemHeard { process, run, n: running.items };
            self.agenda.after(PIPE, Item::Daemon { worker, life, what });
            let what = Awaited::Item { process, run };
            self.agenda.after(pause, Item::Daemon { worker, life, what });
        }
        Ok(())
    }

    /// A call comes to its end in the process.
    pub(super) fn on_done(
        &mut self,
        worker: usize,
        process: u64,
        run: RunNo,
    ) -> Result<(), String> {
        let life = self.life(worker);
        let hosting = self.daemons.get_mut(worker).and_then(|it| it.hosting.as_mut());
        let it = hosting.and_then(|hosting| hosting.process.as_mut());
        let Some(it) = it.filter(|it| it.number == process && it.alive) else { return Ok(()) };
        if it.running.get(&run).is_none_or(|running| running.waits && !running.stopped) {
            return Ok(());
        }
        let Some(running) = it.running.remove(&run) else { return Ok(()) };
        // Those that wait for calls of their own would wait for ever: nothing begins any more.
        let exits = it.exiting && it.running.values().all(|running| running.waits);
        let what = Awaited::Ended { process, run, end: Box::new(end(&running)) };
        self.agenda.after(PIPE, Item::Daemon { worker, life, what });
        if exits {
            self.agenda
                .after(PIPE, Item::Daemon { worker, life, what: Awaited::Exited { process } });
        }
        self.pump(worker)
    }
}

/// How many items a streaming call gives: as many each time.
fn items(run: &Run) -> u64 {
    match run.id.seq % 4 {
        0 => 100,
        few => few,
    }
}

fn end(running: &Running) -> RunEnd {
    let error = |reason: &str| {
        Box::new(TaskError::new(ErrorClass::User, reason, format!("{:?}", running.reply)))
    };
    if running.stopped {
        return RunEnd::Cancelled;
    }
    match (running.run.call.method.as_str(), running.run.call.reply) {
        ("missing", _) => RunEnd::NoSuchMethod { methods: vec!["add".to_owned()] },
        ("badargs", _) => RunEnd::UnserializableArgs(error("DESERIALIZE")),
        ("badresult", _) => RunEnd::UnserializableResult(error("SERIALIZE")),
        ("fail", _) => RunEnd::UserError(error("USER_ERROR")),
        (_, ReplyKind::Stream) => RunEnd::Done { items: running.items },
        (_, ReplyKind::Store) => {
            let object = bireme_core::object::ObjectId::Held {
                holder: bireme_core::id::HolderId(9),
                n: running.run.id.seq,
            };
            RunEnd::Stored { object, size: running.reply.0 as u64 }
        }
        _ => {
            let (length, hash) = running.reply;
            RunEnd::Value(Box::new(Value::text(format!("{length} {hash}"))))
        }
    }
}

//! The bugs.

/// What is simulated.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Load {
    /// Callers and hosts of actors.
    Actors,
    /// Scheduler, workers and clients.
    Cluster,
    /// Copies of an actor's log at other workers.
    Copies,
}

/// A bug: what is replaced by what.
pub(super) struct Mutant {
    pub(super) name: &'static str,
    /// What goes wrong.
    pub(super) about: &'static str,
    /// From the root of the workspace.
    pub(super) file: &'static str,
    /// Occurs in the file exactly once. Lines are compared without what they are indented by.
    find: &'static str,
    replace: &'static str,
}

impl Mutant {
    /// Which simulation is to find it.
    pub(super) fn load(&self) -> Load {
        match self.file {
            "crates/core/src/actor/copies.rs" => Load::Copies,
            file if file.starts_with("crates/scheduler/src/machine/actor/") => Load::Copies,
            file if file.starts_with("crates/core/src/actor/") => Load::Actors,
            _ => Load::Cluster,
        }
    }

    /// The text of the file with the bug in it, or why it cannot be put there.
    pub(super) fn plant(&self, text: &str) -> Result<String, String> {
        let wanted: Vec<&str> = self.find.lines().map(str::trim).collect();
        let lines: Vec<&str> = text.lines().collect();
        let is_there = |at: &usize| {
            let found = lines.get(*at..at + wanted.len());
            found.is_some_and(|found| {
                found.iter().map(|line| line.trim()).eq(wanted.iter().copied())
            })
        };
        let places: Vec<usize> = (0..lines.len()).filter(is_there).collect();
        let [place] = places.as_slice() else {
            return Err(format!("{:?} occurs {} times, not once", self.find, places.len()));
        };
        let (before, rest) = lines.split_at(*place);
        let (_, after) = rest.split_at(wanted.len());
        Ok([before, &[self.replace], after].concat().join("\n") + "\n")
    }
}

/// All of them; those of one crate lie together, so that cargo builds less.
pub(super) const ALL: &[Mutant] = &[
    Mutant {
        name: "attempt-check-dropped",
        about: "the end of an earlier attempt of a task is taken for that of the present one",
        file: "crates/scheduler/src/machine/ended.rs",
        find: "&& record.attempt == attempt.no.n",
        replace: "",
    },
    Mutant {
        name: "epoch-not-checked",
        about: "an attempt that an earlier life of the scheduler has sent is taken for one of this life",
        file: "crates/scheduler/src/machine/ended.rs",
        find: "&& attempt.no.epoch == self.config.epoch;",
        replace: ";",
    },
    Mutant {
        name: "finish-applied-twice",
        about: "an attempt that has finished and is told so again finishes again",
        file: "crates/scheduler/src/machine/ended.rs",
        find: "let is_current = record.phase.is_sent()",
        replace: "let is_current = (record.phase.is_sent() || record.phase == Phase::Finished)",
    },
    Mutant {
        name: "resource-freed-twice",
        about: "what a task took of its worker is given back twice",
        file: "crates/scheduler/src/machine/place.rs",
        find: "worker.free.give(need);",
        replace: "for _ in 0..2 { worker.free.give(need) }",
    },
    Mutant {
        name: "want-lost-on-reconnect",
        about: "a session that comes back is not told which tasks finished meanwhile",
        file: "crates/scheduler/src/machine/attach.rs",
        find: "phase.is_final() && (phase != Phase::Finished || !has_seen(index))",
        replace: "phase.is_final() && phase != Phase::Finished && !has_seen(index)",
    },
    Mutant {
        name: "unstarted-attempt-blamed",
        about: "a task whose code never ran is blamed for the death of its worker",
        file: "crates/scheduler/src/machine/lost.rs",
        find: "if !started {",
        replace: "if !started && !told {",
    },
    Mutant {
        name: "ahead-not-retracted",
        about: "a task that was sent ahead of its inputs stays when the attempt that makes them is taken back",
        file: "crates/scheduler/src/machine/spread.rs",
        find: "self.set_phase(task, Phase::Waiting);
            self.take_back_followers(task, worker);",
        replace: "self.set_phase(task, Phase::Waiting);",
    },
    Mutant {
        name: "cancel-stops-at-the-first-level",
        about: "tasks that need a cancelled one are not cancelled",
        file: "crates/scheduler/src/machine/spread.rs",
        find: "open.extend(self.dependents_of(task));",
        replace: "",
    },
    Mutant {
        name: "failure-stops-at-the-first-level",
        about: "tasks that need a failed one do not fail",
        file: "crates/scheduler/src/machine/spread.rs",
        find: "open.extend(self.dependents_of(task).into_iter().map(|task| (task, Failure::Of(root))));",
        replace: "",
    },
    Mutant {
        name: "failure-stays-in-its-graph",
        about: "tasks of other graphs that take an output of a failed task wait for ever",
        file: "crates/scheduler/src/machine/spread.rs",
        find: "takers.extend(self.takers_of(task).into_iter().map(|taker| (taker, task)));",
        replace: "",
    },
    Mutant {
        name: "retry-without-back-off",
        about: "a failed task is tried again at once",
        file: "crates/scheduler/src/machine/ended.rs",
        find: "if pause == Span::ZERO {",
        replace: "if pause < Span::secs(60) {",
    },
    Mutant {
        name: "end-never-settled",
        about: "a worker is not told that the failure of an attempt is known",
        file: "crates/scheduler/src/machine/ended.rs",
        find: "self.settle_attempt(worker, attempt);
            if timing.run > Span::ZERO",
        replace: "if timing.run > Span::ZERO",
    },
    Mutant {
        name: "released-object-kept",
        about: "workers are not told to drop what nobody needs",
        file: "crates/scheduler/src/machine/outputs.rs",
        find: "self.errand(holder, Errand::Release(object.id()));",
        replace: "",
    },
    Mutant {
        name: "last-replica-believed-alive",
        about: "a value whose last holder has gone is not made again",
        file: "crates/scheduler/src/machine/inputs.rs",
        find: "let Some(object) = self.objects.get(no) else { return };
            if object.is_stored() {",
        replace: "let Some(object) = self.objects.get(no) else { return };
            if object.is_stored() || object.size > 0 {",
    },
    Mutant {
        name: "takers-forgotten-on-revival",
        about: "tasks of other graphs do not wait for an input that is made again",
        file: "crates/scheduler/src/machine/inputs.rs",
        find: "for dependent in self.dependents_of(task).into_iter().chain(self.takers_of(task)) {",
        replace: "for dependent in self.dependents_of(task) {",
    },
    Mutant {
        name: "missing-input-ignored",
        about: "a worker that cannot get an input is not told of another holder",
        file: "crates/scheduler/src/machine/inputs.rs",
        find: "if stored {\n            self.errand(worker, Errand::Place(id));",
        replace: "if stored {",
    },
    Mutant {
        name: "announcement-ignored",
        about: "what a worker says it holds is not compared with what is believed",
        file: "crates/scheduler/src/machine/announced.rs",
        find: "self.reconcile(id, *announced);",
        replace: "drop(announced);",
    },
    Mutant {
        name: "order-lost-with-the-stream",
        about: "an attempt that was on its way when the stream broke is not sent again",
        file: "crates/scheduler/src/machine/announced.rs",
        find: "if lost {",
        replace: "if lost && self.workers.is_empty() {",
    },
    Mutant {
        name: "unheard-finish-forgotten",
        about: "an attempt that finished while its worker was away is run again",
        file: "crates/scheduler/src/machine/announced.rs",
        find: "self.finish_unheard(id, &objects, &attempts);",
        replace: "",
    },
    Mutant {
        name: "repeat-unanswered",
        about: "a command that comes a second time is not answered",
        file: "crates/scheduler/src/machine/client.rs",
        find: "let outcome = before.unwrap_or_else(|| carry_out(self));",
        replace: "if before.is_some() { return; }
            let outcome = before.unwrap_or_else(|| carry_out(self));",
    },
    Mutant {
        name: "repeat-carried-out",
        about: "a command that comes a second time is carried out again",
        file: "crates/scheduler/src/machine/client.rs",
        find: "let outcome = before.unwrap_or_else(|| carry_out(self));",
        replace: "let outcome = carry_out(self);",
    },
    Mutant {
        name: "suspect-not-alone",
        about: "a task that may have killed its worker runs beside others",
        file: "crates/scheduler/src/machine/suspects.rs",
        find: "Some(worker) if self.workers.get(worker).is_some_and(|w| w.sent.is_empty()) => {",
        replace: "Some(worker) => {",
    },
    Mutant {
        name: "last-small-value-dropped",
        about: "the scheduler drops a small value that no worker has",
        file: "crates/scheduler/src/machine/cache.rs",
        find: "} else if object.used || object.holders().is_empty() {",
        replace: "} else if object.used {",
    },
    Mutant {
        name: "beyond-what-is-free",
        about: "a worker is given more than it has room for",
        file: "crates/scheduler/src/machine/worker.rs",
        find: "&& self.free.fits(&class.resources)",
        replace: "",
    },
    Mutant {
        name: "prefill-beyond-its-bound",
        about: "a worker is sent any number of tasks to wait there",
        file: "crates/scheduler/src/machine/worker.rs",
        find: "self.prefilled < self.prefill_max()",
        replace: "self.prefilled < u32::MAX",
    },
    Mutant {
        name: "lane-starves",
        about: "the session that came first goes before all others",
        file: "crates/scheduler/src/machine/queue.rs",
        find: "_ => *record.lanes.keys().min_by_key(|session| self.turn_of(**session))?,",
        replace: "_ => *record.lanes.keys().min_by_key(|session| (**session, self.turn_of(**session)))?,",
    },
    Mutant {
        name: "done-before-its-ends",
        about: "a session that reads late hears that a graph is done before it hears of every end",
        file: "crates/scheduler/src/machine/tell.rs",
        find: "News::Graph(no) if self.has_untold_ends(session, no) => {",
        replace: "News::Graph(no) if used > usize::MAX / 2 && self.has_untold_ends(session, no) => {",
    },
    Mutant {
        name: "index-handed-out-twice",
        about: "a numbered piece goes to a second attempt while a first one has it",
        file: "crates/worker/src/machine/pool/numbered.rs",
        find: "taken.push(Piece { number, units: std::mem::take(free) });",
        replace: "taken.push(Piece { number, units: *free });",
    },
    Mutant {
        name: "share-of-a-piece-handed-out-twice",
        about: "a share of a numbered piece is not taken off it",
        file: "crates/worker/src/machine/pool/numbered.rs",
        find: "*free -= share;",
        replace: "",
    },
    Mutant {
        name: "pinned-object-evicted",
        about: "a value is dropped although an attempt here needs it",
        file: "crates/worker/src/machine/objects.rs",
        find: "return stored.users == 0;",
        replace: "return true;",
    },
    Mutant {
        name: "timeout-ignored",
        about: "an attempt that is over its time is left alone",
        file: "crates/worker/src/machine/ends.rs",
        find: "if self.attempts.at(slot).fate < Fate::TimeOut {",
        replace: "if self.attempts.at(slot).fate > Fate::TimeOut {",
    },
    Mutant {
        name: "starts-while-paused",
        about: "attempts start although memory is short",
        file: "crates/worker/src/machine/schedule.rs",
        find: "if self.paused {",
        replace: "if self.paused && self.attempts.is_empty() {",
    },
    Mutant {
        name: "missing-input-untold",
        about: "the scheduler is not told of an input that nobody could give",
        file: "crates/worker/src/machine/inputs.rs",
        find: "if self.objects.fetch_failed(object, asked, effects) {",
        replace: "if self.objects.fetch_failed(object, asked, effects) && self.paused {",
    },
    Mutant {
        name: "call-said-again-runs-again",
        about: "a host does not know the numbers of calls whose replies it keeps",
        file: "crates/core/src/actor/host/callers.rs",
        find: "seq <= self.processed_up_to || self.slots.contains(seq)",
        replace: "seq <= self.processed_up_to || matches!(self.slots.get(seq), Some(Slot::Live(_)))",
    },
    Mutant {
        name: "unknown-call-sent-again",
        about: "a caller sends a call again that an incarnation may have run whose memory is lost",
        file: "crates/core/src/actor/caller/link.rs",
        find: "Delivery::AtMostOnce => opened.forgotten || said_to < opened.remembers_from,",
        replace: "Delivery::AtMostOnce => false,",
    },
    Mutant {
        name: "reply-before-durable",
        about: "a reply is said before the log that it rests on is written",
        file: "crates/core/src/actor/host/runs.rs",
        find: "Rests::Record(self.append(Record::Ended { lsn, digest }, effects))",
        replace: "self.append(Record::Ended { lsn, digest }, effects);
            Rests::Nothing",
    },
    Mutant {
        name: "replay-not-kept-apart",
        about: "calls of the log run again beside those that wait",
        file: "crates/core/src/actor/host.rs",
        find: "let serves = matches!(self.phase, Phase::Serving) && self.moving.is_none();",
        replace: "let serves = matches!(self.phase, Phase::Serving | Phase::Replaying) && self.moving.is_none();",
    },
    Mutant {
        name: "begun-call-taken-for-unbegun",
        about: "a call that was running when the process died is given again",
        file: "crates/core/src/actor/host/crash.rs",
        find: "Some(reached) if run > reached.started => Self::Unbegun,",
        replace: "Some(reached) if run >= reached.started => Self::Unbegun,",
    },
    Mutant {
        name: "not-fenced",
        about: "a host goes on although its lease is over",
        file: "crates/core/src/actor/host/rest.rs",
        find: "self.fenced = true;",
        replace: "",
    },
    Mutant {
        name: "poison-not-set-aside",
        about: "a call that kills the process runs again for ever",
        file: "crates/core/src/actor/host/log.rs",
        find: "if replay.poisoned || (crashed && replay.expected.is_none()) {",
        replace: "if replay.poisoned {",
    },
    Mutant {
        name: "taint-forgotten",
        about: "replies after a call that is not played again are said before the state is kept",
        file: "crates/core/src/actor/host/runs.rs",
        find: "let Some(digest) = digest.filter(|_| !self.keeper.tainted) else {",
        replace: "let Some(digest) = digest.filter(|_| live.journal == Journal::Call) else {",
    },
    Mutant {
        name: "answers-unheard",
        about: "an incarnation answers before the scheduler has heard of it",
        file: "crates/core/src/actor/copies.rs",
        find: "if self.unheard {",
        replace: "if false {",
    },
    Mutant {
        name: "later-copy-not-waited-for",
        about: "only copies that were there from the beginning are waited for",
        file: "crates/core/src/actor/copies.rs",
        find: "self.is_first || self.is_whole",
        replace: "self.is_first",
    },
    Mutant {
        name: "in-step-while-behind",
        about: "a copy is told as in step that has less than was answered",
        file: "crates/core/src/actor/copies.rs",
        find: "let has_all = member.is_whole && member.lsn >= self.committed;",
        replace: "let has_all = member.is_whole;",
    },
    Mutant {
        name: "lost-copy-stays-in-step",
        about: "a copy is left out and counts as in step all the same",
        file: "crates/scheduler/src/machine/actor/copies.rs",
        find: "let struck_off = self.in_step.extract_if(.., |uid| !stays(uid));",
        replace: "let struck_off = self.in_step.iter().copied().filter(|uid| !stays(uid));",
    },
    Mutant {
        name: "machine-started-anew-believed",
        about: "what a machine may have forgotten since counts as all that there is",
        file: "crates/scheduler/src/machine/actor/copies.rs",
        find: "actor.spec.durability == Durability::Disk || *machine == worker.join.machine",
        replace: "true",
    },
    Mutant {
        name: "unheard-not-undone",
        about: "what was in step before an incarnation that nobody has heard of is forgotten with it",
        file: "crates/scheduler/src/machine/actor/copies/in_step.rs",
        find: "actor.copies.in_step.extend(before);",
        replace: "drop(before);",
    },
];

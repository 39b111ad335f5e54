//! Every invariant, recounted from scratch.

use std::collections::{BTreeMap, BTreeSet};

use bireme_core::{ObjectId, limits};

use super::attempts::{Attempt, Cpus, Fate, Recall, Slot, State};
use super::gathering::{Gatherer, Waiter};
use super::{Machine, actors};

/// Fails with the condition, or with what is said about it, unless it holds.
macro_rules! ensure {
    ($holds:expr, $($about:tt)+) => {
        if !$holds {
            return Err(format!($($about)+));
        }
    };
}

impl Machine {
    /// Recounts everything that is kept in two places, and says what does not agree.
    pub fn check(&self) -> Result<(), String> {
        self.check_attempts()?;
        self.check_queues()?;
        self.check_actors()?;
        self.check_work()?;
        self.check_objects()?;
        self.check_fetches()
    }

    fn check_attempts(&self) -> Result<(), String> {
        let mut count = 0;
        for (slot, attempt) in self.attempts.iter() {
            count += 1;
            let id = attempt.id;
            let is_current = self.attempts.current(id.task) == Some(slot);
            let is_superseded = self.attempts.superseded(id.task) == Some(slot);
            ensure!(is_current != is_superseded, "{id} is not found exactly once");
            ensure!(
                is_superseded == (attempt.fate == Fate::Supersede),
                "{id} has fate {:?}",
                attempt.fate
            );
            let is_known_to_have_ended =
                self.ended.get(&id.task).and_then(super::Report::ended) == Some(id);
            ensure!(!is_known_to_have_ended, "{id} is here and has ended");
            let has_timer =
                attempt.deadline().is_some_and(|due| self.timers.contains(&(due, slot)));
            let needs_timer = attempt.deadline().is_some() && attempt.fate < Fate::TimeOut;
            ensure!(has_timer || !needs_timer, "{id} runs without a timer");
            match attempt.state {
                State::Ready => {
                    ensure!(attempt.fate == Fate::Run, "{id} is ready in spite of its fate");
                }
                State::Following(Recall::Asked) => {
                    ensure!(attempt.fate > Fate::Run, "{id} is asked back for no reason");
                }
                State::Following(Recall::No | Recall::Refused) | State::Running { .. } => {}
                State::Waiting { missing } => {
                    let found = self.missing(slot, attempt);
                    ensure!(
                        missing == found && found > 0,
                        "{id} waits for {missing}, {found} are missing"
                    );
                }
            }
        }
        ensure!(
            count == self.attempts.len(),
            "{count} attempts, {} are found",
            self.attempts.len()
        );
        let runs = |slot| matches!(self.attempts.at(slot).state, State::Running { .. });
        ensure!(
            self.timers.iter().all(|(_, slot)| runs(*slot)),
            "a timer is for nothing that runs"
        );
        Ok(())
    }

    /// Whether each actor that waits is in line once, with its values gathered, and the first has no room.
    fn check_actors(&self) -> Result<(), String> {
        let actors = &self.actors;
        for (actor, hosted) in &actors.hosted {
            let gathers = self.gatherings.get(&Gatherer::Actor(*actor));
            let places = actors.waiting.iter().filter(|waiting| *waiting == actor).count();
            let (is_gathered, expected) = match &hosted.state {
                actors::State::Gathering(_) => (gathers.is_some_and(|all| all.missing > 0), 0),
                actors::State::Waiting(_) => (gathers.is_some_and(|all| all.missing == 0), 1),
                actors::State::Hosted { held, .. } => {
                    let holds = self.pool.is_held_in_pieces(&hosted.need, held);
                    ensure!(holds, "{actor:?} needs {} and holds {held:?}", hosted.need);
                    (gathers.is_none(), 0)
                }
            };
            ensure!(is_gathered && places == expected, "{actor:?} is {:?}", hosted.state);
            let ended = actors.ended.get(actor).map(actors::ended_incarnation);
            ensure!(ended.is_none(), "{actor:?} is here and has ended");
        }
        ensure!(actors.settled.is_sound(), "{:?}", actors.settled);
        if let Some(first) = actors.waiting.front()
            && let Some(hosted) = actors.hosted.get(first)
        {
            ensure!(self.paused || !self.pool.fits(&hosted.need), "{first:?} could begin");
        }
        for (gatherer, gathering) in &self.gatherings {
            let lacks = |object: &&ObjectId| !self.objects.is_stored(**object);
            let missing = gathering.objects.iter().filter(lacks).count();
            ensure!(missing == gathering.missing, "{gatherer:?} lacks {missing}");
        }
        ensure!(self.gathered.is_empty(), "something complete is not handed over");
        Ok(())
    }

    /// How many things an attempt waits for.
    fn missing(&self, slot: Slot, attempt: &Attempt) -> usize {
        let inputs =
            attempt.inputs.iter().filter(|object| !self.objects.is_stored(**object)).count();
        let task = attempt.id.task;
        inputs + usize::from(self.attempts.superseded(task).is_some_and(|older| older != slot))
    }

    fn check_queues(&self) -> Result<(), String> {
        for (id, queue) in self.queues.iter() {
            let members = || self.attempts.iter().filter(|(_, attempt)| attempt.queue == id);
            let ready = members().filter(|(_, attempt)| matches!(attempt.state, State::Ready));
            let ready: BTreeMap<_, _> = ready.map(|(slot, attempt)| (attempt.turn, slot)).collect();
            let follows = |slot: &Slot| {
                let attempt = self.attempts.at(*slot);
                attempt.queue == id && matches!(attempt.state, State::Following(Recall::No))
            };
            let followers = members().filter(|(slot, _)| follows(slot)).count();
            ensure!(members().count() == queue.members, "{id:?} has {} members", members().count());
            ensure!(ready == queue.ready, "{id:?}: ready are {ready:?}, kept {:?}", queue.ready);
            ensure!(
                queue.followers.iter().all(follows) && queue.followers.len() == followers,
                "{id:?}: {followers} follow, kept {:?}",
                queue.followers
            );
            ensure!(followers <= self.followers, "{id:?}: {followers} follow");
            ensure!(followers == 0 || queue.can_follow(), "{id:?}: {followers} follow, none may");
            let running = members()
                .filter(|(_, attempt)| {
                    matches!(attempt.state, State::Running { cpus: Cpus::Held, .. })
                })
                .count();
            ensure!(running == queue.running, "{id:?}: {running} run, kept {}", queue.running);
        }
        Ok(())
    }

    fn check_work(&self) -> Result<(), String> {
        let held = self.attempts.iter().filter_map(|(_, attempt)| match &attempt.state {
            State::Running { held, .. } => Some(held),
            State::Following(_) | State::Ready | State::Waiting { .. } => None,
        });
        let held = held.chain(self.actors.held());
        ensure!(
            self.pool.balances(held),
            "free and held resources, or their pieces, are not all there are: {:?}",
            self.pool
        );
        self.check_pieces()?;
        self.check_rejoining()?;
        if !self.paused {
            ensure!(self.candidate().is_none(), "something could start: {:?}", self.candidate());
            let room = |queue: &super::queues::Queue| {
                self.rejoining.is_empty()
                    && self.pool.fits(&queue.need)
                    && !queue.followers.is_empty()
            };
            ensure!(!self.queues.iter().any(|(_, queue)| room(queue)), "a follower has room");
        }
        let followers = self.queues.iter().map(|(_, queue)| queue.followers.len()).sum::<usize>();
        ensure!(!self.paused || followers == 0, "{followers} may start in spite of the pause");
        if self.leaving.is_asked() {
            let may_start = |attempt: &Attempt| {
                matches!(
                    attempt.state,
                    State::Ready | State::Waiting { .. } | State::Following(Recall::No)
                )
            };
            ensure!(
                !self.attempts.iter().any(|(_, attempt)| may_start(attempt)),
                "a worker that leaves takes on work"
            );
        }
        ensure!(
            self.leaving.is_gone()
                || !self.leaving.is_asked()
                || !self.attempts.is_empty()
                || (self.leaving.waits()
                    && !(self.objects.stored.is_empty() && self.actors.is_empty())),
            "nothing keeps it here"
        );
        Ok(())
    }

    /// Whether each attempt holds the pieces that it was told of, and as much of them as it asked for.
    fn check_pieces(&self) -> Result<(), String> {
        for (_, attempt) in self.attempts.iter() {
            let State::Running { held, cpus, .. } = &attempt.state else { continue };
            let need = &self.holding(attempt.queue, *cpus);
            ensure!(
                self.pool.is_held_in_pieces(need, held),
                "{} needs {need} and holds {held:?}",
                attempt.id
            );
        }
        Ok(())
    }

    /// Whether those that want cpus again are just those that wait for them, and the first of them cannot have any.
    fn check_rejoining(&self) -> Result<(), String> {
        let wants = |attempt: &Attempt| {
            matches!(attempt.state, State::Running { cpus: Cpus::Wanted { .. }, .. })
        };
        let wanting = self.attempts.iter().filter(|(_, attempt)| wants(attempt)).count();
        ensure!(
            self.rejoining.len() == wanting
                && self.rejoining.iter().all(|slot| wants(self.attempts.at(*slot))),
            "{wanting} want their cpus again, kept {:?}",
            self.rejoining
        );
        if let Some(first) = self.rejoining.front() {
            let units = self.queues.at(self.attempts.at(*first).queue).need.cpu_units;
            ensure!(!self.pool.has_cpus(units), "the first that wants its cpus again has room");
        }
        let given = self.attempts.iter().filter(|(_, attempt)| {
            matches!(attempt.state, State::Running { cpus: Cpus::Given, .. })
        });
        let given: BTreeSet<_> = given.map(|(_, attempt)| attempt.turn).collect();
        ensure!(given == self.seceded, "{given:?} gave cpus back, kept {:?}", self.seceded);
        for (_, attempt) in self.attempts.iter() {
            let has_cpus =
                !matches!(attempt.state, State::Running { cpus, .. } if cpus != Cpus::Held);
            ensure!(has_cpus || attempt.has_seceded, "{} never gave its cpus back", attempt.id);
        }
        Ok(())
    }

    fn check_objects(&self) -> Result<(), String> {
        let mut pins: BTreeMap<ObjectId, Vec<Waiter>> = BTreeMap::new();
        let mut pin = |object: &ObjectId, waiter| pins.entry(*object).or_default().push(waiter);
        for (slot, attempt) in self.attempts.iter() {
            attempt.inputs.iter().for_each(|object| pin(object, Waiter::Attempt(slot)));
        }
        for (gatherer, gathering) in &self.gatherings {
            let waiter = Waiter::Gatherer(*gatherer);
            gathering.objects.iter().for_each(|object| pin(object, waiter));
        }
        for (object, stored) in &self.objects.stored {
            let users = pins.get(object).map_or(0, Vec::len);
            ensure!(stored.users == users, "{object} has {users} users, kept {}", stored.users);
            ensure!(
                !stored.released || users > 0 || self.objects.held_back.contains(object),
                "{object} is released and kept for nobody"
            );
            ensure!(!self.objects.sought.contains_key(object), "{object} is here and sought");
        }
        for (object, sought) in &self.objects.sought {
            let mut waiters = sought.waiters.clone();
            waiters.sort_unstable();
            let mut pinned = pins.get(object).cloned().unwrap_or_default();
            pinned.sort_unstable();
            ensure!(waiters == pinned, "{object}: {pinned:?} wait, kept {waiters:?}");
            ensure!(sought.replicate || !waiters.is_empty(), "{object} is sought for nobody");
        }
        for object in &self.objects.held_back {
            let stored = self.objects.stored.get(object);
            let is_wanted = stored.is_some_and(|stored| !stored.released || stored.users > 0);
            ensure!(!is_wanted, "{object} is wanted and held back");
            let maker = object
                .task()
                .and_then(|task| self.attempts.current(task).or(self.attempts.superseded(task)));
            let is_coming = maker.is_some() || self.objects.fetching.contains(object);
            ensure!(is_coming, "{object} is held back for nothing");
        }
        let known = |object: &ObjectId| {
            self.objects.is_stored(*object) || self.objects.sought.contains_key(object)
        };
        ensure!(pins.keys().all(known), "an input is neither here nor sought");
        let bytes: u64 = self.objects.stored.values().map(|stored| stored.size).sum();
        ensure!(bytes == self.objects.bytes, "{bytes} bytes stored, kept {}", self.objects.bytes);
        Ok(())
    }

    fn check_fetches(&self) -> Result<(), String> {
        let (queue, fetching) = (&self.objects.queue, &self.objects.fetching);
        let under_way = fetching.check()?;
        ensure!(under_way <= limits::FETCHING, "{under_way} fetches under way");
        ensure!(queue.is_empty() || !fetching.has_room(), "fetches wait for nothing");
        let told = self.objects.sought.values().filter(|sought| sought.is_queued).count();
        ensure!(told == queue.len(), "{told} objects wait to be fetched, {} in turn", queue.len());
        for (at, object) in queue.iter().enumerate() {
            let sought = self.objects.sought.get(object);
            ensure!(
                sought.is_some_and(|sought| sought.is_queued && !sought.holders.is_empty()),
                "{object} is to be fetched from nobody"
            );
            ensure!(!fetching.contains(object), "{object} is fetched and to be fetched");
            ensure!(
                queue.iter().skip(at + 1).all(|other| other != object),
                "{object} is to be fetched twice"
            );
        }
        Ok(())
    }
}

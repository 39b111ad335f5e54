//! Which of a session's actors are wanted: those that somebody has a handle of.
//!
//! The session counts the handles that its own process has. Of a handle that it gave to an actor, with a call or to the
//! constructor, nobody knows when that actor lets go of it: it counts for as long as that actor is wanted itself. Actors that
//! have only each other are wanted by nobody.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use bireme_core::id::ActorId;

use crate::session::lock;

/// The actors that a session has made and that end when nobody wants them.
#[derive(Debug, Default)]
pub(crate) struct Keepers(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// Each with how many handles of it this process has.
    made: BTreeMap<ActorId, usize>,
    /// The handles of these that actors were given, whoever made them.
    given: BTreeMap<ActorId, BTreeSet<ActorId>>,
}

impl Keepers {
    /// An actor was made, and there is a handle of it.
    pub(super) fn made(&self, actor: ActorId) {
        lock(&self.0).made.insert(actor, 1);
    }

    /// There is a further handle of an actor. Returns whether it counts: the session has made the actor, which is wanted.
    pub(super) fn joined(&self, actor: ActorId) -> bool {
        let mut known = lock(&self.0);
        known.made.get_mut(&actor).map(|handles| *handles += 1).is_some()
    }

    /// An actor is given handles of others.
    pub(super) fn given(&self, to: ActorId, handles: &[ActorId]) {
        let mut known = lock(&self.0);
        let Known { made, given } = &mut *known;
        let of_ours = handles.iter().filter(|handle| **handle != to && made.contains_key(handle));
        let mut of_ours = of_ours.copied().peekable();
        if of_ours.peek().is_some() {
            given.entry(to).or_default().extend(of_ours);
        }
    }

    /// A handle that counts is gone. Returns the actors that nobody wants any more: they are to end.
    pub(super) fn left(&self, actor: ActorId) -> Vec<ActorId> {
        let mut known = lock(&self.0);
        let Some(handles) = known.made.get_mut(&actor) else { return Vec::new() };
        *handles -= 1;
        if *handles > 0 { Vec::new() } else { known.forget_unwanted() }
    }

    /// An actor was ended. Returns the others that nobody wants any more.
    pub(super) fn ended(&self, actor: ActorId) -> Vec<ActorId> {
        let mut known = lock(&self.0);
        known.given.remove(&actor);
        if known.made.remove(&actor).is_some() { known.forget_unwanted() } else { Vec::new() }
    }
}

impl Known {
    fn forget_unwanted(&mut self) -> Vec<ActorId> {
        let wanted = self.wanted();
        let unwanted: Vec<_> =
            self.made.keys().filter(|made| !wanted.contains(made)).copied().collect();
        for actor in &unwanted {
            self.made.remove(actor);
            self.given.remove(actor);
        }
        unwanted
    }

    /// The actors that this process has handles of, those that are not for it to end, and all that these were given.
    fn wanted(&self) -> BTreeSet<ActorId> {
        let held = self.made.iter().filter(|(_, handles)| **handles > 0).map(|(actor, _)| *actor);
        let others = self.given.keys().filter(|to| !self.made.contains_key(to)).copied();
        let mut next: Vec<ActorId> = held.chain(others).collect();
        let mut wanted = BTreeSet::new();
        while let Some(actor) = next.pop() {
            if wanted.insert(actor) {
                next.extend(self.given.get(&actor).into_iter().flatten());
            }
        }
        wanted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: ActorId = ActorId(1);
    const B: ActorId = ActorId(2);
    const C: ActorId = ActorId(3);
    const FOREIGN: ActorId = ActorId(9);

    fn made(actors: impl IntoIterator<Item = ActorId>) -> Keepers {
        let keepers = Keepers::default();
        actors.into_iter().for_each(|actor| keepers.made(actor));
        keepers
    }

    #[test]
    fn an_actor_is_wanted_until_its_last_handle_is_gone() {
        let keepers = made([A]);
        assert!(keepers.joined(A) && !keepers.joined(FOREIGN));
        assert_eq!(keepers.left(A), []);
        assert_eq!(keepers.left(A), [A]);
        assert!(!keepers.joined(A), "it has ended");
        assert_eq!(keepers.left(A), []);
    }

    #[test]
    fn what_an_actor_was_given_is_wanted_with_it() {
        let keepers = made([A, B, C]);
        keepers.given(B, &[A]);
        keepers.given(C, &[B]);
        assert_eq!((keepers.left(A), keepers.left(B)), (vec![], vec![]));
        assert!(keepers.joined(A), "it comes back");
        assert_eq!(keepers.left(C), [B, C]);
        assert_eq!(keepers.left(A), [A]);
    }

    #[test]
    fn an_actor_that_was_ended_is_not_to_end_again() {
        let keepers = made([A, B]);
        keepers.given(B, &[A]);
        assert_eq!(keepers.left(A), []);
        assert_eq!(keepers.ended(B), [A]);
        assert_eq!((keepers.left(B), keepers.ended(B)), (vec![], vec![]));
    }

    #[test]
    fn actors_that_have_only_each_other_end() {
        let keepers = made([A, B]);
        keepers.given(A, &[B, A]);
        keepers.given(B, &[A]);
        assert_eq!(keepers.left(A), []);
        assert_eq!(keepers.left(B), [A, B]);
    }

    #[test]
    fn an_actor_of_others_keeps_what_it_was_given() {
        let keepers = made([A]);
        keepers.given(FOREIGN, &[A, FOREIGN]);
        assert_eq!(keepers.left(A), []);
        assert!(keepers.joined(A));
    }
}

//! Copies of an actor's log over the fixed seeds: no answer is forgotten, and mistakes that would have one forgotten are found.

use bireme_sim::Detail;
use bireme_sim::copies::{Bug, Seen, run, run_with, trace};

#[test]
fn every_seed_keeps_what_was_answered() {
    let mut all = Seen::default();
    for seed in 0..60 {
        match run(seed, true, Detail::Nothing) {
            Ok(seen) => all.add(seen),
            Err(failure) => panic!("{failure}"),
        }
    }
    for (what, count) in all.counts() {
        assert!(count > 10, "only {count} times {what}: {all:?}");
    }
}

#[test]
fn where_nothing_goes_wrong_everything_is_answered() {
    for seed in 0..4 {
        let seen = run(seed, false, Detail::Nothing).unwrap_or_else(|failure| panic!("{failure}"));
        assert!(seen.answers > 500 && seen.struck_off == 0, "seed {seed}: {seen:?}");
    }
}

#[test]
fn the_same_seed_is_the_same_run_of_copies_to_the_byte() {
    for seed in 0..2 {
        assert_eq!(trace(seed, true).ok(), trace(seed, true).ok(), "seed {seed}");
    }
}

/// Each failed once, and what it showed was mended.
#[test]
fn seeds_that_failed_once() {
    for (seed, what) in [
        (102, "an earlier stream of an incarnation, come last, took the place of a later one"),
        (
            1_667,
            "an incarnation that nobody had heard of answered, and was begun again without that",
        ),
        (1_734, "what one with a new disk had was taken for the copy that was there before"),
        (294, "with all that had been in step before, more were listed than the actor asks for"),
        (1_706, "what an actor had left was released when its end was told again"),
        (3_757, "in the model, the last copy that was left could be of a machine started anew"),
        (7_757, "in the model, the last copy that was left could be one of which nobody had heard"),
    ] {
        if let Err(failure) = run(seed, true, Detail::Nothing) {
            panic!("{what}: {failure}");
        }
    }
}

/// Each is found with one of these seeds. More would find most of them.
#[test]
fn mistakes_are_found() {
    for (bug, seeds) in [
        (Bug::CommitsAlone, [0, 1, 2].as_slice()),
        (Bug::LastStreamWins, &[7, 753]),
        (Bug::Unfenced, &[7, 93, 248]),
        (Bug::WholeTooSoon, &[104, 116, 310]),
    ] {
        let passes = |seed: u64| run(seed, true, Detail::Nothing).is_ok();
        let is_found = seeds.iter().any(|seed| run_with(bug, *seed).is_err() && passes(*seed));
        assert!(is_found, "{bug:?} makes no difference");
    }
}

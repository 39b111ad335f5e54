//! Actors whose daemon or scheduler goes: what becomes of calls, and which go on.
//!
//! Each row of the table of failures in `docs/concepts/actors.md`, and the tests that show it: in virtual time of the machines
//! (`host` and `caller` are `bireme_core::actor`; `sim` is `bireme_sim::actors`, in which each call must end, whatever of this
//! happens), and over real processes (`fleet` is `crates/worker/tests/fleet/actors`, `py` is
//! `crates/python/tests/test_actors.py`, the others are checks of this program).
//!
//! | failure | in virtual time | over real processes |
//! |---|---|---|
//! | arguments that cannot be written down | caller `arguments_that_never_come_end_their_call_and_use_its_number` | py `test_results_and_methods_that_cannot_be_are_told_apart` |
//! | a result that cannot | host `arguments_and_results_that_cannot_be_coded_end_their_own_call` | the same |
//! | a method that is not there | sim `CallCode::NoSuchMethod` | `actors_are_called_in_order` |
//! | an actor that was ended | caller `death_ends_every_call_with_its_cause`, host `the_end_for_good_ends_every_call` | `actors_have_names_and_end` |
//! | the caller's connection breaks | caller `a_lost_stream_is_taken_up_again_with_what_did_not_arrive`, host `a_broken_stream_is_taken_up_where_it_was` | `a_counter_counts_once_whatever_is_killed` |
//! | the actor's process crashes | host `a_crash_leaves_only_the_running_call_unknown`, `at_least_once_calls_run_again_in_their_place` | `actors_that_crash_lose_one_call` |
//! | the daemon is killed | caller `a_lost_daemon_leaves_unknown_what_was_said_and_nothing_else`, `effectively_once_everything_is_said_again` | `an_actor_whose_daemon_is_killed`, `actors_that_count_once_lose_nothing` |
//! | a crash between running and reply, or after the reply | host `a_lost_daemon_plays_its_log_again_and_answers`, `a_reply_that_was_said_is_kept_over_the_replay` | `a_counter_counts_once_wherever_its_host_dies`, `a_bank_loses_no_money_wherever_its_host_dies` |
//! | the caller dies | host `a_caller_that_stays_away_is_forgotten_and_told_so` | py `test_whoever_waits_is_let_go_when_the_client_is_closed` |
//! | the scheduler is down, and back | caller `a_scheduler_that_is_away_leaves_the_known_place` | `actors_go_on_without_a_scheduler` |
//! | host and scheduler are cut off from each other | host `a_host_whose_lease_is_over_says_nothing`, sim `Fault::Cut` | `an_actor_stops_at_the_end_of_its_lease` |
//! | an old handle | caller `a_stale_incarnation_is_refused`, `a_move_takes_the_calls_along` | `actors_from_the_command_line`, py `test_an_actor_moves_with_its_state` |
//! | a call that crashes the actor each time | host `a_call_that_kills_is_poison`, `a_call_that_kills_is_set_aside_in_the_log` | fleet `calls_are_played_again_and_replies_are_the_same` |
//! | the worker is drained | host `an_actor_that_moves_leaves_everything_to_the_next_host` | `actors_move_when_their_worker_drains` |
//! | the mailbox is full | host `a_full_mailbox_refuses`, caller `the_window_holds_calls_back`, `a_mailbox_that_refuses_ends_what_it_has_no_room_for` | fleet `calls_that_wait_too_long_and_calls_too_many_do_not_run` |
//! | A calls B calls A | host `a_circle_of_calls_is_a_deadlock_at_once` | py `test_a_call_that_waits_for_itself_is_an_error` |
//! | started again too often | sim `CallCode::Gone` | py `test_a_crash_ends_the_call_that_ran_and_those_that_waited` |
//! | a replay that differs | host `a_replay_that_differs_stops_the_actor`, sim `CallCode::ReplayDiverged` | py `test_what_is_not_the_same_each_time_is_kept_or_found_out` |

use anyhow::{Context as _, Result, bail, ensure};
use bireme_client::{Actor, Call, decode, encode};
use bireme_core::Span;
use bireme_core::actor::call::{CallCode, Outcome};
use bireme_core::actor::{Delivery, Selector};
use rustix::process::Signal;
use tokio::time::interval;

use super::actors::{count, counts};
use crate::cluster::{Cluster, LOOK, Shape, family, guarded};

/// How long a host may go on by itself.
const LEASE: Span = Span::secs(1);
/// Calls at a time.
const CALLS: i64 = 100;

/// The daemon is killed: what it had and did not answer is unknown, and the next incarnation begins anew.
pub(super) async fn daemon_killed() -> Result<()> {
    let cluster = Cluster::start(Shape::new(1, 2)).await?;
    let counter = cluster.client.actor("builtin/Counter").max_restarts(3);
    let counter: Actor = guarded("an actor", leased(counter).create()).await??;
    ensure!(count(counter.call("add", encode(&7)?)).await? == 7);
    let runs = counter.call("sleep", encode(&60_000_000_u64)?);
    let behind: Vec<Call> = (0..CALLS).map(|_| counter.call("increment", ())).collect();
    let admin = cluster.site().admin().await?;
    let actor = Selector::Actor(counter.id());
    let waits = async {
        let mut looks = interval(LOOK);
        loop {
            let lanes = admin.look_into(&actor, false).await?.lanes;
            let held: u32 = lanes.iter().map(|lane| lane.waiting + lane.running).sum();
            if i64::from(held) > CALLS {
                return anyhow::Ok(());
            }
            looks.tick().await;
        }
    };
    guarded("calls that have arrived", waits).await??;
    family::kill(cluster.workers.first().context("there is a worker")?.daemon());
    for call in std::iter::once(runs).chain(behind) {
        let end = guarded("a call's end", call.ended()).await?.outcome;
        ensure!(end.code() == Some(CallCode::Unknown), "it ended as {end:?}");
    }
    let first = count(counter.call("increment", ())).await?;
    ensure!(first == 1, "the next incarnation began with {}", first - 1);
    cluster.stop().await
}

/// The scheduler is away, comes back, and dies: calls go on.
pub(super) async fn scheduler_away() -> Result<()> {
    let mut cluster = Cluster::start(Shape::new(1, 2)).await?;
    let counter = guarded("an actor", cluster.client.actor("builtin/Counter").create()).await??;
    counts(&counter, 0, CALLS).await?;
    cluster.scheduler.signal(Signal::STOP)?;
    counts(&counter, CALLS, CALLS).await?;
    let builder = cluster.client.actor::<Actor>("builtin/Counter");
    let other = tokio::spawn(builder.create());
    counts(&counter, 2 * CALLS, CALLS).await?;
    ensure!(!other.is_finished(), "an actor was made without a scheduler");
    cluster.scheduler.signal(Signal::CONT)?;
    let other = guarded("an actor", other).await???;
    counts(&other, 0, CALLS).await?;
    cluster.scheduler.signal(Signal::KILL)?;
    cluster.scheduler.exit().await?;
    counts(&counter, 3 * CALLS, CALLS).await?;
    counts(&other, CALLS, CALLS).await
}

/// The scheduler is gone for longer than the lease of an actor that may not live twice: it answers nobody any more.
pub(super) async fn lease_over() -> Result<()> {
    let mut cluster = Cluster::start(Shape::new(1, 2)).await?;
    let counter = cluster.client.actor("builtin/Counter").delivery(Delivery::EffectivelyOnce);
    let counter: Actor = guarded("an actor", leased(counter).create()).await??;
    counts(&counter, 0, CALLS).await?;
    cluster.scheduler.signal(Signal::KILL)?;
    cluster.scheduler.exit().await?;
    let mut answered = CALLS;
    let silence = async {
        loop {
            let call = counter.method("increment").deadline(LEASE).call();
            match call.ended().await.outcome {
                Outcome::Value(value) => {
                    let given: i64 = decode(&value)?;
                    answered += 1;
                    ensure!(given == answered, "call {answered} gave {given}");
                }
                Outcome::Failure(failure) if failure.code == CallCode::Deadline => return Ok(()),
                other => bail!("it ended as {other:?}"),
            }
        }
    };
    guarded("the end of its lease", silence).await?
}

fn leased(builder: bireme_client::ActorBuilder<Actor>) -> bireme_client::ActorBuilder<Actor> {
    builder.with(|spec| spec.lease = LEASE)
}

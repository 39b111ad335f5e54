//! Every check.
//!
//! What bad input and faults must come to, each beside another client's graph that must not notice (`beside`):
//!
//! | what | check |
//! |---|---|
//! | a key that nobody has, a key twice | `an_unknown_key_is_named`, `a_duplicate_key_is_refused` |
//! | a dependency that is not there, on itself, in a circle | `an_unknown_dependency_is_refused`, `a_task_that_needs_itself_is_refused` |
//! | a value or payload that is too large | `an_oversize_value_is_refused`, `an_oversize_payload_is_refused` |
//! | a graph above the limits | `a_graph_above_the_limits_is_refused` |
//! | an unknown function, a missing command, a payload that is none | `an_unknown_function_is_named`, `a_missing_command_is_named`, `a_malformed_payload_fails_its_task` |
//! | random bytes and malformed messages on the port | `strangers_harm_nobody` |
//! | a peer of another protocol version, one without a token | `another_protocol_version_is_refused`, `without_a_token_nobody_gets_in` |
//! | a worker that lies | `a_worker_cannot_end_others_attempts`, `a_worker_must_have_what_it_says`, `a_worker_that_talks_nonsense_is_hung_up_on` |
//! | a client that never reads | `a_client_that_never_reads_costs_nobody` |
//! | a full `/dev/shm`, a full disk, both | `a_full_dev_shm_fills_the_disk`, `a_full_disk_fails_what_does_not_fit`, `a_value_without_room_fails_its_attempt` |
//! | an executor that cuts its shared files | `a_value_that_was_cut_is_made_again`, `a_value_that_was_cut_for_good_is_missed` |
//! | a process that crashes, or takes more memory than it stated | `a_process_that_ends_fails_alone`, `who_takes_more_memory_than_stated_is_ended` |

use super::runner::{Check, Running};
use super::storm::{self, Kind};
use super::{
    actors, ahead, blobs, calling, commands, copies, counters, cut, daemons, door, graphs,
    isolated, liars, loss, node, once, partings, python, refused, relay, relayed_calls, scarcity,
    sessions, shapes, store, supervise, wordcount,
};
use crate::cluster::GUARD;

const fn check(name: &'static str, run: fn() -> Running) -> Check {
    Check { name, slow: false, limit: GUARD, run }
}

const fn slow(name: &'static str, run: fn() -> Running) -> Check {
    Check { name, slow: true, limit: GUARD, run }
}

/// One that kills much, each of whose waits has a guard of its own.
const fn long(name: &'static str, run: fn() -> Running) -> Check {
    Check { name, slow: true, limit: storm::LIMIT, run }
}

pub(super) static CHECKS: &[Check] = &[
    check("daemons_say_where_they_listen", || Box::pin(daemons::say_where_they_listen())),
    check("a_state_directory_has_one_scheduler", || Box::pin(daemons::one_for_each_state())),
    check("a_scheduler_ends_on_sigterm", || Box::pin(daemons::scheduler_ends())),
    check("a_worker_drains_on_sigterm", || Box::pin(daemons::worker_drains())),
    check("a_worker_that_ends_gives_its_values_away", || {
        Box::pin(daemons::worker_gives_its_values_away())
    }),
    check("a_scheduler_that_was_killed_comes_back", || Box::pin(sessions::killed_scheduler())),
    check("a_session_whose_time_is_over_is_cleared", || Box::pin(sessions::time_runs_out())),
    check("without_a_token_nobody_gets_in", || Box::pin(door::token_is_asked_for())),
    check("strangers_harm_nobody", || Box::pin(door::strangers_harm_nobody())),
    check("another_protocol_version_is_refused", || Box::pin(door::versions_must_meet())),
    check("a_diamond_spans_two_workers", || Box::pin(graphs::diamond())),
    check("an_unknown_function_is_named", || Box::pin(graphs::unknown_function())),
    check("a_failed_command_says_how_it_ended", || Box::pin(graphs::failed_command())),
    check("ten_tasks_do_not_wait_behind_thousands", || Box::pin(shapes::few_beside_many())),
    check("rows_of_an_array_have_their_arguments", || Box::pin(shapes::array_rows())),
    check("a_gpu_nobody_has_is_explained", || Box::pin(shapes::gpu_nobody_has())),
    check("commands_of_two_gpus_have_one_each", || Box::pin(commands::one_gpu_each())),
    check("what_a_command_said_is_read_again", || Box::pin(commands::logs_are_read())),
    check("what_each_attempt_said_is_kept", || Box::pin(commands::logs_of_attempts())),
    check("a_process_that_ends_fails_alone", || Box::pin(isolated::ends_fail_alone())),
    check("who_takes_more_memory_than_stated_is_ended", || Box::pin(isolated::memory_is_kept_to())),
    check("values_take_every_way", || Box::pin(store::every_way())),
    check("who_cannot_reach_workers_has_values_relayed", || Box::pin(relay::values())),
    check("blobs_go_in_and_out", || Box::pin(blobs::in_and_out())),
    check("more_than_fits_into_memory_is_kept", || Box::pin(store::spill())),
    check("a_value_without_room_fails_its_attempt", || Box::pin(scarcity::no_room())),
    check("a_full_dev_shm_fills_the_disk", || Box::pin(scarcity::full_shared_memory())),
    check("a_full_disk_fails_what_does_not_fit", || Box::pin(scarcity::full_disk())),
    check("a_fetch_into_a_full_store_waits", || Box::pin(scarcity::fetch_into_full())),
    slow("a_paused_worker_goes_on_after_releases", || Box::pin(scarcity::paused())),
    check("a_value_that_was_cut_is_made_again", || Box::pin(cut::made_again())),
    check("a_value_that_was_cut_for_good_is_missed", || Box::pin(cut::lost())),
    check("an_unknown_key_is_named", || Box::pin(refused::unknown_key())),
    check("a_duplicate_key_is_refused", || Box::pin(refused::duplicate_key())),
    check("an_unknown_dependency_is_refused", || Box::pin(refused::unknown_dependency())),
    check("a_task_that_needs_itself_is_refused", || Box::pin(refused::self_dependency())),
    check("an_oversize_payload_is_refused", || Box::pin(refused::oversize_payload())),
    check("an_oversize_value_is_refused", || Box::pin(refused::oversize_value())),
    check("a_graph_above_the_limits_is_refused", || Box::pin(refused::graph_above_limits())),
    check("a_missing_command_is_named", || Box::pin(refused::missing_command())),
    check("a_malformed_payload_fails_its_task", || Box::pin(refused::malformed_payload())),
    check("a_worker_cannot_end_others_attempts", || Box::pin(liars::worker_lies_about_attempts())),
    check("a_worker_must_have_what_it_says", || Box::pin(liars::worker_has_not_what_it_says())),
    check(
        "a_worker_that_talks_nonsense_is_hung_up_on",
        || Box::pin(liars::worker_talks_nonsense()),
    ),
    slow("a_client_that_never_reads_costs_nobody", || Box::pin(liars::client_never_reads())),
    check("a_long_chain_takes_one_attempt_each", || Box::pin(ahead::one_long())),
    check("a_chain_takes_inputs_from_another_worker", || Box::pin(ahead::crossed())),
    check("a_broken_chain_fails_behind_the_break", || Box::pin(ahead::broken())),
    slow("many_chains_keep_their_order", || Box::pin(ahead::many())),
    slow("a_chain_outlives_its_worker", || Box::pin(ahead::killed_midway())),
    slow("a_killed_daemon_leaves_nothing_behind", || Box::pin(supervise::killed_daemon())),
    slow("a_killed_supervisor_leaves_nothing_behind", || Box::pin(supervise::killed_supervisor())),
    check("actors_are_called_in_order", || Box::pin(actors::called_in_order())),
    check("actors_hand_their_results_on", || Box::pin(actors::results_are_handed_on())),
    check("actors_have_names_and_end", || Box::pin(actors::names_and_ends())),
    check("actors_that_crash_lose_one_call", || Box::pin(actors::crash_loses_one_call())),
    check("actors_move_when_their_worker_drains", || Box::pin(actors::a_drain_moves_them())),
    check("actors_that_call_in_a_circle_are_told", || Box::pin(calling::cycles_end_at_once())),
    check("tasks_call_actors", || Box::pin(calling::tasks_call_actors())),
    check("actors_from_the_command_line", || Box::pin(actors::from_the_command_line())),
    slow("actors_that_count_once_pass_on_once", || Box::pin(calling::passed_on_once())),
    slow("actors_that_count_once_lose_nothing", || Box::pin(actors::effectively_once_counts_all())),
    check("who_cannot_reach_workers_has_calls_relayed", || Box::pin(relayed_calls::in_order())),
    check("relayed_calls_from_the_command_line", || Box::pin(relayed_calls::one_by_one())),
    check("relayed_calls_end_with_their_scheduler", || Box::pin(relayed_calls::scheduler_killed())),
    check("an_actor_whose_daemon_is_killed", || Box::pin(partings::daemon_killed())),
    check("actors_go_on_without_a_scheduler", || Box::pin(partings::scheduler_away())),
    check("an_actor_stops_at_the_end_of_its_lease", || Box::pin(partings::lease_over())),
    slow("actors_with_copies_outlive_their_worker", || Box::pin(copies::outlive_their_worker())),
    slow("actors_with_copies_go_on_without_one", || Box::pin(copies::go_on_without_a_copy())),
    long("a_counter_counts_once_whatever_is_killed", || Box::pin(once::counter(Kind::Anywhere))),
    long("a_counter_counts_once_wherever_its_host_dies", || {
        Box::pin(once::counter(Kind::InPlaces))
    }),
    long("a_bank_loses_no_money_whatever_is_killed", || Box::pin(once::bank(Kind::Anywhere))),
    long("a_bank_loses_no_money_wherever_its_host_dies", || Box::pin(once::bank(Kind::InPlaces))),
    slow("wordcount_equals_a_pipeline", || Box::pin(wordcount::equals_a_pipeline())),
    slow("a_killed_worker_changes_no_result", || Box::pin(loss::killed_worker())),
    slow("grpc_python", python::grpc_python),
    slow("mixed_languages", node::mixed_languages),
    slow("an_actor_in_node_counts_once", node::counts_once),
    slow("javascript_calls_actors", node::calls_actors),
    check("a_counter_from_the_shell", || Box::pin(counters::from_the_shell())),
    slow("a_counter_from_rust", counters::from_rust),
    slow("a_counter_from_python", counters::from_python),
    slow("a_counter_from_node", counters::from_node),
];

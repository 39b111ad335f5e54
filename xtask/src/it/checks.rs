//! Every check.

use super::runner::{Check, Running};
use super::{daemons, door, graphs, loss, shapes, wordcount};

const fn check(name: &'static str, run: fn() -> Running) -> Check {
    Check { name, slow: false, run }
}

const fn slow(name: &'static str, run: fn() -> Running) -> Check {
    Check { name, slow: true, run }
}

pub(super) static CHECKS: [Check; 16] = [
    check("daemons_say_where_they_listen", || Box::pin(daemons::say_where_they_listen())),
    check("a_state_directory_has_one_scheduler", || Box::pin(daemons::one_for_each_state())),
    check("a_scheduler_ends_on_sigterm", || Box::pin(daemons::scheduler_ends())),
    check("a_worker_drains_on_sigterm", || Box::pin(daemons::worker_drains())),
    check("without_a_token_nobody_gets_in", || Box::pin(door::token_is_asked_for())),
    check("strangers_harm_nobody", || Box::pin(door::strangers_harm_nobody())),
    check("another_protocol_version_is_refused", || Box::pin(door::versions_must_meet())),
    check("a_diamond_spans_two_workers", || Box::pin(graphs::diamond())),
    check("an_unknown_function_is_named", || Box::pin(graphs::unknown_function())),
    check("a_failed_command_says_how_it_ended", || Box::pin(graphs::failed_command())),
    check("ten_tasks_do_not_wait_behind_thousands", || Box::pin(shapes::few_beside_many())),
    check("rows_of_an_array_have_their_arguments", || Box::pin(shapes::array_rows())),
    check("chains_keep_their_order", || Box::pin(shapes::chains())),
    check("a_gpu_nobody_has_is_explained", || Box::pin(shapes::gpu_nobody_has())),
    slow("wordcount_equals_a_pipeline", || Box::pin(wordcount::equals_a_pipeline())),
    slow("a_killed_worker_changes_no_result", || Box::pin(loss::killed_worker())),
];

//! While caller and host hear each other: order, windows, acknowledgements, items, arguments that come late.

use expect_test::expect;

use super::check;

#[test]
fn the_first_call_goes_at_once_and_the_others_wait_for_the_host() {
    check(
        "call a | call b | lives w1 i1 | up 1 | call c | opened i1 1 | call d | reply 1 | reply 3",
        &expect![[r"
            call a      -> resolve >i0 30000ms
            call b      ->
            lives w1 i1 -> reach w1 i1
            up 1        -> open i1 done 0, call 1 a i1
            call c      ->
            opened i1 1 -> call 2 b i1, call 3 c i1
            call d      -> call 4 d i1
            reply 1     -> END 1 ok
            reply 3     -> END 3 ok
        "]],
    );
}

#[test]
fn the_window_holds_calls_back() {
    check(
        "call a | call b | call c | lives w1 i1 | up 1 | opened i1 1 narrow | reply 1 | call d | window 3 | reply 2",
        &expect![[r"
            call a             -> resolve >i0 30000ms
            call b             ->
            call c             ->
            lives w1 i1        -> reach w1 i1
            up 1               -> open i1 done 0, call 1 a i1
            opened i1 1 narrow -> call 2 b i1
            reply 1            -> END 1 ok, call 3 c i1
            call d             ->
            window 3           -> call 4 d i1
            reply 2            -> END 2 ok
        "]],
    );
}

#[test]
fn a_mailbox_that_refuses_ends_what_it_has_no_room_for() {
    check(
        "call a | call b | call c | lives w1 i1 | up 1 | opened i1 1 narrow refuses | call d | reply 1 | call e",
        &expect![[r"
            call a                     -> resolve >i0 30000ms
            call b                     ->
            call c                     ->
            lives w1 i1                -> reach w1 i1
            up 1                       -> open i1 done 0, call 1 a i1
            opened i1 1 narrow refuses -> call 2 b i1, END 3 MAILBOX_FULL: 2 calls wait for replies already, cancel 3
            call d                     -> END 4 MAILBOX_FULL: 2 calls wait for replies already, cancel 4
            reply 1                    -> END 1 ok
            call e                     -> call 5 e i1
        "]],
    );
}

#[test]
fn arguments_that_come_late_hold_back_later_calls_and_no_others() {
    check(
        "call a | unready | call c | lives w1 i1 | up 1 | opened i1 1 | reply 1 | ready 2",
        &expect![[r"
            call a      -> resolve >i0 30000ms
            unready     ->
            call c      ->
            lives w1 i1 -> reach w1 i1
            up 1        -> open i1 done 0, call 1 a i1
            opened i1 1 ->
            reply 1     -> END 1 ok
            ready 2     -> call 2 big i1, call 3 c i1
        "]],
    );
}

#[test]
fn arguments_that_never_come_end_their_call_and_use_its_number() {
    check(
        "unready | call b | lives w1 i1 | up 1 | opened i1 1 | unencodable 1 | reply 2",
        &expect![[r"
            unready       -> resolve >i0 30000ms
            call b        ->
            lives w1 i1   -> reach w1 i1
            up 1          -> open i1 done 0
            opened i1 1   ->
            unencodable 1 -> END 1 UNSERIALIZABLE_ARGS: no codec for it, cancel 1, call 2 b i1
            reply 2       -> END 2 ok
        "]],
    );
}

#[test]
fn replies_are_acknowledged_after_a_while_and_only_without_gaps() {
    check(
        "ahead | opened i1 1 | call b | reply 2 | after 50 | reply 1 | after 49 | after 1",
        &expect![[r"
            ahead       -> resolve >i0 30000ms, reach w1 i1, open i1 done 0, call 1 a i1
            opened i1 1 ->
            call b      -> call 2 b i1
            reply 2     -> END 2 ok
            after 50    ->
            reply 1     -> END 1 ok
            after 49    ->
            after 1     -> ack 2
        "]],
    );
}

#[test]
fn items_come_once_each_and_are_paid_for() {
    check(
        "call a stream | lives w1 i1 | up 1 | opened i1 1 | item 1 1 | item 1 1 | item 1 2 | take 1 2 | down 1 | up 1 \
         | opened i1 2 | item 1 2 | item 1 3 | reply 1 | item 1 4",
        &expect![[r"
            call a stream -> resolve >i0 30000ms
            lives w1 i1   -> reach w1 i1
            up 1          -> open i1 done 0, call 1 a i1
            opened i1 1   ->
            item 1 1      -> ITEM 1.1
            item 1 1      ->
            item 1 2      -> ITEM 1.2
            take 1 2      ->
            down 1        -> reach w1 i1
            up 1          -> open i1 done 0
            opened i1 2   -> ack-items 1.2
            item 1 2      ->
            item 1 3      -> ITEM 1.3
            reply 1       -> END 1 ok
            item 1 4      ->
        "]],
    );
}

#[test]
fn half_a_credit_is_granted_at_a_time() {
    let items: Vec<String> = (1..=32).map(|n| format!("item 1 {n}")).collect();
    let mut run = super::Script {
        caller: super::Caller::new(super::Config::new(super::me(), super::ACTOR)),
        now: super::Time(0),
    };
    for step in ["call a stream", "lives w1 i1", "up 1", "opened i1 1"] {
        run.step(step);
    }
    for item in &items {
        run.step(item);
    }
    assert!(run.step("take 1 31").is_empty());
    let told: Vec<String> = run.step("take 1 32").iter().map(super::told).collect();
    assert_eq!(told, ["ack-items 1.32", "credit 1 +32"]);
}

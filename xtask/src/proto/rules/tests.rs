//! One broken file, with the line of each complaint.

use expect_test::{Expect, expect};

use super::super::tests::pool;
use super::problems;

fn check(text: &str, expected: Expect) {
    let problems: Vec<String> = problems(&pool(text));
    expected.assert_eq(&problems.join("\n"));
}

#[test]
fn a_file_that_keeps_the_rules_has_no_problems() {
    check(
        r"
        // A message.
        message Good {
          uint64 wait_us = 1; // Behind is as good as before.
          // A message may say its unit.
          Good queue_us = 6;
          // Bytes may be of any kind that is not a number.
          bytes tail_bytes = 2;
          // Counts items.
          uint32 page_size = 3;
          // Maps have entries that nobody comments on.
          map<string, uint64> amounts = 4;
          // Presence makes a oneof that nobody wrote.
          optional uint32 maybe = 5;
        }
        // An enum.
        enum HowGood {
          // None.
          HOW_GOOD_UNSPECIFIED = 0;
          // Digits too.
          HOW_GOOD_2 = 1;
        }
        // A service.
        service Doer {
          // A method.
          rpc Do(Good) returns (stream Good) { option (bireme.v1.role) = ROLE_READ; }
        }
        ",
        expect![""],
    );
}

#[test]
fn comments_are_missed_by_line() {
    check(
        r"
        message M {
          uint32 a = 1;
          oneof o { uint32 b = 2; }
        }
        enum E { E_UNSPECIFIED = 0; }
        service S { rpc R(M) returns (M) { option (bireme.v1.role) = ROLE_READ; } }
        ",
        expect![[r"
            proto/t.proto:4: message `M` has no comment
            proto/t.proto:5: field `bireme.v1.M.a` has no comment
            proto/t.proto:6: field `bireme.v1.M.b` has no comment
            proto/t.proto:6: oneof `bireme.v1.M.o` has no comment
            proto/t.proto:8: enum `E` has no comment
            proto/t.proto:8: enum value `E_UNSPECIFIED` has no comment
            proto/t.proto:9: service `S` has no comment
            proto/t.proto:9: method `bireme.v1.S.R` has no comment"]],
    );
}

#[test]
fn roles_must_be_stated() {
    check(
        r"
        // M.
        message M {}
        // S.
        service S {
          // None.
          rpc A(M) returns (M);
          // Nobody's.
          rpc B(M) returns (M) { option (bireme.v1.role) = ROLE_UNSPECIFIED; }
        }
        ",
        expect![[r"
            proto/t.proto:9: method `A` states no role: option (bireme.v1.role) = ROLE_...;
            proto/t.proto:11: method `B` has ROLE_UNSPECIFIED, which nobody holds"]],
    );
}

#[test]
fn enums_start_at_unspecified_and_carry_their_name() {
    check(
        r"
        // E.
        enum BadStart {
          // Zero.
          BAD_START_NONE = 0;
          // Prefix.
          OTHER = 1;
          // Case.
          BAD_START_lower = 2;
        }
        ",
        expect![[r"
            proto/t.proto:9: enum value `OTHER` must be `BAD_START_` and UPPER_CASE words
            proto/t.proto:11: enum value `BAD_START_lower` must be `BAD_START_` and UPPER_CASE words
            proto/t.proto:5: enum `BadStart` must start with `BAD_START_UNSPECIFIED = 0`"]],
    );
}

#[test]
fn names_and_units() {
    check(
        r"
        // M.
        message bad_message {
          // Case.
          uint32 camelCase = 1;
          // Width.
          uint32 wait_us = 2;
          // Unit.
          uint64 wait_ms = 3;
          // Width.
          uint32 memory_bytes = 4;
          // Width.
          int64 size = 5;
        }
        ",
        expect![[r"
            proto/t.proto:5: message `bad_message` is not CamelCase
            proto/t.proto:7: field `camelCase` is not snake_case
            proto/t.proto:9: field `wait_us` holds microseconds and must be uint64
            proto/t.proto:11: field `wait_ms`: durations are `uint64 *_us`
            proto/t.proto:13: field `memory_bytes` holds a number of bytes and must be uint64
            proto/t.proto:15: field `size` holds a number of bytes and must be uint64"]],
    );
}

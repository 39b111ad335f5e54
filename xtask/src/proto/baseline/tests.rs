//! One test per kind of broken promise: the old file, the new one, the complaint.

use expect_test::{Expect, expect};

use super::super::tests::pool;
use super::{additions, problems};

fn check(old: &str, new: &str, expected: Expect) {
    expected.assert_eq(&problems(&pool(old), &pool(new)).join("\n"));
}

/// Holds one field, and a message, an enum and a oneof to change it with.
fn field(text: &str) -> String {
    format!("message A {{}} enum E {{ E_UNSPECIFIED = 0; }} message M {{ {text} }}")
}

/// Holds one service with one method.
fn method(text: &str) -> String {
    format!("message A {{}} message B {{}} service S {{ {text} }}")
}

#[test]
fn the_same_files_break_nothing() {
    let file =
        field("uint32 a = 1; oneof o { A b = 2; } map<string, E> c = 3; reserved 4, 6 to 8;");
    check(&file, &file, expect![""]);
}

#[test]
fn additions_break_nothing_and_are_told() {
    let (old, new) = (field("uint32 a = 1;"), field("uint32 a = 1; uint32 b = 2;"));
    check(&old, &new, expect![""]);
    assert_eq!(additions(&pool(&old), &pool(&new)), ["bireme.v1.M.b"]);
    assert_eq!(
        additions(&pool(&method("")), &pool(&method("rpc R(A) returns (B);"))),
        ["bireme.v1.S.R"]
    );
}

#[test]
fn type_changed() {
    check(
        &field("uint32 a = 1; A b = 2; map<string, uint32> c = 3;"),
        &field("uint64 a = 1; E b = 2; map<string, uint64> c = 3;"),
        expect![[r"
            proto/t.proto:3: `bireme.v1.M.a` was `uint32`, is `uint64`
            proto/t.proto:3: `bireme.v1.M.b` was `bireme.v1.A`, is `bireme.v1.E`
            proto/t.proto:3: `bireme.v1.M.c` was `map<string, uint32>`, is `map<string, uint64>`"]],
    );
}

#[test]
fn label_changed() {
    check(
        &field("uint32 a = 1; uint32 b = 2;"),
        &field("repeated uint32 a = 1; optional uint32 b = 2;"),
        expect![[r"
            proto/t.proto:3: `bireme.v1.M.a` was `uint32`, is `repeated uint32`
            proto/t.proto:3: `bireme.v1.M.b` was `uint32`, is `optional uint32`"]],
    );
}

#[test]
fn name_changed() {
    check(
        &field("uint32 a = 1;"),
        &field("uint32 b = 1;"),
        expect!["proto/t.proto:3: number 1 of `bireme.v1.M` was `a`, is `b`"],
    );
}

#[test]
fn number_changed() {
    check(
        &field("uint32 a = 1;"),
        &field("uint32 a = 2;"),
        expect!["proto/t.proto:3: `bireme.v1.M.a` was number 1, is 2"],
    );
}

#[test]
fn oneof_membership_changed() {
    check(
        &field("oneof o { uint32 a = 1; uint32 b = 2; } uint32 c = 3;"),
        &field("uint32 a = 1; oneof p { uint32 b = 2; uint32 c = 3; }"),
        expect![[r"
            proto/t.proto:3: `bireme.v1.M.a` was `uint32 in oneof o`, is `uint32`
            proto/t.proto:3: `bireme.v1.M.b` was `uint32 in oneof o`, is `uint32 in oneof p`
            proto/t.proto:3: `bireme.v1.M.c` was `uint32`, is `uint32 in oneof p`"]],
    );
}

#[test]
fn removed_without_reserving_both_number_and_name() {
    for half in ["", "reserved 1;", "reserved \"a\";"] {
        check(
            &field("uint32 a = 1;"),
            &field(half),
            expect![[r#"
                proto/t.proto:3: `bireme.v1.M.a` was removed: `reserved 1;` and `reserved "a";`"#]],
        );
    }
    check(&field("uint32 a = 1;"), &field("reserved 1; reserved \"a\";"), expect![""]);
}

#[test]
fn reservation_dropped_or_reused() {
    check(
        &field("reserved 1, 3 to 5; reserved \"a\";"),
        &field("uint32 a = 1; reserved 3 to 4;"),
        expect![[r"
            proto/t.proto:3: `bireme.v1.M` must go on reserving the numbers 1 to 1
            proto/t.proto:3: `bireme.v1.M` must go on reserving the numbers 3 to 5
            proto/t.proto:3: `bireme.v1.M` must go on reserving the name `a`"]],
    );
    check(&field("reserved 3 to 5, 6;"), &field("reserved 3, 4 to 9;"), expect![""]);
}

#[test]
fn enum_number_name_and_removal() {
    check(
        "enum E { A = 0; B = 1; C = 2; D = 3; }",
        "enum E { A = 0; X = 1; C = 4; }",
        expect![[r#"
            proto/t.proto:3: number 1 of `bireme.v1.E` was `B`, is `X`
            proto/t.proto:3: `bireme.v1.E.C` was number 2, is 4
            proto/t.proto:3: `bireme.v1.E.D` was removed: `reserved 3;` and `reserved "D";`"#]],
    );
    check(
        "enum E { A = 0; B = 1; reserved 2; }",
        "enum E { A = 0; reserved 1 to 2; reserved \"B\"; }",
        expect![""],
    );
}

#[test]
fn message_enum_and_service_removed_or_swapped() {
    check(
        "message M {} enum E { A = 0; } message X {} service S {}",
        "enum X { B = 0; }",
        expect![[r"
            proto/t.proto: enum `bireme.v1.E` was removed
            proto/t.proto: message `bireme.v1.M` was removed
            proto/t.proto:3: message `bireme.v1.X` is now enum
            proto/t.proto: service `bireme.v1.S` was removed"]],
    );
}

#[test]
fn method_type_stream_role_and_removal() {
    let read = "{ option (role) = ROLE_READ; }";
    let old = method(&format!("rpc R(A) returns (B) {read}"));
    check(
        &old,
        &method(&format!("rpc R(B) returns (stream A) {read}")),
        expect![
            "proto/t.proto:3: method `bireme.v1.S.R` was `bireme.v1.A -> bireme.v1.B, unary, ROLE_READ`, is `bireme.v1.B -> bireme.v1.A, server stream, ROLE_READ`"
        ],
    );
    check(
        &old,
        &method("rpc R(A) returns (B) { option (role) = ROLE_ADMIN; }"),
        expect![
            "proto/t.proto:3: method `bireme.v1.S.R` was `bireme.v1.A -> bireme.v1.B, unary, ROLE_READ`, is `bireme.v1.A -> bireme.v1.B, unary, ROLE_ADMIN`"
        ],
    );
    check(
        &old,
        &method(&format!("rpc Q(A) returns (B) {read}")),
        expect!["proto/t.proto:3: method `bireme.v1.S.R` was removed"],
    );
}

#[test]
fn a_baseline_without_source_info_serves_as_well() {
    let old = pool(&field("uint32 a = 1;"));
    let stripped = old.file_descriptor_protos().cloned().map(|mut file| {
        file.source_code_info = None;
        file
    });
    let mut bare = protox::prost_reflect::DescriptorPool::new();
    bare.add_file_descriptor_protos(stripped).unwrap();
    let found = problems(&bare, &pool(&field("uint64 a = 1;")));
    assert_eq!(found, ["proto/t.proto:3: `bireme.v1.M.a` was `uint32`, is `uint64`"]);
}

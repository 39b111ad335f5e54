//! One bad chunk a test, each a small change to a good one.

use smallvec::smallvec;

use super::*;
use crate::graph::{ArrayInput, GraphOptions, Rows};
use crate::id::SubmissionId;

fn task(key: &str, deps: &[u32]) -> TaskSpec {
    TaskSpec {
        key: key.to_owned(),
        deps: deps.iter().map(|&dep| dep.into()).collect(),
        ..TaskSpec::default()
    }
}

fn chunk(tasks: Vec<TaskSpec>) -> GraphChunk {
    GraphChunk {
        submission: SubmissionId(1),
        graph: None,
        first_index: 0,
        tasks,
        arrays: Vec::new(),
        classes: vec![TaskClass::default()],
        externals: Vec::new(),
        outputs: Vec::new(),
        options: Some(GraphOptions::default()),
        last: true,
    }
}

fn array(count: u32, inputs: Vec<ArrayInput>) -> TaskArray {
    TaskArray {
        key_prefix: "row".to_owned(),
        count,
        class: 0,
        payload: bytes::Bytes::new(),
        rows: Rows::Range { start: 0, step: 1 },
        inputs,
        priority: 0,
        order: 0,
    }
}

fn refused(chunk: &GraphChunk) -> (Reason, String) {
    let refusal = chunk.check(&()).unwrap_err();
    (refusal.reason, refusal.field)
}

#[test]
fn a_diamond_in_any_order_is_fine() {
    assert_eq!(
        chunk(vec![task("a", &[]), task("b", &[0]), task("c", &[0]), task("d", &[1, 2])])
            .check(&()),
        Ok(())
    );
    assert_eq!(
        chunk(vec![task("d", &[1, 2]), task("b", &[3]), task("c", &[3]), task("a", &[])])
            .check(&()),
        Ok(())
    );
}

#[test]
fn what_a_task_names_must_exist() {
    assert_eq!(
        refused(&chunk(vec![task("a", &[1])])),
        (Reason::DependencyUnknown, "tasks[0].deps".into())
    );
    let class = TaskSpec { class: 1, ..task("a", &[]) };
    assert_eq!(refused(&chunk(vec![class])), (Reason::ClassUnknown, "tasks[0].class".into()));
    let external = TaskSpec { externals: smallvec![0], ..task("a", &[]) };
    assert_eq!(
        refused(&chunk(vec![external])),
        (Reason::DependencyUnknown, "tasks[0].externals".into())
    );
    let mut output = chunk(vec![task("a", &[]), task("b", &[0])]);
    output.tasks[1].deps[0].output = 1;
    assert_eq!(refused(&output), (Reason::OutputUnknown, "tasks[1].deps".into()));
    let listed = GraphChunk { outputs: vec![9], ..chunk(vec![task("a", &[])]) };
    assert_eq!(refused(&listed), (Reason::TaskUnknown, "outputs".into()));
}

#[test]
fn circles_are_found() {
    assert_eq!(refused(&chunk(vec![task("a", &[0])])).0, Reason::DependencySelf);
    let circle = chunk(vec![task("a", &[]), task("b", &[0, 3]), task("c", &[1]), task("d", &[2])]);
    assert_eq!(refused(&circle), (Reason::GraphCycle, "tasks[1].deps".into()));
}

#[test]
fn sizes_are_bounded() {
    let key = chunk(vec![task(&"k".repeat(limits::KEY_BYTES + 1), &[])]);
    assert_eq!(refused(&key).0, Reason::KeyInvalid);
    let control = chunk(vec![task("a\nb", &[])]);
    assert_eq!(refused(&control).0, Reason::KeyInvalid);
    let payload = TaskSpec { payload: vec![0; limits::PAYLOAD_BYTES + 1].into(), ..task("a", &[]) };
    assert_eq!(refused(&chunk(vec![payload])).0, Reason::PayloadTooLarge);
    let many = chunk(vec![TaskSpec::default(); limits::CHUNK_TASKS + 1]);
    assert_eq!(refused(&many).0, Reason::GraphTooLarge);
    let mut rows = chunk(Vec::new());
    rows.arrays = vec![array(limits::GRAPH_TASKS, Vec::new()), array(1, Vec::new())];
    assert_eq!(refused(&rows).0, Reason::GraphTooLarge);
    let mut outputs = chunk(Vec::new());
    outputs.classes[0].outputs = limits::TASK_OUTPUTS + 1;
    assert_eq!(refused(&outputs).0, Reason::GraphTooLarge);
}

#[test]
fn arrays_take_what_comes_before_them() {
    let mut two = chunk(vec![task("a", &[])]);
    two.arrays =
        vec![array(3, Vec::new()), array(3, vec![ArrayInput { first: 1, stride: 1, output: 0 }])];
    assert_eq!(two.check(&()), Ok(()));
    two.arrays[1].inputs[0].first = 2;
    assert_eq!(refused(&two), (Reason::DependencyUnknown, "arrays[1].inputs".into()));
    two.arrays[1] = TaskArray { rows: Rows::Values(Vec::new()), ..array(2, Vec::new()) };
    assert_eq!(refused(&two), (Reason::Malformed, "arrays[1].rows".into()));
}

#[test]
fn chunks_come_in_order() {
    let late = GraphChunk { first_index: 5, ..chunk(vec![task("a", &[])]) };
    assert_eq!(refused(&late), (Reason::ChunkOrder, "first_index".into()));
}

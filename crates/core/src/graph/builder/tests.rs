//! What is built, and how it is cut.

use super::*;
use crate::graph::{ArrayInput, GraphChunk, Rows};

fn build(tasks: u32) -> Vec<GraphChunk> {
    let mut builder = GraphBuilder::new(GraphOptions::default());
    let class = builder.class(TaskClass::default());
    assert_eq!(builder.class(TaskClass::default()), class);
    for n in 0..tasks {
        let deps = n.checked_sub(1).map(Into::into).into_iter().collect();
        let task = TaskSpec {
            key: format!("t{n}"),
            class,
            deps,
            payload: vec![0; 50].into(),
            ..TaskSpec::default()
        };
        assert_eq!(builder.task(task), Ok(n));
    }
    let mut n = 0;
    let submission = || {
        n += 1;
        SubmissionId(n)
    };
    builder.into_chunks(None, submission).collect()
}

/// An array whose rows take the outputs of as many tasks from there on.
fn array(prefix: &str, count: u32, first: Option<u32>) -> TaskArray {
    let input = |first| ArrayInput { first, stride: 1, output: 0 };
    TaskArray {
        key_prefix: prefix.into(),
        count,
        class: 0,
        payload: bytes::Bytes::new(),
        rows: Rows::Range { start: 0, step: 1 },
        inputs: first.map(input).into_iter().collect(),
        priority: 0,
        order: 0,
    }
}

fn task(deps: &[u32]) -> TaskSpec {
    TaskSpec { deps: deps.iter().copied().map(Into::into).collect(), ..TaskSpec::default() }
}

enum Part {
    Array(TaskArray),
    Task(TaskSpec),
}

/// The orders of the parts of a graph.
fn orders(parts: Vec<Part>) -> Vec<u32> {
    let mut builder = GraphBuilder::new(GraphOptions::default());
    for part in parts {
        let added = match part {
            Part::Array(array) => builder.array(array),
            Part::Task(task) => builder.task(task),
        };
        assert!(added.is_ok());
    }
    let mut orders = Vec::new();
    for chunk in builder.into_chunks(None, || SubmissionId(0)) {
        orders.extend(chunk.tasks.iter().map(|task| task.order));
        orders.extend(chunk.arrays.iter().map(|array| array.order));
    }
    orders
}

#[test]
fn chunks_follow_each_other_and_fit() {
    let chunks = build(5_000);
    assert!(chunks.len() > 2);
    let mut next = 0;
    for (n, chunk) in chunks.iter().enumerate() {
        assert_eq!(chunk.first_index, next);
        next += u32::try_from(chunk.task_count()).unwrap();
        assert_eq!((chunk.options.is_some(), chunk.last), (n == 0, n + 1 == chunks.len()));
    }
    assert_eq!(next, 5_000);
    assert_eq!(chunks[0].check(&()), Ok(()));
}

#[test]
fn an_empty_graph_is_one_chunk() {
    let chunks = build(0);
    assert_eq!(chunks.len(), 1);
    assert!(chunks[0].last && chunks[0].options.is_some());
}

#[test]
fn a_task_after_an_array_keeps_its_index() {
    let mut builder = GraphBuilder::new(GraphOptions::default());
    builder.class(TaskClass::default());
    assert_eq!(builder.array(array("a", 7, None)), Ok(0));
    assert_eq!(builder.task(TaskSpec { key: "b".into(), ..TaskSpec::default() }), Ok(7));
    assert_eq!(
        builder.task(TaskSpec { key: "b".into(), ..TaskSpec::default() }).unwrap_err().reason,
        Reason::KeyDuplicate
    );
    let chunks = builder.into_chunks(None, || SubmissionId(0));
    assert_eq!(chunks.map(|chunk| chunk.first_index).collect::<Vec<_>>(), [0, 7]);
}

#[test]
fn tasks_get_orders_where_they_make_a_difference() {
    let tasks =
        |deps: &[&[u32]]| deps.iter().map(|deps| Part::Task(task(deps))).collect::<Vec<_>>();
    let tree: [&[u32]; 7] = [&[], &[], &[], &[], &[0, 1], &[2, 3], &[4, 5]];
    assert_eq!(orders(tasks(&tree)), [0, 1, 3, 4, 2, 5, 6]);
    assert_eq!(orders(tasks(&[&[], &[], &[]])), [0, 0, 0]);
    assert_eq!(orders(tasks(&[&[], &[0], &[1]])), [0, 0, 0]);
    let mut set = tasks(&tree);
    set[3] = Part::Task(TaskSpec { order: 9, ..task(&[]) });
    assert_eq!(orders(set), [0, 0, 0, 9, 0, 0, 0]);
}

#[test]
fn what_takes_rows_of_an_array_goes_before_further_rows() {
    let rows = Part::Array(array("a", 4, None));
    let more = Part::Array(array("b", 4, Some(0)));
    // Rows 0 to 3 go at 4, 5, 6 and 7; what takes rows 0 and 1 at 2, what takes 2 and 3 at 5.
    let merges = [Part::Task(task(&[0, 1])), Part::Task(task(&[2, 3]))];
    let merged = orders([rows].into_iter().chain(merges).collect());
    assert_eq!(merged, [4, 2, 5]);
    // Row 0 of `a`, row 0 of `b`, row 1 of `a`: where two are equal, the index decides.
    assert_eq!(orders(vec![Part::Array(array("a", 4, None)), more]), [6, 7]);
    let apart = vec![Part::Array(array("a", 4, None)), Part::Array(array("b", 4, None))];
    assert_eq!(orders(apart), [0, 4]);
}

#[test]
fn keys_are_refused_wherever_they_were_taken() {
    let mut builder = GraphBuilder::new(GraphOptions::default());
    for n in 0..3_000 {
        let key = format!("task {n}");
        builder
            .task(TaskSpec { key, payload: vec![0; 100].into(), ..TaskSpec::default() })
            .unwrap();
    }
    builder.array(array("rows of one", 10, None)).unwrap();
    builder.array(array("rows of another", 10, None)).unwrap();
    for (key, owner) in [("task 0", 0), ("task 2999", 2_999), ("rows of another", 3_010)] {
        let again = TaskSpec { key: key.to_owned(), ..TaskSpec::default() };
        let refusal = builder.task(again).unwrap_err();
        assert_eq!(refusal.message, format!("key {key:?} is taken by task {owner}"));
    }
    assert_eq!(builder.len(), 3_020, "what is refused is not added");
}

#[test]
fn what_is_taken_is_known_before_the_graph_is_cut() {
    let mut builder = GraphBuilder::new(GraphOptions::default());
    builder.task(task(&[])).unwrap();
    builder.task(task(&[0, 7])).unwrap();
    builder.array(array("a", 3, Some(4))).unwrap();
    let mut taken: Vec<u32> = builder.taken().collect();
    taken.sort_unstable();
    assert_eq!(taken, [0, 4, 5, 6, 7]);
}

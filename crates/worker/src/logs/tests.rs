//! What is printed, and who reads it.

use std::time::Duration;

use bireme_core::AttemptId;
use bireme_core::id::{ActorId, AttemptNo, Epoch, GraphId, Incarnation, TaskId};
use tempfile::TempDir;

use super::*;

const GUARD: Duration = Duration::from_mins(1);

struct Bench {
    logs: Arc<Logs>,
    directory: TempDir,
}

impl Bench {
    fn new(bounds: Bounds) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("logs");
        Self { logs: Logs::with_bounds(path, Clock::start(), bounds), directory }
    }

    fn files(&self) -> usize {
        lock(&self.logs.segments).files()
    }

    fn reader(&self, query: Query) -> Reader {
        self.logs.read(query).expect("there is room for a reader")
    }

    /// All that a query finds.
    async fn read(&self, query: Query) -> Vec<Piece> {
        let (mut reader, mut pieces) = (self.reader(query), Vec::new());
        while let Some(piece) = next(&mut reader).await {
            pieces.push(piece);
        }
        pieces
    }

    async fn text(&self, query: Query) -> String {
        text(&self.read(query).await)
    }
}

async fn next(reader: &mut Reader) -> Option<Piece> {
    tokio::time::timeout(GUARD, reader.next()).await.expect("nothing comes").unwrap()
}

fn text(pieces: &[Piece]) -> String {
    pieces.iter().map(|piece| str::from_utf8(&piece.text).unwrap()).collect()
}

fn attempt(index: u32, n: u32) -> AttemptId {
    let task = TaskId { graph: GraphId(1), index };
    AttemptId { task, no: AttemptNo { epoch: Epoch(1), n } }
}

fn all(index: u32) -> Query {
    let subject = Subject::Task(attempt(index, 1).task);
    Query { subject, no: None, stream: None, tail_lines: 0, follow: false, cursor: 0 }
}

fn small() -> Bounds {
    Bounds { bytes: 8, records: 100, segments: 2 }
}

#[tokio::test]
async fn what_was_printed_is_read_in_order_and_by_what_is_asked_for() {
    let bench = Bench::new(Bounds::default());
    let (first, other) = (bench.logs.open(attempt(0, 1)), bench.logs.open(attempt(1, 1)));
    first.write(Stream::Stdout, b"out\n");
    other.write(Stream::Stdout, b"of another task\n");
    first.write(Stream::Stderr, b"err\n");
    drop(first);
    bench.logs.open(attempt(0, 2)).write(Stream::Stdout, b"again\n");
    assert_eq!(bench.text(all(0)).await, "out\nerr\nagain\n");
    let stderr = Query { stream: Some(Stream::Stderr), ..all(0) };
    assert_eq!(bench.text(stderr).await, "err\n");
    let second = Query { no: Some(attempt(0, 2).no), ..all(0) };
    assert_eq!(bench.text(second).await, "again\n");
    let pieces = bench.read(all(0)).await;
    assert_eq!(pieces[2].author.attempt(), Some(attempt(0, 2)));
    assert!(pieces.iter().all(|piece| !piece.lagged));
    let rest = Query { cursor: pieces[0].cursor, ..all(0) };
    assert_eq!(bench.text(rest).await, "err\nagain\n");
}

#[tokio::test]
async fn incarnations_of_an_actor_are_read_together_and_apart() {
    let bench = Bench::new(Bounds::default());
    let lives = [1, 2].map(|n| Author::incarnation(ActorId(7), Incarnation(n)));
    for (author, text) in lives.into_iter().zip(["first ", "second "]) {
        bench.logs.open(author).write(Stream::Stdout, text.as_bytes());
    }
    bench.logs.open(attempt(0, 1)).write(Stream::Stdout, b"a task's");
    let both = Query { subject: Subject::Actor(ActorId(7)), ..all(0) };
    assert_eq!(bench.text(both).await, "first second ");
    assert_eq!(bench.text(Query { no: Some(lives[1].no), ..both }).await, "second ");
    let shared = Query { subject: Subject::Process(1), ..both };
    assert_eq!(bench.text(shared).await, "");
}

#[tokio::test]
async fn who_prints_nothing_leaves_nothing() {
    let bench = Bench::new(Bounds::default());
    drop(bench.logs.open(attempt(0, 1)));
    assert_eq!(bench.files(), 0);
    assert_eq!(std::fs::read_dir(bench.directory.path()).unwrap().count(), 0);
    assert!(lock(&bench.logs.running).is_empty());
    assert!(bench.read(all(0)).await.is_empty());
}

#[tokio::test]
async fn files_have_no_name_to_be_left_behind() {
    let bench = Bench::new(Bounds::default());
    bench.logs.open(attempt(0, 1)).write(Stream::Stdout, b"x");
    assert_eq!(bench.files(), 1);
    assert_eq!(std::fs::read_dir(bench.directory.path().join("logs")).unwrap().count(), 0);
}

#[tokio::test]
async fn the_last_lines_are_counted_over_all_pieces() {
    let bench = Bench::new(Bounds { records: 1, segments: 100, ..Bounds::default() });
    let writer = bench.logs.open(attempt(0, 1));
    for part in ["a\nb", "b\n", "c\nd\n"] {
        writer.write(Stream::Stdout, part.as_bytes());
        writer.write(Stream::Stderr, b"e\n");
    }
    let tail = |tail_lines| Query { tail_lines, stream: Some(Stream::Stdout), ..all(0) };
    for (lines, wanted) in
        [(1, "d\n"), (2, "c\nd\n"), (3, "bb\nc\nd\n"), (4, "a\nbb\nc\nd\n"), (9, "a\nbb\nc\nd\n")]
    {
        assert_eq!(bench.text(tail(lines)).await, wanted, "{lines}");
    }
    writer.write(Stream::Stdout, b"open");
    assert_eq!(bench.text(tail(2)).await, "d\nopen");
}

#[tokio::test]
async fn a_reader_follows_until_the_last_attempt_has_ended() {
    let bench = Bench::new(Bounds::default());
    let writer = bench.logs.open(attempt(0, 1));
    let mut reader = bench.reader(Query { follow: true, ..all(0) });
    for text in ["one\n", "two\n"] {
        let (piece, ()) = tokio::join!(next(&mut reader), async {
            writer.write(Stream::Stdout, text.as_bytes());
        });
        assert_eq!(piece.unwrap().text, text);
    }
    let late = bench.logs.open(attempt(0, 2));
    drop(writer);
    let (piece, ()) = tokio::join!(next(&mut reader), async {
        late.write(Stream::Stderr, b"last");
        drop(late);
    });
    assert_eq!(piece.unwrap().text, "last");
    assert!(next(&mut reader).await.is_none());
}

#[tokio::test]
async fn the_oldest_is_dropped_and_readers_are_told() {
    let bench = Bench::new(small());
    let writer = bench.logs.open(attempt(0, 1));
    let mut reader = bench.reader(Query { follow: true, ..all(0) });
    writer.write(Stream::Stdout, b"0000");
    assert!(!next(&mut reader).await.unwrap().lagged);
    for part in ["1111", "2222", "3333", "4444", "5555"] {
        writer.write(Stream::Stdout, part.as_bytes());
    }
    assert_eq!(bench.files(), 2);
    let kept = bench.read(all(0)).await;
    assert_eq!(text(&kept), "2222333344445555");
    let lagged: Vec<_> = kept.iter().map(|piece| piece.lagged).collect();
    assert_eq!(lagged, [true, false]);
    // Who had read the first has missed the second.
    assert!(next(&mut reader).await.unwrap().lagged);
    assert!(!next(&mut reader).await.unwrap().lagged);
    // What was printed to another stream, or asked for with the last lines, hides nothing.
    let tail = bench.read(Query { tail_lines: 1, ..all(0) }).await;
    assert!(tail[0].lagged, "the line began in what was dropped");
}

#[tokio::test]
async fn what_others_print_makes_nobody_lag() {
    let bench = Bench::new(small());
    let (loud, quiet) = (bench.logs.open(attempt(0, 1)), bench.logs.open(attempt(1, 1)));
    for _ in 0..10 {
        loud.write(Stream::Stdout, b"loud");
    }
    quiet.write(Stream::Stdout, b"quiet");
    let read = bench.read(all(1)).await;
    assert_eq!((text(&read).as_str(), read[0].lagged), ("quiet", false));
    for _ in 0..10 {
        loud.write(Stream::Stdout, b"loud");
    }
    assert!(bench.read(all(1)).await.is_empty());
    quiet.write(Stream::Stdout, b"more");
    assert!(bench.read(all(1)).await[0].lagged, "its first piece is dropped");
}

#[tokio::test]
async fn what_cannot_be_written_is_a_gap() {
    let bench = Bench::new(small());
    // A file stands where the directory belongs.
    let path = bench.directory.path().join("logs");
    std::fs::write(&path, "").unwrap();
    let writer = bench.logs.open(attempt(0, 1));
    writer.write(Stream::Stdout, b"lost");
    std::fs::remove_file(&path).unwrap();
    writer.write(Stream::Stdout, b"kept");
    let read = bench.read(all(0)).await;
    assert_eq!((text(&read).as_str(), read[0].lagged), ("kept", true));
}

#[tokio::test]
async fn readers_are_bounded() {
    let bench = Bench::new(Bounds::default());
    let readers: Vec<_> = (0..limits::LOG_READERS).map(|_| bench.reader(all(0))).collect();
    assert!(bench.logs.read(all(0)).is_none());
    drop(readers);
    assert!(bench.logs.read(all(0)).is_some());
}

#[tokio::test]
async fn long_output_comes_in_pieces() {
    let bench = Bench::new(Bounds::default());
    let long = vec![b'x'; 3 * limits::LOG_CHUNK_BYTES + 1];
    bench.logs.open(attempt(0, 1)).write(Stream::Stdout, &long);
    let read = bench.read(all(0)).await;
    assert!(read.iter().all(|piece| piece.text.len() <= limits::LOG_CHUNK_BYTES));
    assert_eq!(text(&read).len(), long.len());
}

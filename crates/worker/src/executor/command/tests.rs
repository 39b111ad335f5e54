//! Real processes.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bireme_core::id::{AttemptNo, Epoch, GraphId, TaskId};
use bireme_core::{ObjectId, Resources, Span, Time};
use bireme_proto::pb;
use smallvec::SmallVec;
use tempfile::TempDir;
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe;

use super::*;
use crate::inbox::{Inbox, Told};
use crate::logs::{Query, Reader, Subject};
use crate::machine::{Event, Execution};
use crate::rpc::payload::make;
use crate::store::Store;
use crate::store::Stored;

const GUARD: Duration = Duration::from_mins(1);

struct Bench {
    commands: Commands,
    relay: Arc<Relay>,
    logs: Arc<Logs>,
    inbox: Arc<Inbox>,
    store: Arc<Store>,
    directory: TempDir,
}

impl Bench {
    fn new() -> Self {
        let (inbox, store) = (Arc::new(Inbox::default()), Arc::new(Store::scratch()));
        let relay = Arc::new(Relay::new(inbox.clone(), store.clone(), "w".to_owned()));
        let (clock, directory) = (Clock::start(), tempfile::tempdir().unwrap());
        let logs = Logs::new(directory.path().join("logs"), clock);
        let shell = Shell {
            clock,
            environment: Arc::new(Environment::new("w".to_owned(), &Resources::one_cpu())),
            logs: logs.clone(),
            scratch: Scratch::create(&directory.path().join("attempts")).unwrap(),
        };
        let commands = Commands::new(relay.clone(), shell);
        Self { commands, relay, logs, inbox, store, directory }
    }

    fn start(&self, command: pb::Command, outputs: u16) {
        self.commands.start(job(command, outputs));
    }

    /// Waits until something is told.
    async fn told(&self) -> Vec<Event> {
        let mut told = Vec::new();
        while told.is_empty() {
            tokio::time::timeout(GUARD, self.inbox.filled()).await.expect("the command goes on");
            self.inbox.take(&mut told);
        }
        let events = told.into_iter().map(|told| match told {
            Told::Event(event) => event,
            other => panic!("{other:?} is for others"),
        });
        events.collect()
    }

    /// Waits for the attempt's end: how it failed, or its outputs as text.
    async fn end(&self) -> Result<Vec<String>, Box<TaskError>> {
        let Some(Event::Ended { outcome, .. }) = self.told().await.pop() else {
            panic!("something else was told");
        };
        let outputs = (0_u16..).take(outcome?.len()).map(|n| {
            let stored = self.store.get(ObjectId::output(attempt().task, n)).expect("it is stored");
            String::from_utf8(stored.value.bytes().unwrap().into()).unwrap()
        });
        Ok(outputs.collect())
    }

    async fn run(&self, command: pb::Command) -> Result<String, Box<TaskError>> {
        self.start(command, 1);
        self.end().await.map(|outputs| outputs.concat())
    }
}

fn attempt() -> AttemptId {
    nth(0)
}

fn nth(index: u32) -> AttemptId {
    let no = AttemptNo { epoch: Epoch(1), n: 1 };
    AttemptId { task: TaskId { graph: GraphId(1), index }, no }
}

fn job(command: pb::Command, outputs: u16) -> Job {
    job_of(attempt(), command, outputs)
}

fn job_of(attempt: AttemptId, command: pb::Command, outputs: u16) -> Job {
    let execution = Execution {
        attempt,
        key: "key".to_owned(),
        payload: make::command(command),
        inputs: SmallVec::new(),
        resources: Resources::one_cpu(),
        held: bireme_core::resources::Pieces::none(),
        outputs,
        timeout: None,
        row: bireme_core::graph::Row::None,
        runtime: Runtime::Command,
    };
    let inputs = SmallVec::from_iter([Stored::of(Value::text("from an input"))]);
    Job::new(Box::new(execution), inputs, Time(0))
}

fn sh(script: &str) -> pb::Command {
    let argv = ["sh", "-c", script].map(str::to_owned).to_vec();
    pb::Command { argv, ..pb::Command::default() }
}

#[tokio::test]
async fn input_goes_in_and_output_comes_out() {
    let bench = Bench::new();
    let cat = pb::Command { stdin: Some(make::input(0)), ..sh("cat; echo talk >&2") };
    assert_eq!(bench.run(cat).await.unwrap(), "from an input");
    let several = make::list([make::input(0), make::value(Value::text(", and more"))]);
    let cat = pb::Command { stdin: Some(several), ..sh("cat") };
    assert_eq!(bench.run(cat).await.unwrap(), "from an input, and more");
    let unread =
        pb::Command { stdin: Some(make::value(Value::raw(vec![0; 1 << 20]))), ..sh("true") };
    assert_eq!(bench.run(unread).await.unwrap(), "");
    let discard = pb::Command { stdout: pb::Capture::Discard.into(), ..sh("echo x") };
    assert_eq!(bench.run(discard).await.unwrap(), "");
}

#[tokio::test]
async fn files_are_laid_out_and_collected() {
    let bench = Bench::new();
    let file = |path: &str, content: &str, executable| pb::InputFile {
        path: path.to_owned(),
        content: Some(make::value(Value::text(content))),
        executable,
    };
    let command = pb::Command {
        files: vec![file("in/a", "A", false), file("run", "#!/bin/sh\necho ran; pwd >&2\n", true)],
        output_globs: vec!["out/*".into(), "in/a".into()],
        ..sh("mkdir out; cp in/a out/2; ./run; ./run > out/1")
    };
    bench.start(command, 4);
    assert_eq!(bench.end().await.unwrap(), ["ran\n", "ran\n", "A", "A"]);
    bench.start(pb::Command { output_globs: vec!["*.csv".into()], ..sh("true") }, 2);
    let error = bench.end().await.unwrap_err();
    assert!(error.message.contains("left 1 outputs, the task's class declares 2"), "{error}");
}

#[tokio::test]
async fn an_exit_code_counts_as_the_command_says() {
    let bench = Bench::new();
    let error = bench.run(sh("echo one >&2; echo two >&2; exit 3")).await.unwrap_err();
    assert_eq!((error.class, error.reason.as_str()), (ErrorClass::User, "COMMAND_FAILED"));
    assert_eq!(error.exit, Some(Exit { code: 3, signal: 0 }));
    assert_eq!(error.last_lines, ["one", "two"]);
    assert_eq!(error.message, "\"sh\" ended with exit code 3");
    let grep = pb::Command { ok_exit: vec![0, 1], ..sh("exit 1") };
    assert!(bench.run(grep).await.is_ok());
}

#[tokio::test]
async fn a_signal_is_told() {
    let error = Bench::new().run(sh("kill -9 $$")).await.unwrap_err();
    assert_eq!((error.class, error.reason.as_str()), (ErrorClass::ProcessDied, "PROCESS_DIED"));
    assert_eq!(error.exit, Some(Exit { code: 0, signal: 9 }));
}

#[tokio::test]
async fn a_missing_program_is_named() {
    let bench = Bench::new();
    for program in ["no-such-program", "./no-such-program", "/no/such/program"] {
        let argv = vec![program.to_owned()];
        let error = bench.run(pb::Command { argv, ..sh("") }).await.unwrap_err();
        assert_eq!(error.class, ErrorClass::NotFound, "{program}");
        assert_eq!(error.reason, "COMMAND_MISSING", "{program}");
        assert!(error.message.contains(program), "{error}");
    }
}

#[tokio::test]
async fn only_what_is_given_is_in_the_environment() {
    let given = pb::EnvironmentVariable { name: "GIVEN".into(), value: "yes".into() };
    let names = "env | cut -d= -f1 | grep -vE '^(PATH|HOME|LANG|TMPDIR|PWD|SHLVL|_|OLDPWD|BIREME_.*|.*_NUM_THREADS)$'";
    let command = pb::Command { environment: vec![given], ..sh(names) };
    assert_eq!(Bench::new().run(command).await.unwrap(), "GIVEN\n");
    // Cargo sets it for tests.
    let inherited = pb::Command { inherit_environment: true, ..sh("echo $CARGO_PKG_NAME") };
    assert_eq!(Bench::new().run(inherited).await.unwrap(), "bireme-worker\n");
}

#[tokio::test]
async fn a_kill_takes_the_whole_group() {
    let bench = Bench::new();
    let directory = tempfile::tempdir().unwrap();
    let fifo = directory.path().join("fifo");
    let made = std::process::Command::new("mkfifo").arg(&fifo).status().unwrap();
    assert!(made.success());
    let mut held = pipe::OpenOptions::new().open_receiver(&fifo).unwrap();
    let command = pb::Command {
        working_directory: directory.path().to_str().unwrap().to_owned(),
        ..sh("trap '' TERM; { echo up; exec sleep 600; } > fifo & exec sleep 600")
    };
    bench.start(command, 1);
    let up = async {
        // Until the background process has opened its end, reading finds nothing.
        while held.read(&mut [0; 3]).await.unwrap() == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(GUARD, up).await.expect("the command did not come so far");
    bench.commands.kill(attempt(), Kill { grace: Span::millis(1), timed_out: true });
    let error = bench.end().await.unwrap_err();
    assert_eq!((error.class, error.reason.as_str()), (ErrorClass::Timeout, "TIMED_OUT"));
    assert_eq!(error.exit, Some(Exit { code: 0, signal: 9 }));
    // The background process held the other end: it is gone when this reads the end of the pipe.
    let mut rest = Vec::new();
    let read = held.read_to_end(&mut rest);
    tokio::time::timeout(GUARD, read).await.expect("a process is left").unwrap();
}

#[tokio::test]
async fn what_a_command_leaves_running_does_not_keep_it() {
    let output = Bench::new().run(sh("sleep 600 & echo done")).await;
    assert_eq!(output.unwrap(), "done\n");
}

#[tokio::test]
async fn closing_leaves_no_process() {
    let bench = Bench::new();
    bench.start(sh("trap '' TERM; sleep 600"), 1);
    tokio::time::timeout(GUARD, bench.commands.close()).await.expect("closing takes for ever");
    assert_eq!(bench.end().await.unwrap_err().reason, "CANCELLED");
    bench.start(sh("true"), 1);
    // Nothing starts any more: nobody is left when this returns at once.
    tokio::time::timeout(GUARD, bench.commands.close()).await.expect("something has started");
}

#[tokio::test]
async fn more_input_than_memory_is_meant_to_hold_is_refused_before_it_is_read() {
    let bench = Bench::new();
    let mut job = job(sh("true"), 1);
    let large = Value { size: limits::COMMAND_BYTES, ..Value::text("x") };
    job.inputs.push(Stored::of(large));
    bench.commands.start(job);
    let error = bench.end().await.unwrap_err();
    assert_eq!((error.class, error.reason.as_str()), (ErrorClass::Store, "VALUE_TOO_LARGE"));
    assert!(error.message.contains("1073741837 bytes together"), "{}", error.message);
}

#[tokio::test]
async fn more_output_files_than_memory_is_meant_to_hold_are_refused() {
    // Files without blocks: they are long and take no room.
    let files = pb::Command {
        output_globs: vec!["*".to_owned()],
        ..sh("for n in 1 2 3 4 5; do truncate -s 256M $n; done")
    };
    let bench = Bench::new();
    bench.start(files, 5);
    let error = bench.end().await.unwrap_err();
    assert_eq!((error.class, error.reason.as_str()), (ErrorClass::Store, "VALUE_TOO_LARGE"));
}

#[tokio::test]
async fn more_memory_than_was_stated_ends_a_command_and_all_that_it_started() {
    let bench = Bench::new();
    // Not the shell itself but what it has started takes the memory, and would go on for ever.
    let mut job = job(sh("sh -c 'x=x; while :; do x=$x$x; done'; true"), 1);
    job.execution.resources = Resources::new(10_000, 16 << 20);
    bench.commands.start(job);
    let error = bench.end().await.unwrap_err();
    assert_eq!((error.class, error.reason.as_str()), (ErrorClass::OutOfMemory, "OUT_OF_MEMORY"));
    assert!(error.message.contains("the attempt stated 16777216"), "{}", error.message);
}

#[tokio::test]
async fn endless_output_is_bounded() {
    let error = Bench::new().run(sh("exec cat /dev/zero")).await.unwrap_err();
    assert_eq!((error.class, error.reason.as_str()), (ErrorClass::Store, "VALUE_TOO_LARGE"));
}

#[tokio::test]
async fn a_command_knows_who_it_is_and_has_the_last_word() {
    let given = pb::EnvironmentVariable { name: "OMP_NUM_THREADS".into(), value: "7".into() };
    let names = "$BIREME_TASK_KEY $BIREME_ATTEMPT $BIREME_WORKER $BIREME_CPUS $OMP_NUM_THREADS $MKL_NUM_THREADS";
    let command = pb::Command { environment: vec![given], ..sh(&format!("echo {names}")) };
    assert_eq!(Bench::new().run(command).await.unwrap(), "key 0.1/0#1.1 w 1 7 1\n");
}

fn follow(bench: &Bench) -> Reader {
    let (attempt, stream, cursor) = (None, None, 0);
    let subject = Subject::Task(nth(0).task);
    let query = Query { subject, no: attempt, stream, tail_lines: 0, follow: true, cursor };
    bench.logs.read(query).expect("there is room for a reader")
}

/// The next text in a log; `None` at its end.
async fn next(reader: &mut Reader) -> Option<String> {
    let piece = tokio::time::timeout(GUARD, reader.next()).await.expect("nothing is printed");
    piece.unwrap().map(|piece| String::from_utf8(piece.text.into()).unwrap())
}

#[tokio::test]
async fn what_a_command_prints_is_read_while_it_runs() {
    let bench = Bench::new();
    let fifo = bench.directory.path().join("fifo");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let script = format!("echo one >&2; read word < {}; echo $word >&2; exit 1", fifo.display());
    bench.start(sh(&script), 1);
    // Before the command has begun nobody runs, and there is nothing to wait for.
    let (mut reader, first) = loop {
        let mut reader = follow(&bench);
        if let Some(first) = next(&mut reader).await {
            break (reader, first);
        }
    };
    assert_eq!(first, "one\n");
    std::fs::write(&fifo, "two\n").unwrap();
    assert_eq!(next(&mut reader).await.as_deref(), Some("two\n"));
    assert_eq!(next(&mut reader).await, None);
    assert_eq!(bench.end().await.unwrap_err().last_lines, ["one", "two"]);
}

#[tokio::test]
async fn a_silent_command_leaves_no_trace() {
    let bench = Bench::new();
    assert!(bench.run(sh("echo into the output")).await.is_ok());
    assert!(!bench.directory.path().join("logs").exists());
    let attempts = std::fs::read_dir(bench.directory.path().join("attempts")).unwrap();
    let scratch: Vec<_> = attempts.map(|entry| entry.unwrap().path()).collect();
    assert_eq!(scratch.len(), 1);
    let files = |path: &Path| std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
    // Its directory is kept for the next.
    let kept: Vec<_> = files(&scratch[0]).collect();
    assert_eq!(kept.iter().map(|path| files(path).count()).collect::<Vec<_>>(), [0]);
    drop(bench.commands);
}

#[tokio::test]
async fn a_run_of_commands_takes_one_thread() {
    const COMMANDS: u32 = 200;
    let bench = Bench::new();
    for n in 1..COMMANDS {
        bench.relay.follow(job_of(nth(n), sh("echo $BIREME_TASK_KEY > file; cat file"), 1));
    }
    bench.start(sh("true"), 1);
    let (mut ended, mut followed) = (0, 0);
    while ended < COMMANDS {
        for event in bench.told().await {
            let Event::Ended { attempt, outcome, next, .. } = event else { panic!("{event:?}") };
            assert!(outcome.is_ok(), "{outcome:?}");
            assert_eq!(attempt, nth(ended));
            ended += 1;
            followed += u32::from(next.is_some());
        }
    }
    assert_eq!((followed, bench.commands.crew.threads()), (COMMANDS - 1, 1));
}

#[tokio::test]
async fn who_has_left_the_group_is_not_waited_for() {
    let bench = Bench::new();
    let pid = bench.directory.path().join("pid");
    let script = format!(
        "setsid sh -c 'echo $$ > {0}.new; mv {0}.new {0}; exec sleep 600' & \
            until [ -e {0} ]; do :; done; echo done",
        pid.display()
    );
    assert_eq!(bench.run(sh(&script)).await.unwrap(), "done\n");
    let left = std::fs::read_to_string(&pid).unwrap().trim().parse().unwrap();
    let left = rustix::process::Pid::from_raw(left).unwrap();
    rustix::process::kill_process(left, rustix::process::Signal::KILL).unwrap();
}

/// Starts a command that says when it is ready to be killed.
async fn ready(bench: &Bench, script: &str) {
    bench.start(sh(&format!("{script} echo ready >&2; sleep 600 & wait; exit 3")), 1);
    while next(&mut follow(bench)).await.is_none() {}
}

#[tokio::test]
async fn a_command_may_use_its_grace() {
    let bench = Bench::new();
    ready(&bench, "trap 'echo bye >&2; exit 4' TERM;").await;
    let grace = Span::secs(3_600);
    bench.commands.kill(attempt(), Kill { grace, timed_out: false });
    let error = bench.end().await.unwrap_err();
    assert_eq!((error.class, error.reason.as_str()), (ErrorClass::Cancelled, "CANCELLED"));
    assert_eq!(error.exit, Some(Exit { code: 4, signal: 0 }));
    assert_eq!(error.last_lines, ["ready", "bye"]);
}

#[tokio::test]
async fn a_grace_may_be_cut_short() {
    let bench = Bench::new();
    ready(&bench, "trap '' TERM;").await;
    bench.commands.kill(attempt(), Kill { grace: Span::secs(3_600), timed_out: true });
    bench.commands.kill(attempt(), Kill::AT_ONCE);
    let error = bench.end().await.unwrap_err();
    assert_eq!(error.reason, "TIMED_OUT", "the first reason counts");
    assert_eq!(error.exit, Some(Exit { code: 0, signal: 9 }));
}

#[tokio::test]
async fn what_a_command_took_is_told() {
    let bench = Bench::new();
    bench.start(sh("i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done"), 1);
    let Some(Event::Ended { timing, .. }) = bench.told().await.pop() else { panic!("no end") };
    assert!(timing.cpu > Span::ZERO && timing.cpu.0 <= timing.run.0 + 20_000, "{timing:?}");
    // A process is counted from before it has memory of its own: ours is not taken for its.
    assert_eq!(timing.peak_bytes, 0);
}

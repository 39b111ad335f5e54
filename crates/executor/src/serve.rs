//! The process as a whole.

use std::io;
use std::process;
use std::sync::Arc;
use std::thread;

use bireme_core::limits;
use bireme_core::reason::Refusal;
use tokio::runtime::Builder;
use tokio::sync::oneshot;

use crate::desk::Desk;
use crate::launch::Launch;
use crate::mark::Pen;
use crate::pool::Pool;
use crate::printed::Pipes;
use crate::runtime::Runtime;
use crate::stream;
use crate::turns::Turns;
use crate::usage::Meter;
use crate::work::Slot;

/// Why a process is an executor no more.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The worker ended the stream before it said anything.
    #[error("the worker ended the stream without a word")]
    Ended,
    /// The system gives no thread or no runtime.
    #[error("cannot become an executor: {0}")]
    Process(#[from] io::Error),
    /// The worker says why not.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Its first message did not come.
    #[error("the worker is silent for {}", limits::HELLO_WAIT)]
    Silent,
    /// Something between the two says no.
    #[error("{}", .0.message())]
    Status(Box<tonic::Status>),
    /// The socket cannot be reached.
    #[error("the worker cannot be reached: {0}")]
    Transport(#[from] tonic::transport::Error),
}

/// Runs the attempts that the worker gives, until it says to leave.
///
/// With one slot they run on the thread that calls this, which should be the process's first. If the worker goes while user
/// code runs, this does not return: nothing can make that code return, so the process ends.
pub fn serve<R: Runtime>(launch: Launch, runtime: &R) -> Result<(), ServeError> {
    let description = runtime.describe();
    let slots = description.slots.max(1);
    // Several slots would have to share them.
    let tracks = Tracks { mark: launch.mark.as_ref(), printed: launch.printed.as_ref() };
    let tracks = if slots == 1 { tracks } else { Tracks::default() };
    let mut builder = Builder::new_current_thread();
    let runtime_of_stream =
        builder.max_io_events_per_tick(limits::EXECUTOR_EVENTS).enable_all().build()?;
    let turns = Arc::new(Turns::new(runtime_of_stream));
    let desk = Arc::new(Desk::new(Arc::clone(&turns)));
    let (welcome, welcomed) = oneshot::channel();
    let actors = runtime.actors();
    let first = stream::first(&launch, description, actors.is_some());
    let (socket, held) = (launch.socket.clone(), Arc::clone(&desk));
    let stream = turns.runtime().spawn(async move {
        let outcome = stream::hold(socket, first, (Arc::clone(&held), actors), welcome).await;
        held.close();
        if held.running() > 0 {
            process::exit(1);
        }
        outcome
    });
    // On this thread, so that a process which is waited for is not handed from one to the other on its way.
    let pool = turns.wait(welcomed);
    thread::scope(|scope| {
        let thread = thread::Builder::new().name("stream".to_owned());
        let stream = thread.spawn_scoped(scope, || desk.hold(stream))?;
        // The stream says why there is none.
        if let Ok(pool) = pool {
            work(&desk, runtime, slots, tracks, &pool)?;
        }
        desk.reports.close();
        // A panic has been told where it happened.
        stream.join().map_or(Ok(()), |ended| ended.unwrap_or(Ok(())))
    })
}

/// What a slot that has the process for itself leaves behind.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tracks<'a> {
    /// Where it marks how far it has come.
    pub(crate) mark: Option<&'a Pen>,
    /// Where it tells what attempts print apart.
    pub(crate) printed: Option<&'a Pipes>,
}

/// Runs attempts on this thread and as many others as there are further slots.
fn work<R: Runtime>(
    desk: &Arc<Desk>,
    runtime: &R,
    slots: u32,
    tracks: Tracks<'_>,
    pool: &Pool,
) -> io::Result<()> {
    let slot = || Slot { desk, runtime, pool, tracks, meter: Meter::default() };
    thread::scope(|scope| {
        for _ in 1..slots {
            let name = "slot".to_owned();
            thread::Builder::new().name(name).spawn_scoped(scope, || slot().work())?;
        }
        slot().work();
        Ok(())
    })
}

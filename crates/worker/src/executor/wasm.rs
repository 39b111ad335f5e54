//! WebAssembly: modules that anybody may upload, and that can reach nothing but the bytes they are given.
//!
//! A module is a blob. It exports its memory as `memory`, a function `alloc(length: i32) -> i32` that gives room in it, and
//! the functions that tasks name. Such a function takes the bytes of each argument as two numbers, where they begin and how
//! many they are, and returns where its result lies: the beginning in the upper half of an `i64`, the length in the lower; or
//! nothing. It may import `bireme.fail(pointer, length)`, which ends the attempt with that text as its error, and
//! `bireme.log(pointer, length)`, which prints it.
//!
//! Nothing a module does can harm the daemon: it has a limit of memory and of time, and is ended within one [`TICK`] of being
//! asked, whatever it does.

mod instance;
mod modules;
mod ticks;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bireme_core::graph::Runtime;
use bireme_core::protocol::Timing;
use bireme_core::{AttemptId, Span, TaskError, Value, limits};
use smallvec::smallvec;
use wasmtime::{Config, Engine};

use self::instance::{Instance, Limits};
use self::modules::Modules;
use self::ticks::Ticks;
use super::crew::{Bell, Crew, Seat, Trade};
use super::payload::{Args, Material as _, Work, malformed};
use super::relay::Relay;
use super::{Executor, Job, Kill};
use crate::clock::Clock;
use crate::logs::Logs;
use crate::registry::{Arg, Outputs};
use crate::rpc::payload::decode;

/// How often running code is looked at.
const TICK: Span = Span::millis(5);

/// Runs functions of modules on threads of this process.
#[derive(Debug)]
pub(crate) struct Wasm {
    crew: Crew<Sandbox>,
}

#[derive(Debug)]
struct Sandbox {
    modules: Modules,
    ticks: Ticks,
    clock: Clock,
    logs: Arc<Logs>,
}

impl Wasm {
    /// An executor without threads; they come with the attempts.
    pub(crate) fn new(relay: Arc<Relay>, logs: Arc<Logs>, clock: Clock) -> io::Result<Self> {
        let mut config = Config::new();
        config.epoch_interruption(true).max_wasm_stack(limits::WASM_STACK_BYTES);
        let engine = Engine::new(&config).map_err(io::Error::other)?;
        let ticks = Ticks::start(engine.clone(), TICK)?;
        let sandbox = Sandbox { modules: Modules::new(engine), ticks, clock, logs };
        Ok(Self { crew: Crew::new(sandbox, relay, clock) })
    }
}

impl Executor for Wasm {
    fn start(&self, job: Job) {
        self.crew.start(job);
    }

    fn kill(&self, attempt: AttemptId, kill: Kill) {
        self.crew.kill(attempt, kill);
    }

    fn close(&self) {
        self.crew.close();
    }
}

impl Trade for Sandbox {
    type Bell = Stopped;
    type Kept = ();

    const THREAD: &'static str = "wasm";
    const THREADS: usize = limits::POOL_THREADS;

    fn takes(runtime: &Runtime) -> bool {
        *runtime == Runtime::Wasm
    }

    fn run(
        &self,
        seat: &Seat<Stopped>,
        (): &mut (),
        job: &Job,
        _: &mut Timing,
    ) -> Result<Outputs, Box<TaskError>> {
        let outcome = self.call(seat.bell(), job);
        seat.killed().map_or(outcome, |kill| Err(kill.error()))
    }
}

impl Sandbox {
    fn call(&self, stopped: &Stopped, job: &Job) -> Result<Outputs, Box<TaskError>> {
        let payload = decode(job.payload())?;
        let Work::Wasm(work) = payload.work else {
            let message = "payload.work is no function of a module, but the task's class says wasm";
            return Err(malformed(message));
        };
        if payload.named > 0 {
            return Err(malformed("payload.named_args: functions of modules take none by name"));
        }
        let args: Vec<Arg> = match Args::new(payload.args, job)? {
            Args::Fixed(args) => args,
            Args::Open(open) => {
                open.iter().map(|template| template.fill(job)).collect::<Result<_, _>>()?
            }
        };
        let module = self.modules.get(work.module, || job.blob(work.module))?;
        let class = job.execution.resources.memory_bytes;
        let memory_bytes = [work.memory_bytes, class].into_iter().find(|limit| *limit > 0);
        let limits = Limits {
            memory_bytes: memory_bytes.unwrap_or(limits::WASM_MEMORY_BYTES),
            end: (work.time > Span::ZERO).then(|| self.clock.now() + work.time),
            time: work.time,
        };
        let log = self.logs.open(job.attempt());
        let _ticking = self.ticks.hold();
        let instance = Instance::new(&module, limits, stopped.clone(), self.clock, log)?;
        let result = instance.call(&work.function, &args)?;
        Ok(smallvec![result.map_or_else(Value::none, Value::raw)])
    }
}

/// Tells running code that its end is wanted. It cannot be asked, so that it has no grace either.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stopped(Arc<AtomicBool>);

impl Stopped {
    fn is_asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Bell for Stopped {
    fn new() -> io::Result<Self> {
        Ok(Self::default())
    }

    fn ring(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn silence(&self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;

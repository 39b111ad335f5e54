//! One life of a module: it is made for an attempt and dropped with it, so that nothing is left for the next.

use bireme_core::{ErrorClass, Reason, Span, TaskError, Time, limits};
use bytes::Bytes;
use wasmtime::{
    Caller, Error, Extern, Instance as Inner, Linker, Memory, Module, ResourceLimiter, Store, Trap,
    TypedFunc, UpdateDeadline, Val, ValType,
};

use super::Stopped;
use crate::clock::Clock;
use crate::executor::payload::malformed;
use crate::failure::failure;
use crate::logs::{Stream, Writer};
use crate::registry::Arg;

/// What a module may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Of linear memory.
    pub(super) memory_bytes: u64,
    /// When it has to be done.
    pub(super) end: Option<Time>,
    /// How long that was, for people.
    pub(super) time: Span,
}

/// What the host knows of a running module.
struct Host {
    limits: Limits,
    stopped: Stopped,
    clock: Clock,
    log: Writer,
    /// It asked for more memory than it may have.
    refused_memory: bool,
    /// What it said before it failed.
    failure: Option<String>,
    overdue: bool,
}

/// A module that runs.
pub(super) struct Instance {
    store: Store<Host>,
    inner: Inner,
    memory: Memory,
}

impl ResourceLimiter for Host {
    fn memory_growing(
        &mut self,
        _: usize,
        desired: usize,
        _: Option<usize>,
    ) -> Result<bool, Error> {
        let fits = desired as u64 <= self.limits.memory_bytes;
        self.refused_memory |= !fits;
        Ok(fits)
    }

    fn table_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> Result<bool, Error> {
        /// Entries of a table, each of which takes a few words.
        const TABLE: usize = 1 << 20;
        Ok(desired <= TABLE)
    }
}

impl Instance {
    /// Makes one with fresh memory.
    pub(super) fn new(
        module: &Module,
        limits: Limits,
        stopped: Stopped,
        clock: Clock,
        log: Writer,
    ) -> Result<Self, Box<TaskError>> {
        let engine = module.engine();
        let host = Host {
            limits,
            stopped,
            clock,
            log,
            refused_memory: false,
            failure: None,
            overdue: false,
        };
        let mut store = Store::new(engine, host);
        store.limiter(|host| host);
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(|mut store| {
            let host = store.data_mut();
            host.overdue = host.limits.end.is_some_and(|end| host.clock.now() >= end);
            if host.overdue || host.stopped.is_asked() {
                return Ok(UpdateDeadline::Interrupt);
            }
            Ok(UpdateDeadline::Continue(1))
        });
        let mut linker = Linker::new(engine);
        link(&mut linker).map_err(|error| malformed(format!("module: {error:#}")))?;
        let inner = match linker.instantiate(&mut store, module) {
            Ok(inner) => inner,
            Err(error) => return Err(explain(&store, &error)),
        };
        let memory = inner.get_memory(&mut store, "memory").ok_or_else(|| {
            malformed("the module exports no memory; export it under the name `memory`")
        })?;
        Ok(Self { store, inner, memory })
    }

    /// Calls a function, and returns the bytes that it made, if it made any.
    pub(super) fn call(
        mut self,
        name: &str,
        args: &[Arg],
    ) -> Result<Option<Bytes>, Box<TaskError>> {
        let Some(function) = self.inner.get_func(&mut self.store, name) else {
            return Err(self.unknown(name));
        };
        let ty = function.ty(&self.store);
        let takes: Vec<ValType> = ty.params().collect();
        if takes.len() != 2 * args.len() || !takes.iter().all(ValType::is_i32) {
            let message = format!(
                "function `{name}` takes {} numbers; for {} arguments it must take two i32 each, where their bytes begin and how many they are",
                takes.len(),
                args.len()
            );
            return Err(malformed(message));
        }
        let mut results: Vec<Val> = match ty.results().collect::<Vec<_>>().as_slice() {
            [] => Vec::new(),
            [ValType::I64] => vec![Val::I64(0)],
            _ => {
                let message = format!(
                    "function `{name}` returns something else than an i64, which tells where its result lies, or nothing"
                );
                return Err(malformed(message));
            }
        };
        let mut numbers = Vec::with_capacity(takes.len());
        for (n, arg) in args.iter().enumerate() {
            let bytes = bytes_of(arg, n)?;
            let (pointer, length) = self.write(&bytes)?;
            numbers.extend([Val::I32(pointer.cast_signed()), Val::I32(length.cast_signed())]);
        }
        let called = function.call(&mut self.store, &numbers, &mut results);
        called.map_err(|error| explain(&self.store, &error))?;
        let Some(Val::I64(place)) = results.first() else { return Ok(None) };
        let (pointer, length) = (place.cast_unsigned() >> 32, place.cast_unsigned() & 0xffff_ffff);
        let bytes = slice(self.memory.data(&self.store), pointer, length).ok_or_else(|| {
            let message = format!(
                "function `{name}` says that its result is {length} bytes at {pointer}, which is outside its memory"
            );
            failure(ErrorClass::Serialize, Reason::Malformed, message)
        })?;
        Ok(Some(Bytes::copy_from_slice(bytes)))
    }

    /// Brings bytes into the module's memory, where it makes room for them.
    fn write(&mut self, bytes: &[u8]) -> Result<(u32, u32), Box<TaskError>> {
        let length = u32::try_from(bytes.len()).map_err(|_| {
            malformed("an argument is longer than 4 GiB, which a module cannot address")
        })?;
        let alloc: TypedFunc<u32, u32> =
            self.inner.get_typed_func(&mut self.store, "alloc").map_err(|_| {
                malformed(
                    "the module exports no function `alloc(i32) -> i32`, which gives room for arguments",
                )
            })?;
        let pointer =
            alloc.call(&mut self.store, length).map_err(|error| explain(&self.store, &error))?;
        self.memory.write(&mut self.store, pointer as usize, bytes).map_err(|_| {
            let message =
                format!("`alloc` gave {pointer} for {length} bytes, which is outside its memory");
            failure(ErrorClass::Deserialize, Reason::Malformed, message)
        })?;
        Ok((pointer, length))
    }

    fn unknown(&mut self, name: &str) -> Box<TaskError> {
        let exports: Vec<_> =
            self.inner.exports(&mut self.store).map(|export| export.name().to_owned()).collect();
        let message =
            format!("the module exports no function `{name}`; it exports: {}", exports.join(", "));
        failure(ErrorClass::NotFound, Reason::FunctionUnknown, message)
    }
}

/// What a module may import.
fn link(linker: &mut Linker<Host>) -> Result<(), Error> {
    linker.func_wrap(
        "bireme",
        "fail",
        |mut caller: Caller<'_, Host>, pointer: u32, length: u32| {
            let text = text(&mut caller, pointer, length);
            caller.data_mut().failure = Some(text);
            Err::<(), Error>(Trap::UnreachableCodeReached.into())
        },
    )?;
    linker.func_wrap(
        "bireme",
        "log",
        |mut caller: Caller<'_, Host>, pointer: u32, length: u32| {
            let mut line = text(&mut caller, pointer, length);
            line.push('\n');
            caller.data().log.write(Stream::Stdout, line.as_bytes());
        },
    )?;
    Ok(())
}

/// A text in a module's memory, cut to what an error may say.
fn text(caller: &mut Caller<'_, Host>, pointer: u32, length: u32) -> String {
    let Some(Extern::Memory(memory)) = caller.get_export("memory") else { return String::new() };
    let longest = limits::LOG_CHUNK_BYTES as u64;
    let bytes = slice(memory.data(&*caller), pointer.into(), u64::from(length).min(longest));
    String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned()
}

fn slice(memory: &[u8], pointer: u64, length: u64) -> Option<&[u8]> {
    let pointer = usize::try_from(pointer).ok()?;
    memory.get(pointer..pointer.checked_add(usize::try_from(length).ok()?)?)
}

/// The bytes of an argument.
fn bytes_of(arg: &Arg, n: usize) -> Result<Bytes, Box<TaskError>> {
    let value = arg.value().map_err(|_| {
        malformed(format!(
            "payload.args: argument {n} is a {}; functions of modules take bytes",
            arg.kind()
        ))
    })?;
    value.bytes().ok_or_else(|| {
        let message = format!("argument {n} has bytes that are not here");
        failure(ErrorClass::InputLost, Reason::InputLost, message)
    })
}

/// The failure of code that was stopped by a trap.
fn explain(store: &Store<Host>, error: &Error) -> Box<TaskError> {
    let host = store.data();
    let mut explained = if let Some(said) = &host.failure {
        failure(ErrorClass::User, Reason::UserError, said)
    } else if host.overdue {
        let message = format!("the function ran longer than its limit of {}", host.limits.time);
        failure(ErrorClass::Timeout, Reason::TimedOut, message)
    } else if host.refused_memory {
        let message = format!(
            "the module asked for more than its limit of {} bytes; raise the payload's `memory_bytes`",
            host.limits.memory_bytes
        );
        failure(ErrorClass::OutOfMemory, Reason::OutOfMemory, message)
    } else {
        match error.downcast_ref::<Trap>() {
            Some(trap) => failure(ErrorClass::User, Reason::UserPanic, trap.to_string()),
            // It does not fit what it is linked with.
            None => malformed(format!("module: {error:#}")),
        }
    };
    "wasm".clone_into(&mut explained.language);
    explained.traceback = format!("{error:?}");
    explained
}

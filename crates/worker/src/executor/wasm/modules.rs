//! Compiled modules, kept for the next attempt.

use std::collections::VecDeque;
use std::sync::Mutex;

use bireme_core::id::Digest;
use bireme_core::{ErrorClass, Reason, TaskError, limits};
use bytes::Bytes;
use wasmtime::{Engine, Module};

use crate::failure::failure;
use crate::sync::lock;

/// The modules used last.
pub(super) struct Modules {
    engine: Engine,
    /// The one used last is at the back.
    kept: Mutex<VecDeque<(Digest, Module)>>,
}

impl Modules {
    pub(super) fn new(engine: Engine) -> Self {
        Self { engine, kept: Mutex::default() }
    }

    /// A module, compiled from `bytes` where it is not kept. Two attempts that come together may both compile it.
    pub(super) fn get(
        &self,
        digest: Digest,
        bytes: impl FnOnce() -> Result<Bytes, Box<TaskError>>,
    ) -> Result<Module, Box<TaskError>> {
        if let Some(module) = self.find(digest) {
            return Ok(module);
        }
        let module = Module::new(&self.engine, bytes()?).map_err(|error| {
            let message = format!("{digest:?} is no WebAssembly module: {error:#}");
            failure(ErrorClass::Malformed, Reason::Malformed, message)
        })?;
        let mut kept = lock(&self.kept);
        if kept.len() == limits::WASM_MODULES {
            kept.pop_front();
        }
        kept.push_back((digest, module.clone()));
        Ok(module)
    }

    fn find(&self, digest: Digest) -> Option<Module> {
        let mut kept = lock(&self.kept);
        let at = kept.iter().position(|(known, _)| *known == digest)?;
        let found = kept.remove(at)?;
        let module = found.1.clone();
        kept.push_back(found);
        Some(module)
    }
}

impl std::fmt::Debug for Modules {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Modules").finish_non_exhaustive()
    }
}

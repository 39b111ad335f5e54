//! `bireme._bireme`, the native half of the Python package: bytes in, bytes out.
//!
//! A `Session` is what a client holds: `submit` makes a graph of a batch of calls, `values` hands results over
//! without a copy, `thread` lets Python threads wait for what happens on the session's own. `serve` is what an
//! executor process does: it gives each `Attempt` to a Python function.
//!
//! What this crate never does: pickle or unpickle, decide what a call means, or keep the interpreter's lock while it waits.
//! `_bireme.pyi` beside the Python modules says what each class and function is for.

mod actor_spec;
mod actors;
mod admin;
mod attempt;
mod buffers;
mod datasets;
mod errors;
mod executor;
mod given;
mod hosting;
mod keenness;
mod options;
mod own;
mod payload;
mod pending;
mod session;
mod submit;
mod tasks;
mod thread;
mod values;
mod waits;
mod warning_log;
mod written;

use bireme_core::limits;
use pyo3::prelude::*;

/// The module, as Python imports it.
#[pymodule]
mod _bireme {
    #[pymodule_export]
    use crate::actors::{
        ActorHandle, Stream, actor_of, call_ends, create_actor, find_actor, list_actors,
    };
    #[pymodule_export]
    use crate::admin::{printed, wait_for_workers};
    #[pymodule_export]
    use crate::attempt::Attempt;
    #[pymodule_export]
    use crate::datasets::{finished_graphs, forget_graph, output_of, submit_detached};
    #[pymodule_export]
    use crate::errors::Failed;
    #[pymodule_export]
    use crate::executor::serve;
    #[pymodule_export]
    use crate::given::Given;
    #[pymodule_export]
    use crate::hosting::{HostedCall, Making};
    #[pymodule_export]
    use crate::own::Chain;
    #[pymodule_export]
    use crate::pending::Pending;
    #[pymodule_export]
    use crate::session::Session;
    #[pymodule_export]
    use crate::values::{Object, View};

    use super::{Bound, PyModule, PyResult, limits, submit, tasks, values};
    use pyo3::types::PyModuleMethods as _;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        for (name, codec) in values::CODECS {
            module.add(format!("CODEC_{name}"), values::number(codec))?;
        }
        module.add("PENDING", tasks::PENDING)?;
        module.add("FINISHED", tasks::FINISHED)?;
        module.add("FAILED", tasks::FAILED)?;
        module.add("CANCELLED", tasks::CANCELLED)?;
        module.add("ARGS_BYTES", submit::ARGS_BYTES)?;
        module.add("BLOB_BYTES", limits::BLOB_BYTES)?;
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}

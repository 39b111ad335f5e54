//! A batch of calls, which becomes a graph.

use std::collections::BTreeMap;

use bireme_client::{ExternalPayload, Payload};
use bireme_core::graph::{Dep, GraphBuilder, GraphOptions, Outputs, TaskSpec, Watch};
use bireme_core::id::{Digest, GraphId, TaskId};
use bireme_core::{Codec, ObjectId, Value, limits};
use bytes::Bytes;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedStr;
use pyo3::types::{PyBytes, PyList, PyTuple};

use crate::options::Known;
use crate::session::Session;
use crate::tasks::Needs;
use crate::values::{self, Object};
use crate::{buffers, errors};

/// Arguments up to this size, in bytes, ride with their task; larger ones are stored first.
pub(crate) const ARGS_BYTES: usize = limits::PAYLOAD_BYTES - (8 << 10);

/// Bytes of a payload that an input of it may take.
const INPUT_BYTES: usize = 12;

/// A batch that is being made.
pub(crate) struct Making<'a> {
    session: &'a Session,
    options: &'a Known,
    pub(crate) graph: GraphBuilder,
    /// Classes of the graph by the numbers of options.
    classes: BTreeMap<u32, u32>,
    externals: BTreeMap<ObjectId, u32>,
    pub(crate) needs: Needs,
}

/// The inputs of a call.
#[derive(Default)]
struct Inputs {
    /// Wire numbers of dependencies and externals; `true` is an external.
    given: Vec<(bool, u32)>,
    task: TaskSpec,
}

impl<'a> Making<'a> {
    /// A batch of which these tasks are kept, or all.
    pub(crate) fn new(
        session: &'a Session,
        options: &'a Known,
        name: String,
        keep: Option<Vec<u32>>,
    ) -> Self {
        let outputs = if keep.is_some() { Outputs::Listed } else { Outputs::All };
        let options_of =
            GraphOptions { name, outputs, watch: Watch::Values, ..GraphOptions::default() };
        let mut graph = GraphBuilder::new(options_of);
        keep.into_iter().flatten().for_each(|task| graph.keep(task));
        Self {
            session,
            options,
            graph,
            classes: BTreeMap::new(),
            externals: BTreeMap::new(),
            needs: Needs::default(),
        }
    }

    /// Adds a call: `(key, function, args, inputs, options)`.
    pub(crate) fn add(&mut self, call: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = call.py();
        let call = call.cast::<PyTuple>()?;
        if call.len() != 5 {
            let message = "a task is (key, function, args, inputs, options)";
            return Err(PyTypeError::new_err(message));
        }
        let item = |n| call.get_item(n);
        let key: PyBackedStr = item(0)?.extract()?;
        let function = digest(&item(1)?)?;
        let args = buffers::all(&item(2)?)?;
        let mut inputs = self.inputs(&item(3)?)?;
        let payload = self.payload(py, function, args, &mut inputs)?;
        let options = item(4)?.extract()?;
        let (class, priority) = self.class(options)?;
        let task = TaskSpec { key: key.to_string(), class, payload, priority, ..inputs.task };
        self.graph.task(task).map_err(|refusal| errors::refused(refusal.into()))?;
        Ok(())
    }

    fn class(&mut self, number: u32) -> PyResult<(u32, i32)> {
        let options = self.options.get(number)?;
        let graph = &mut self.graph;
        let class = self.classes.entry(number);
        let class = *class.or_insert_with(|| graph.class(options.class.clone()));
        Ok((class, options.priority))
    }

    fn inputs(&mut self, list: &Bound<'_, PyAny>) -> PyResult<Inputs> {
        let mut inputs = Inputs::default();
        if let Ok(list) = list.cast::<PyList>()
            && list.is_empty()
        {
            return Ok(inputs);
        }
        for input in list.try_iter()? {
            self.input(&mut inputs, &input?)?;
        }
        Ok(inputs)
    }

    fn input(&mut self, inputs: &mut Inputs, input: &Bound<'_, PyAny>) -> PyResult<()> {
        if let Ok(place) = input.extract::<u64>() {
            let Some(dep) = dep(place).filter(|dep| dep.task < self.graph.len()) else {
                let message = format!("input {place} is not a task before this one");
                return Err(PyValueError::new_err(message));
            };
            inputs.depend(dep);
            return Ok(());
        }
        if let Ok((graph, _)) = input.extract::<(u64, u32)>() {
            self.needs.batches.insert(graph);
        }
        inputs.take(self.external(object(input)?));
        Ok(())
    }

    fn external(&mut self, object: ObjectId) -> u32 {
        let graph = &mut self.graph;
        *self.externals.entry(object).or_insert_with(|| graph.external(object))
    }

    /// The payload of a call. Its first argument is the pickle of all of them; the numbers of the inputs follow, where they are
    /// not simply those of the wire.
    fn payload(
        &mut self,
        py: Python<'_>,
        function: Digest,
        args: Vec<Bytes>,
        inputs: &mut Inputs,
    ) -> PyResult<Bytes> {
        let value = args_value(args)?;
        let room = ARGS_BYTES.saturating_sub(inputs.given.len() * INPUT_BYTES);
        let call = Payload::blob(function);
        if value.size <= room as u64 {
            return Ok(inputs.write(call.arg(value), inputs.given.len()).encode());
        }
        let stored = self.session.store(py, value)?;
        let given = inputs.given.len();
        inputs.take(self.external(stored.object.object.id()));
        self.needs.stored.push(stored);
        // The last of the externals, and so of all.
        let last = u32::try_from(given).unwrap_or(u32::MAX);
        Ok(inputs.write(call.input(last), given).encode())
    }
}

impl Inputs {
    fn depend(&mut self, dep: Dep) {
        self.given.push((false, u32::try_from(self.task.deps.len()).unwrap_or(u32::MAX)));
        self.task.deps.push(dep);
    }

    fn take(&mut self, external: u32) {
        self.given.push((true, u32::try_from(self.task.externals.len()).unwrap_or(u32::MAX)));
        self.task.externals.push(external);
    }

    /// Adds the numbers that the first `count` inputs have on the wire, dependencies first, unless those are 0, 1 and so on.
    fn write(&self, call: ExternalPayload, count: usize) -> ExternalPayload {
        let deps = u32::try_from(self.task.deps.len()).unwrap_or(u32::MAX);
        let given = self.given.iter().take(count);
        let mut numbers =
            given.map(|&(external, place)| if external { deps + place } else { place });
        if numbers.clone().zip(0..).all(|(number, place)| number == place) {
            return call;
        }
        numbers.by_ref().fold(call, ExternalPayload::input)
    }
}

/// An output of a task of this batch: the task's index, and the output's number above its 32 bits.
fn dep(place: u64) -> Option<Dep> {
    let task = u32::try_from(place & u64::from(u32::MAX)).ok()?;
    Some(Dep { task, output: u16::try_from(place >> u32::BITS).ok()? })
}

/// What a task made, or was put.
pub(crate) fn object(value: &Bound<'_, PyAny>) -> PyResult<ObjectId> {
    if let Ok(object) = value.cast::<Object>() {
        return Ok(object.get().object.object.id());
    }
    let (graph, index) = value.extract::<(u64, u32)>().map_err(|_| {
        PyTypeError::new_err("a value is a task, an Object or, of an input, an index of the batch")
    })?;
    Ok(ObjectId::output(TaskId { graph: GraphId(graph), index }, 0))
}

/// The pickle of a call's arguments.
pub(crate) fn args_value(args: Vec<Bytes>) -> PyResult<Value> {
    values::value(values::number(Codec::Pickle5), args, String::new())
}

fn digest(object: &Bound<'_, PyAny>) -> PyResult<Digest> {
    let bytes = object.cast::<PyBytes>()?.as_bytes();
    let digest = bytes.try_into().map_err(|_| {
        PyValueError::new_err(format!("a digest has 32 bytes, this has {}", bytes.len()))
    })?;
    Ok(Digest(digest))
}

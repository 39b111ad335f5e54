//! A client's session.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bireme_client::{Admin, Client, ConnectOptions, Ends, Graph, PutFileError};
use bireme_core::Value;
use bireme_core::graph::TaskClass;
use bireme_core::id::WorkerId;
use bireme_core::session::Replica;
use bireme_core::time::Span;
use pyo3::exceptions::{PyOSError, PyTimeoutError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList};

use crate::attempt::Attempt;
use crate::options::{self, Known, Options};
use crate::pending::CallEnds;
use crate::submit::{self, Making};
use crate::tasks::{self, Batches, ranges};
use crate::thread::Driver;
use crate::values::{self, Object, Owned};
use crate::warning_log::WarningLog;
use crate::{admin, buffers, errors};

/// A session with a cluster, on a thread of its own.
#[pyclass(frozen, module = "bireme._bireme")]
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) process: u32,
    client: Client,
    ends: Ends,
    pub(crate) admin: Admin,
    address: String,
    /// Digests of what was put.
    blobs: Mutex<BTreeSet<[u8; 32]>>,
    /// Those who submit have them as they were when they began.
    options: Mutex<Arc<Known>>,
    batches: Arc<Mutex<Batches>>,
    /// Calls of actors that have ended.
    pub(crate) calls: Arc<CallEnds>,
    pub(crate) driver: Arc<Driver>,
}

#[pymethods]
impl Session {
    #[new]
    #[pyo3(signature = (scheduler=None, *, token=None, access_file=None, name=String::new(), namespace=None, parent=None,
        timeout=None))]
    #[expect(clippy::too_many_arguments, reason = "Python names them")]
    fn new(
        py: Python<'_>,
        scheduler: Option<String>,
        token: Option<String>,
        access_file: Option<PathBuf>,
        name: String,
        namespace: Option<&str>,
        parent: Option<PyRef<'_, Attempt>>,
        timeout: Option<f64>,
    ) -> PyResult<Self> {
        if namespace.is_some() {
            let message = "sessions do not share namespaces yet; leave it out".to_owned();
            return Err(errors::Refused::new_err(("UNSUPPORTED", message)));
        }
        let parent = parent.map(|attempt| attempt.id_in_full());
        let options = ConnectOptions {
            scheduler,
            token,
            access_file,
            name,
            parent,
            ..ConnectOptions::default()
        };
        let driver = Arc::new(Driver::start()?);
        let connected = driver.wait(py, duration(timeout)?, async {
            let client = Client::connect(options.clone()).await?;
            let admin = Admin::connect(&options).await?;
            Ok((client, admin))
        })?;
        let connected = connected.ok_or_else(|| late(timeout))?;
        let (client, admin) = connected.map_err(errors::connect)?;
        let log = WarningLog::default();
        client.on_warning(move |warning| log.add(&warning.message));
        Ok(Self {
            process: std::process::id(),
            ends: client.follow(),
            address: admin.address().to_owned(),
            client,
            admin,
            blobs: Mutex::default(),
            options: Mutex::default(),
            batches: Arc::default(),
            calls: Arc::default(),
            driver,
        })
    }

    #[getter]
    fn number(&self) -> u32 {
        self.client.session().0
    }

    #[getter]
    fn address(&self) -> &str {
        &self.address
    }

    #[pyo3(signature = (*, cpus=1.0, memory=0, resources=None, retries=0, priority=0, workers=Vec::new(),
        allow_other_workers=false, timeout=None, runtime="python", max_crashes=None, environment=None,
        fresh_process=false, outputs=1))]
    #[expect(clippy::too_many_arguments, reason = "they are named, in Python")]
    fn options(
        &self,
        cpus: f64,
        memory: u64,
        resources: Option<BTreeMap<String, f64>>,
        retries: u32,
        priority: i32,
        workers: Vec<String>,
        allow_other_workers: bool,
        timeout: Option<f64>,
        runtime: &str,
        max_crashes: Option<u32>,
        environment: Option<[u8; 32]>,
        fresh_process: bool,
        outputs: u16,
    ) -> PyResult<u32> {
        let class = TaskClass {
            resources: options::resources(cpus, memory, resources.unwrap_or_default())?,
            runtime: options::runtime(runtime, environment, fresh_process),
            workers,
            allow_other_workers,
            retry: options::retries(retries, max_crashes),
            timeout: timeout.map(options::span).transpose()?,
            outputs,
            ..TaskClass::default()
        };
        let options = Options { class, priority };
        let mut known = lock(&self.options);
        Ok(known.find(&options).unwrap_or_else(|| Arc::make_mut(&mut known).add(options)))
    }

    fn put_blob<'py>(&self, data: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
        let (py, client) = (data.py(), self.client()?);
        let bytes = buffers::bytes(data)?;
        let digest = *blake3::hash(&bytes).as_bytes();
        let is_known = lock(&self.blobs).contains(&digest);
        if !is_known {
            self.driver.block(py, client.put_blob(bytes))?.map_err(errors::command)?;
            lock(&self.blobs).insert(digest);
        }
        Ok(PyBytes::new(py, &digest))
    }

    fn put_file<'py>(&self, py: Python<'py>, path: PathBuf) -> PyResult<Bound<'py, PyBytes>> {
        let put = self.client()?.put_blob_file(path);
        let digest = self.driver.block(py, put)?.map_err(|error| match error {
            PutFileError::Refused(refused) => errors::refused(refused),
            unread @ PutFileError::Unreadable { .. } => PyOSError::new_err(unread.to_string()),
        })?;
        Ok(PyBytes::new(py, &digest.0))
    }

    #[pyo3(signature = (codec, buffers, type_hint=String::new()))]
    fn put(
        &self,
        py: Python<'_>,
        codec: i32,
        buffers: &Bound<'_, PyAny>,
        type_hint: String,
    ) -> PyResult<Object> {
        self.store(py, values::from_objects(codec, buffers, type_hint)?)
    }

    fn fetch<'py>(
        &self,
        py: Python<'py>,
        object: &Bound<'py, Object>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.client()?;
        let fetched = self.driver.block(py, object.get().object.object.fetch())?;
        let value = fetched.map_err(|error| errors::Refused::new_err(("FETCH", error.to_string())));
        values::to_python(py, &value?)
    }

    #[pyo3(signature = (tasks, *, name=String::new(), keep=None))]
    fn submit(
        &self,
        py: Python<'_>,
        tasks: &Bound<'_, PyAny>,
        name: String,
        keep: Option<Vec<u32>>,
    ) -> PyResult<u64> {
        let client = self.client()?;
        let options = self.known_options();
        let kept = keep.as_ref().map(|keep| u32::try_from(keep.len()).unwrap_or(u32::MAX));
        let mut making = Making::new(self, &options, name, keep);
        for task in tasks.try_iter()? {
            making.add(&task?)?;
        }
        let Making { graph, needs, .. } = making;
        let graph = self.driver.block(py, client.submit(graph))?.map_err(errors::lost)?;
        let kept = kept.unwrap_or_else(|| graph.tasks());
        Ok(lock(&self.batches).add(graph, kept, needs))
    }

    fn state(&self, graph: u64, index: u32) -> PyResult<u8> {
        Ok(tasks::number(self.graph(graph)?.state(index)))
    }

    #[pyo3(signature = (graph, index, timeout=None))]
    fn result<'py>(
        &self,
        py: Python<'py>,
        graph: u64,
        index: u32,
        timeout: Option<f64>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let graph = self.graph(graph)?;
        let result = self.driver.wait(py, duration(timeout)?, graph.result(index))?;
        match result.ok_or_else(|| late(timeout))? {
            Ok(value) => values::to_python(py, &value),
            Err(error) => Err(errors::failed(py, &error)),
        }
    }

    #[pyo3(signature = (tasks, timeout=None))]
    fn results<'py>(
        &self,
        py: Python<'py>,
        tasks: Vec<(u64, u32)>,
        timeout: Option<f64>,
    ) -> PyResult<Bound<'py, PyList>> {
        let client = self.client()?;
        let tasks = self.graphs(&tasks)?;
        let results = self.driver.wait(py, duration(timeout)?, client.outputs(&tasks))?;
        let list = PyList::empty(py);
        for result in results.ok_or_else(|| late(timeout))? {
            match result {
                Ok(value) => list.append(values::to_python(py, &value)?)?,
                Err(error) => {
                    let failure = errors::failure(py, &error)?;
                    list.append(errors::Failed::new_err(failure).into_value(py))?;
                }
            }
        }
        Ok(list)
    }

    fn error(&self, py: Python<'_>, graph: u64, index: u32) -> PyResult<Option<Py<PyDict>>> {
        let error = self.graph(graph)?.error(index);
        error.map(|error| Ok(errors::failure(py, &error)?.0)).transpose()
    }

    #[pyo3(signature = (timeout=None))]
    fn ends(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<Vec<(u64, u32, u8)>> {
        self.client()?;
        let ended = self.driver.wait(py, duration(timeout)?, self.ends.next())?;
        let ended = ended.transpose().map_err(errors::lost)?.unwrap_or_default().into_iter();
        Ok(ended.map(|(task, state)| (task.graph.0, task.index, tasks::number(state))).collect())
    }

    fn release(&self, graph: u64, indices: Vec<u32>) -> PyResult<()> {
        self.client()?;
        let count = u32::try_from(indices.len()).unwrap_or(u32::MAX);
        let graph = lock(&self.batches).give_up(graph, count)?;
        self.driver.spawn(tasks::release(Arc::clone(&self.batches), graph, indices));
        Ok(())
    }

    #[pyo3(signature = (graph, indices=Vec::new(), grace=0.0))]
    fn cancel(&self, py: Python<'_>, graph: u64, indices: Vec<u32>, grace: f64) -> PyResult<()> {
        let (graph, grace) = (self.graph(graph)?, options::span(grace)?);
        let cancelled = self.driver.block(py, cancel(&graph, indices, grace))?;
        cancelled.map_err(errors::command)
    }

    /// Cancels all that was submitted, and gives up all results.
    fn reset(&self, py: Python<'_>) -> PyResult<()> {
        self.client()?;
        let graphs = lock(&self.batches).graphs();
        let done = self.driver.block(py, async {
            for graph in graphs {
                graph.cancel(Span::ZERO).await?;
                graph.release(0..graph.tasks()).await?;
            }
            Ok(())
        })?;
        done.map_err(errors::command)
    }

    #[pyo3(signature = (graph, indices))]
    fn retry(&self, py: Python<'_>, graph: u64, indices: Vec<u32>) -> PyResult<()> {
        let graph = self.graph(graph)?;
        let retried = self.driver.block(py, graph.retry_tasks(ranges(indices)))?;
        retried.map_err(errors::command)
    }

    fn attempts(&self, py: Python<'_>, graph: u64) -> PyResult<u64> {
        let graph = self.graph(graph)?;
        let effort = self.driver.block(py, self.admin.effort(graph.id()))?;
        Ok(effort.map_err(errors::refused)?.attempts)
    }

    /// The size of each value, and the workers that have it.
    fn holders(&self, py: Python<'_>, values: &Bound<'_, PyAny>) -> PyResult<Vec<(u64, Vec<u32>)>> {
        self.client()?;
        let values = values.try_iter()?.map(|value| submit::object(&value?));
        let values = values.collect::<PyResult<Vec<_>>>()?;
        let holders = self.driver.block(py, self.admin.holders(&values))?;
        let numbers = |workers: Vec<WorkerId>| workers.into_iter().map(|worker| worker.0).collect();
        let holders = holders.map_err(errors::refused)?.into_iter();
        Ok(holders.map(|(size, workers)| (size, numbers(workers))).collect())
    }

    /// Has workers drop values that others have too.
    fn drop_replicas(&self, py: Python<'_>, replicas: &Bound<'_, PyAny>) -> PyResult<()> {
        let client = self.client()?;
        let replicas: Vec<Replica> =
            replicas.try_iter()?.map(|each| replica(&each?)).collect::<PyResult<_>>()?;
        let dropped = self.driver.block(py, client.drop_replicas(&replicas))?;
        dropped.map_err(errors::command)
    }

    fn close(&self, py: Python<'_>) -> PyResult<()> {
        let client = self.client()?;
        lock(&self.batches).clear();
        self.driver.block(py, client.close())?.map_err(errors::command)
    }

    /// Ends the scheduler and the workers.
    fn shutdown(&self, py: Python<'_>) -> PyResult<()> {
        self.client()?;
        let ended = self
            .driver
            .block(py, self.admin.shutdown(true, Span::ZERO, "a client asked for it"))?;
        ended.map(|_| ()).map_err(errors::refused)
    }

    fn status<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        self.client()?;
        let status = self.driver.block(py, self.admin.status())?;
        admin::status(py, &status.map_err(errors::refused)?)
    }

    fn workers<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyDict>>> {
        self.client()?;
        let workers = self.driver.block(py, self.admin.workers())?;
        let workers = workers.map_err(errors::refused)?;
        workers.iter().map(|worker| admin::worker(py, worker)).collect()
    }
}

impl Session {
    /// Stores a value in the cluster.
    pub(crate) fn store(&self, py: Python<'_>, value: Value) -> PyResult<Object> {
        let client = self.client()?;
        let object = self.driver.block(py, client.put(value))?.map_err(errors::put)?;
        Ok(Object { object: Owned::new(object, Arc::downgrade(&self.driver)) })
    }

    /// The client, in the process that it belongs to.
    pub(crate) fn client(&self) -> PyResult<&Client> {
        if std::process::id() == self.process {
            Ok(&self.client)
        } else {
            Err(errors::used_after_fork())
        }
    }

    /// The sets of options that have numbers.
    pub(crate) fn known_options(&self) -> Arc<Known> {
        Arc::clone(&lock(&self.options))
    }

    fn graph(&self, number: u64) -> PyResult<Graph> {
        self.client()?;
        lock(&self.batches).get(number)
    }

    fn graphs(&self, tasks: &[(u64, u32)]) -> PyResult<Vec<(Graph, u32)>> {
        let batches = lock(&self.batches);
        tasks.iter().map(|(graph, index)| Ok((batches.get(*graph)?, *index))).collect()
    }
}

/// A value and the number of a worker.
fn replica(pair: &Bound<'_, PyAny>) -> PyResult<Replica> {
    let (value, worker): (Bound<'_, PyAny>, u32) = pair.extract()?;
    Ok(Replica { object: submit::object(&value)?, worker: WorkerId(worker) })
}

async fn cancel(
    graph: &Graph,
    indices: Vec<u32>,
    grace: Span,
) -> Result<(), bireme_client::CommandError> {
    if indices.is_empty() {
        graph.cancel(grace).await
    } else {
        graph.cancel_tasks(ranges(indices), grace).await
    }
}

/// A wait in seconds.
pub(crate) fn duration(seconds: Option<f64>) -> PyResult<Option<Duration>> {
    seconds.map(|seconds| Ok(options::span(seconds)?.to_std())).transpose()
}

/// What to raise after it.
pub(crate) fn late(seconds: Option<f64>) -> PyErr {
    let seconds = seconds.unwrap_or_default();
    PyTimeoutError::new_err(format!("not done after {seconds} s"))
}

/// What a panic left behind is whole: no holder stops half-way.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

//! Values, as Python sees them: a codec and buffers.

#![expect(unsafe_code, reason = "the buffer protocol hands out pointers")]

use std::ffi::{c_int, c_void};
use std::ptr::null_mut;
use std::sync::{Arc, Weak};

use bireme_core::value::Buffer;
use bireme_core::{Codec, Value};
use bytes::Bytes;
use pyo3::exceptions::{PyBufferError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyMemoryView};

use crate::buffers;
use crate::thread::Driver;

/// Buffers up to this length are copied into `bytes`.
pub(crate) const COPIED: usize = 16 << 10;

/// Every codec, by the name that the module has for it.
pub(crate) const CODECS: [(&str, Codec); 9] = [
    ("RAW", Codec::Raw),
    ("UTF8", Codec::Utf8),
    ("JSON", Codec::Json),
    ("MSGPACK", Codec::Msgpack),
    ("ARROW_IPC", Codec::ArrowIpc),
    ("NPY", Codec::Npy),
    ("PICKLE5", Codec::Pickle5),
    ("CLOUDPICKLE", Codec::Cloudpickle),
    ("NONE", Codec::None),
];

/// The number of a codec, as messages have it.
pub(crate) fn number(codec: Codec) -> i32 {
    bireme_proto::pb::Codec::from(codec).into()
}

fn codec(number: i32) -> PyResult<Codec> {
    let known = CODECS.into_iter().find(|(_, codec)| self::number(*codec) == number);
    known
        .map(|(_, codec)| codec)
        .ok_or_else(|| PyValueError::new_err(format!("there is no codec {number}; use CODEC_*")))
}

/// A value with these buffers.
pub(crate) fn value(number: i32, buffers: Vec<Bytes>, type_hint: String) -> PyResult<Value> {
    let size = buffers.iter().map(|bytes| bytes.len() as u64).sum();
    let buffers = buffers.into_iter().map(Buffer::Inline).collect();
    Ok(Value { codec: codec(number)?, buffers, size, type_hint, ..Value::default() })
}

/// The same, of Python objects.
pub(crate) fn from_objects(
    number: i32,
    objects: &Bound<'_, PyAny>,
    type_hint: String,
) -> PyResult<Value> {
    value(number, buffers::all(objects)?, type_hint)
}

/// A codec and buffers.
pub(crate) fn to_python<'py>(py: Python<'py>, value: &Value) -> PyResult<Bound<'py, PyAny>> {
    let list = PyList::empty(py);
    for buffer in &value.buffers {
        let Buffer::Inline(bytes) = buffer else {
            return Err(PyValueError::new_err("a value has bytes that were not brought here"));
        };
        list.append(buffer_to_python(py, bytes)?)?;
    }
    Ok((number(value.codec), list).into_pyobject(py)?.into_any())
}

/// `bytes`, or a view of what is too much to be copied.
pub(crate) fn buffer_to_python<'py>(py: Python<'py>, bytes: &Bytes) -> PyResult<Bound<'py, PyAny>> {
    if bytes.len() <= COPIED {
        return Ok(PyBytes::new(py, bytes).into_any());
    }
    let view = Bound::new(py, View { bytes: bytes.clone() })?;
    Ok(PyMemoryView::from(view.as_any())?.into_any())
}

/// Bytes that are not Python's, for reading.
#[pyclass(frozen, module = "bireme._bireme")]
#[derive(Debug)]
pub(crate) struct View {
    bytes: Bytes,
}

#[pymethods]
impl View {
    fn __len__(&self) -> usize {
        self.bytes.len()
    }

    /// # Safety
    ///
    /// Called by the interpreter, with a structure to fill in.
    unsafe fn __getbuffer__(
        slf: PyRef<'_, Self>,
        view: *mut ffi::Py_buffer,
        flags: c_int,
    ) -> PyResult<()> {
        let bytes: &[u8] = &slf.bytes;
        let length = ffi::Py_ssize_t::try_from(bytes.len())
            .map_err(|_| PyBufferError::new_err("the buffer is too long"))?;
        let (start, owner) = (bytes.as_ptr().cast::<c_void>().cast_mut(), slf.as_ptr());
        // SAFETY: `view` is the interpreter's and valid. The memory belongs to `owner`, of which the call takes a reference
        // and which never changes it; the view is marked as read-only.
        let filled = unsafe { ffi::PyBuffer_FillInfo(view, owner, start, length, 1, flags) };
        if filled == 0 {
            return Ok(());
        }
        // SAFETY: the interpreter asks for this where no view is given.
        unsafe { (*view).obj = null_mut() };
        Err(PyErr::fetch(slf.py()))
    }
}

/// A value that lies in the cluster for this session. Dropped, it is released.
#[derive(Debug)]
pub(crate) struct Owned {
    pub(crate) object: bireme_client::Object,
    /// Where it is released.
    driver: Weak<Driver>,
}

impl Owned {
    pub(crate) fn new(object: bireme_client::Object, driver: Weak<Driver>) -> Arc<Self> {
        Arc::new(Self { object, driver })
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        if let Some(driver) = self.driver.upgrade() {
            let object = self.object.clone();
            // Without an answer it goes with the session.
            driver.spawn(async move { drop(object.release().await) });
        }
    }
}

/// A value that a session has put into the cluster.
#[pyclass(frozen, module = "bireme._bireme")]
#[derive(Debug)]
pub(crate) struct Object {
    pub(crate) object: Arc<Owned>,
}

#[pymethods]
impl Object {
    #[getter]
    fn id(&self) -> String {
        self.object.object.id().to_string()
    }

    #[getter]
    fn size(&self) -> u64 {
        self.object.object.size()
    }
}

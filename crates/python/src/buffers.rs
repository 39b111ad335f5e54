//! Memory of Python objects.

#![expect(
    unsafe_code,
    reason = "the only place where memory that Python holds is read as bytes of ours"
)]

use bytes::Bytes;
use pyo3::buffer::PyBuffer;
use pyo3::exceptions::{PyBufferError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};

/// Shorter runs are copied: that is cheaper than to keep an object.
const COPIED: usize = 4 << 10;

/// The bytes of an object, without a copy where they are many. They are Python's: whoever gave them does not change them
/// while we have them.
pub(crate) fn bytes(object: &Bound<'_, PyAny>) -> PyResult<Bytes> {
    if let Ok(bytes) = object.cast::<PyBytes>()
        && bytes.as_bytes().len() < COPIED
    {
        return Ok(Bytes::copy_from_slice(bytes.as_bytes()));
    }
    let buffer = PyBuffer::<u8>::get(object)?;
    if !buffer.is_c_contiguous() {
        return Err(PyBufferError::new_err("a buffer is not one run of bytes; copy it first"));
    }
    if buffer.len_bytes() < COPIED {
        return Ok(buffer.to_vec(object.py())?.into());
    }
    Ok(Bytes::from_owner(Held(buffer)))
}

/// The bytes of one object, or of several.
pub(crate) fn all(objects: &Bound<'_, PyAny>) -> PyResult<Vec<Bytes>> {
    if let Ok(bytes) = objects.cast::<PyBytes>() {
        return Ok(vec![self::bytes(bytes)?]);
    }
    if let Ok(list) = objects.cast::<PyList>() {
        return list.iter().map(|object| bytes(&object)).collect();
    }
    if PyBuffer::<u8>::get(objects).is_ok() {
        return Ok(vec![bytes(objects)?]);
    }
    let objects = objects.try_iter().map_err(|_| {
        PyTypeError::new_err("buffers are bytes, another object with bytes, or a list of such")
    })?;
    objects.map(|object| bytes(&object?)).collect()
}

/// Holds an object while its memory is in use.
struct Held(PyBuffer<u8>);

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        if self.0.len_bytes() == 0 {
            return &[];
        }
        // SAFETY: the buffer is one run of so many bytes, which its exporter keeps in place until the buffer is released, with
        // `self`. That nobody writes to it meanwhile is what every caller of this module is asked for.
        unsafe { std::slice::from_raw_parts(self.0.buf_ptr().cast::<u8>(), self.0.len_bytes()) }
    }
}

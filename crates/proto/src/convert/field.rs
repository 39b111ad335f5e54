//! What every conversion needs: parts that must be there, lists, bounds, and the path of the field that is wrong.

use bireme_core::reason::{Reason, Refusal};
use bireme_core::{Span, limits};
use bytes::Bytes;

/// Puts the name of a field in front of the path of whatever was wrong inside it.
pub(super) trait Within {
    fn within(self, field: &str) -> Self;
    /// The same for item `n` of a list.
    fn within_item(self, field: &str, n: usize) -> Self;
}

impl<T> Within for Result<T, Refusal> {
    fn within(self, field: &str) -> Self {
        self.map_err(|refusal| inside(refusal, field.to_owned()))
    }

    fn within_item(self, field: &str, n: usize) -> Self {
        self.map_err(|refusal| inside(refusal, format!("{field}[{n}]")))
    }
}

#[cold]
fn inside(mut refusal: Refusal, mut path: String) -> Refusal {
    if !refusal.field.is_empty() {
        path.push('.');
        path.push_str(&refusal.field);
    }
    refusal.field = path;
    refusal
}

#[cold]
pub(super) fn malformed(field: &str, message: impl Into<String>) -> Refusal {
    Refusal::at(Reason::Malformed, field, message)
}

#[cold]
pub(super) fn unsupported(field: &str, message: impl Into<String>) -> Refusal {
    Refusal::at(Reason::Unsupported, field, message)
}

/// The arm of a `oneof` is not set, or is one that this version does not know: decoding cannot tell the two apart.
#[cold]
pub(super) fn no_arm(field: &str) -> Refusal {
    unsupported(field, format!("{field} is missing, or of a kind that this version does not know"))
}

#[cold]
pub(super) fn missing(field: &str) -> Refusal {
    malformed(field, format!("{field} is missing"))
}

/// A part that must be there.
pub(super) fn required<P, T>(part: Option<P>, field: &str) -> Result<T, Refusal>
where
    P: TryInto<T, Error = Refusal>,
{
    part.ok_or_else(|| missing(field))?.try_into().within(field)
}

/// A part that may be there.
pub(super) fn optional<P, T>(part: Option<P>, field: &str) -> Result<Option<T>, Refusal>
where
    P: TryInto<T, Error = Refusal>,
{
    part.map(TryInto::try_into).transpose().within(field)
}

/// A list, converted one by one.
pub(super) fn list<P, T>(items: Vec<P>, field: &str) -> Result<Vec<T>, Refusal>
where
    P: TryInto<T, Error = Refusal>,
{
    // Not by `collect`, which cannot know the length of what may fail.
    let mut converted = Vec::with_capacity(items.len());
    for (n, item) in items.into_iter().enumerate() {
        converted.push(item.try_into().within_item(field, n)?);
    }
    Ok(converted)
}

/// The other way round.
pub(super) fn sent<T, P: From<T>>(items: impl IntoIterator<Item = T>) -> Vec<P> {
    items.into_iter().map(Into::into).collect()
}

/// A list of at most so many items.
pub(super) fn at_most<T>(items: Vec<T>, limit: usize, field: &str) -> Result<Vec<T>, Refusal> {
    if items.len() > limit {
        let message = format!("{} {field}, the limit is {limit}", items.len());
        return Err(malformed(field, message));
    }
    Ok(items)
}

/// A text of at most [`limits::NAME_BYTES`].
pub(super) fn name(text: String, field: &str) -> Result<String, Refusal> {
    if text.len() > limits::NAME_BYTES {
        let message =
            format!("{field} of {} bytes, the limit is {}", text.len(), limits::NAME_BYTES);
        return Err(malformed(field, message));
    }
    Ok(text)
}

/// At most so many texts, none longer than [`limits::NAME_BYTES`].
pub(super) fn names(texts: Vec<String>, limit: usize, field: &str) -> Result<Vec<String>, Refusal> {
    let texts = at_most(texts, limit, field)?;
    match texts.iter().position(|text| text.len() > limits::NAME_BYTES) {
        None => Ok(texts),
        Some(n) => {
            let message = format!("longer than {} bytes, the limit", limits::NAME_BYTES);
            Err(malformed("", message)).within_item(field, n)
        }
    }
}

/// One of the ids of 16 bytes.
pub(super) fn id<T>(
    bytes: &Bytes,
    read: impl FnOnce(&[u8]) -> Option<T>,
    field: &str,
) -> Result<T, Refusal> {
    read(bytes).ok_or_else(|| {
        malformed(field, format!("{field} has {} bytes, 16 are needed", bytes.len()))
    })
}

/// An id of 16 bytes on its way out.
pub(super) fn id_bytes(id: [u8; 16]) -> Bytes {
    Bytes::copy_from_slice(&id)
}

/// A number that counts from 1.
pub(super) fn counted<N: Default + PartialEq>(number: N, field: &str) -> Result<N, Refusal> {
    if number == N::default() {
        return Err(malformed(field, format!("{field} is 0 and counts from 1")));
    }
    Ok(number)
}

/// Refuses a field that is reserved and was given all the same.
pub(super) fn not_yet(given: bool, field: &str) -> Result<(), Refusal> {
    if given {
        let message = format!("{field} is reserved and not supported yet; leave it out");
        return Err(unsupported(field, message));
    }
    Ok(())
}

/// A duration of which 0 means that there is none.
pub(super) fn span(us: u64) -> Option<Span> {
    (us > 0).then_some(Span(us))
}

/// The other way round.
pub(super) fn us(span: Option<Span>) -> u64 {
    span.map_or(0, |Span(us)| us)
}

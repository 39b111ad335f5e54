//! Arguments of calls and constructors.

use bireme_core::{ActorId, ObjectId, Value, limits};
use bireme_proto::pb;
use bytes::Bytes;
use pb::arg::Kind;
use prost::Message as _;

use crate::object::Object;
use crate::payload::Arg;

/// Values of at least so many bytes travel on their own when arguments are too large to be part of a call.
const LARGE_BYTES: u64 = 4 << 10;

/// Arguments by position and by name.
///
/// ```
/// use bireme_client::Args;
/// use bireme_core::Value;
///
/// let args = Args::new().arg(Value::text("hello")).named("times", Value::text("3"));
/// # let _ = args;
/// ```
#[derive(Clone, Debug, Default)]
pub struct Args {
    pub(super) placed: Vec<pb::Arg>,
    pub(super) named: Vec<pb::NamedArg>,
    pub(crate) inputs: Vec<ObjectId>,
    /// The actors of which there are handles among them.
    pub(super) handles: Vec<ActorId>,
}

impl Args {
    /// No arguments.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an argument by position.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<Arg>) -> Self {
        let arg = arg.into().into_pb();
        self.find_handles(&arg);
        self.placed.push(arg);
        self
    }

    /// Adds an argument by name.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>, arg: impl Into<Arg>) -> Self {
        let arg = arg.into().into_pb();
        self.find_handles(&arg);
        self.named.push(pb::NamedArg { name: name.into(), arg: Some(arg) });
        self
    }

    fn find_handles(&mut self, arg: &pb::Arg) {
        match &arg.kind {
            Some(Kind::List(list)) => list.items.iter().for_each(|item| self.find_handles(item)),
            Some(Kind::Map(map)) => {
                map.items
                    .iter()
                    .filter_map(|item| item.arg.as_ref())
                    .for_each(|item| self.find_handles(item));
            }
            Some(Kind::Value(value)) => {
                self.handles.extend(value.contains.iter().filter_map(actor_in));
            }
            Some(Kind::Input(_) | Kind::Row(_)) | None => {}
        }
    }

    /// Adds a stored value as an argument by position. The call keeps its place while the value is fetched.
    #[must_use]
    pub fn object(self, object: &Object) -> Self {
        self.stored(object.id())
    }

    /// The same by the value's id: the result of another call, or the output of a task.
    #[must_use]
    pub fn stored(mut self, object: ObjectId) -> Self {
        let input = u32::try_from(self.inputs.len()).unwrap_or(u32::MAX);
        self.inputs.push(object);
        self.arg(Arg::input(input))
    }

    /// A stored value as an argument by name.
    #[must_use]
    pub fn named_stored(mut self, name: impl Into<String>, object: ObjectId) -> Self {
        let input = u32::try_from(self.inputs.len()).unwrap_or(u32::MAX);
        self.inputs.push(object);
        self.named(name, Arg::input(input))
    }

    /// As a call carries them.
    pub(crate) fn encode(&self) -> Bytes {
        let (args, named_args) = (self.placed.clone(), self.named.clone());
        pb::CallArguments { args, named_args }.encode_to_vec().into()
    }

    /// Takes the large values out, if all together are too large to be part of a call. Each becomes an input, whose id is to
    /// be added to `inputs` in this order.
    pub(super) fn take_large(&mut self) -> Vec<pb::Value> {
        let named = self.named.iter_mut().filter_map(|named| named.arg.as_mut());
        let mut kinds: Vec<&mut Kind> = Vec::new();
        let mut bytes = 0;
        for arg in self.placed.iter_mut().chain(named) {
            bytes += arg.encoded_len() as u64;
            kinds.extend(arg.kind.as_mut());
        }
        if bytes <= limits::CALL_INLINE_BYTES {
            return Vec::new();
        }
        let mut taken = Vec::new();
        while let Some(kind) = kinds.pop() {
            match kind {
                Kind::List(list) => {
                    kinds.extend(list.items.iter_mut().filter_map(|item| item.kind.as_mut()));
                }
                Kind::Map(map) => {
                    let items = map.items.iter_mut().filter_map(|entry| entry.arg.as_mut());
                    kinds.extend(items.filter_map(|arg| arg.kind.as_mut()));
                }
                Kind::Value(value) if value.size >= LARGE_BYTES => {
                    let input = u32::try_from(self.inputs.len() + taken.len()).unwrap_or(u32::MAX);
                    taken.push(std::mem::take(value));
                    *kind = Kind::Input(input);
                }
                _ => {}
            }
        }
        taken
    }
}

/// The actor that a reference is of.
fn actor_in(found: &pb::Ref) -> Option<ActorId> {
    match &found.target {
        Some(pb::r#ref::Target::Actor(actor)) => ActorId::try_from(actor.clone()).ok(),
        Some(pb::r#ref::Target::Object(_)) | None => None,
    }
}

impl From<()> for Args {
    fn from((): ()) -> Self {
        Self::new()
    }
}

impl From<Value> for Args {
    fn from(value: Value) -> Self {
        Self::new().arg(value)
    }
}

impl<const N: usize> From<[Value; N]> for Args {
    fn from(values: [Value; N]) -> Self {
        values.into_iter().fold(Self::new(), Self::arg)
    }
}

impl From<Vec<Value>> for Args {
    fn from(values: Vec<Value>) -> Self {
        values.into_iter().fold(Self::new(), Self::arg)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_arguments_stay_where_they_are() {
        let mut args = Args::from([Value::raw(vec![0; 40_000]), Value::text("x")]);
        assert!(args.take_large().is_empty());
        assert_eq!(args.placed.len(), 2);
    }

    #[test]
    fn handles_are_found_wherever_they_are() {
        let handle = |n| Arg::from(Value::actor(ActorId(n)));
        let args = Args::new().arg(handle(1)).arg(Value::text("x"));
        let args = args.arg(Arg::list([Arg::list([handle(2)])])).named("more", handle(3));
        assert_eq!(args.handles, [ActorId(1), ActorId(2), ActorId(3)]);
    }

    #[test]
    fn large_values_become_inputs_after_those_that_were_named() {
        let mut args = Args::new()
            .stored(ObjectId::Held { holder: bireme_core::id::HolderId(1), n: 1 })
            .arg(Arg::list([Arg::from(Value::raw(vec![0; 70_000])), Arg::from(Value::text("x"))]))
            .named("more", Value::raw(vec![1; 5_000]));
        let taken = args.take_large();
        let sizes: Vec<u64> = taken.iter().map(|value| value.size).collect();
        assert_eq!(sizes, [5_000, 70_000]);
        let Some(Kind::List(list)) = &args.placed[1].kind else { panic!("not a list") };
        assert_eq!(list.items[0].kind, Some(Kind::Input(2)));
        assert!(matches!(list.items[1].kind, Some(Kind::Value(_))));
        assert_eq!(args.named[0].arg.as_ref().unwrap().kind, Some(Kind::Input(1)));
        assert!(args.encode().len() < 200);
    }
}

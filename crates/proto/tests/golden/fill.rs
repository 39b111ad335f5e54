//! Fills messages of any type with values that are not the default, the same ones each time.

use prost_reflect::{
    Cardinality, DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, Value,
};

/// Where every arm of a `oneof` is to occur.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(crate) enum Arms {
    /// Only in the message asked for; whatever it holds has its first arm.
    OfThisMessage,
    /// In every list as well.
    Everywhere,
}

/// As many instances of a message as its greatest `oneof` has arms.
pub(crate) fn instances(message: &MessageDescriptor, arms: Arms) -> Vec<DynamicMessage> {
    Filler { arms, open: Vec::new() }.all(message)
}

struct Filler {
    arms: Arms,
    /// The messages that are being filled: none is put into itself.
    open: Vec<String>,
}

impl Filler {
    fn all(&mut self, message: &MessageDescriptor) -> Vec<DynamicMessage> {
        let counts = message.oneofs().map(|oneof| oneof.fields().len());
        (0..counts.max().unwrap_or(1)).map(|arm| self.one(message, arm)).collect()
    }

    /// An instance with arm `arm` of each `oneof`, or its last.
    fn one(&mut self, message: &MessageDescriptor, arm: usize) -> DynamicMessage {
        let mut filled = DynamicMessage::new(message.clone());
        self.open.push(message.full_name().to_owned());
        for field in message.fields() {
            let is_chosen = field.containing_oneof().is_none_or(|oneof| {
                let arm = arm.min(oneof.fields().len() - 1);
                oneof.fields().nth(arm) == Some(field.clone())
            });
            if is_chosen && let Some(value) = self.value(&field) {
                filled.set_field(&field, value);
            }
        }
        self.open.pop();
        filled
    }

    /// `None` for a message within itself.
    fn value(&mut self, field: &FieldDescriptor) -> Option<Value> {
        if field.is_map() {
            let key = MapKey::String(field.name().to_owned());
            return Some(Value::Map([(key, Value::String("value".to_owned()))].into()));
        }
        let is_list = field.cardinality() == Cardinality::Repeated;
        let Kind::Message(message) = field.kind() else {
            let value = scalar(field);
            return Some(if is_list { Value::List(vec![value]) } else { value });
        };
        if self.open.iter().any(|open| open == message.full_name()) {
            return None;
        }
        if !is_list {
            return Some(Value::Message(self.one(&message, 0)));
        }
        let items = match self.arms {
            Arms::Everywhere => self.all(&message),
            Arms::OfThisMessage => vec![self.one(&message, 0)],
        };
        Some(Value::List(items.into_iter().map(Value::Message).collect()))
    }
}

/// A value that tells fields apart and is a valid one where the type alone does not say what that is.
fn scalar(field: &FieldDescriptor) -> Value {
    let number = field.number();
    let signed = i32::try_from(number).unwrap();
    match field.kind() {
        Kind::Bool => Value::Bool(true),
        // Ids have 16 bytes, digests 32.
        Kind::Bytes if field.name() == "blake3" => Value::Bytes(vec![0xb3; 32].into()),
        Kind::Bytes => Value::Bytes(vec![u8::try_from(number).unwrap(); 16].into()),
        Kind::Double => Value::F64(f64::from(number) + 0.5),
        Kind::Enum(kind) => Value::EnumNumber(kind.values().last().unwrap().number()),
        Kind::Float => Value::F32(0.5),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => Value::I32(-signed),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => Value::I64(-i64::from(number)),
        Kind::Message(_) => unreachable!("the caller fills messages"),
        Kind::String => Value::String(field.name().to_owned()),
        Kind::Uint32 | Kind::Fixed32 => Value::U32(1_000 + number),
        Kind::Uint64 | Kind::Fixed64 => Value::U64((1 << 40) + u64::from(number)),
    }
}

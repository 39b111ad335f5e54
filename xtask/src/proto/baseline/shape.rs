//! A message or an enum, reduced to what others rely on.

use protox::prost_reflect::{EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor};

use super::super::source::Sources;

/// Numbered members and reservations of a message or an enum.
pub(super) struct Shape {
    /// `message` or `enum`.
    pub(super) what: &'static str,
    /// Where it is written.
    pub(super) at: String,
    pub(super) members: Vec<Member>,
    name: String,
    /// First and last number of each reserved range.
    reserved_numbers: Vec<(i64, i64)>,
    reserved_names: Vec<String>,
}

/// A field or an enum value.
pub(super) struct Member {
    pub(super) name: String,
    number: i64,
    /// Type, label and oneof of a field; nothing for an enum value.
    kind: String,
    at: String,
}

impl Shape {
    pub(super) fn of_message(message: &MessageDescriptor, sources: &Sources) -> Self {
        let file = message.parent_file();
        let member = |field: FieldDescriptor| Member {
            name: field.name().to_owned(),
            number: field.number().into(),
            kind: kind(&field),
            at: sources.at(&file, field.path()),
        };
        Self {
            what: "message",
            at: sources.at(&file, message.path()),
            members: message.fields().map(member).collect(),
            name: message.full_name().to_owned(),
            reserved_numbers: message
                .reserved_ranges()
                .map(|range| (range.start.into(), i64::from(range.end) - 1))
                .collect(),
            reserved_names: message.reserved_names().map(str::to_owned).collect(),
        }
    }

    pub(super) fn of_enum(enumeration: &EnumDescriptor, sources: &Sources) -> Self {
        let file = enumeration.parent_file();
        let members = enumeration.values().map(|value| Member {
            name: value.name().to_owned(),
            number: value.number().into(),
            kind: String::new(),
            at: sources.at(&file, value.path()),
        });
        Self {
            what: "enum",
            at: sources.at(&file, enumeration.path()),
            members: members.collect(),
            name: enumeration.full_name().to_owned(),
            reserved_numbers: enumeration
                .reserved_ranges()
                .map(|range| ((*range.start()).into(), (*range.end()).into()))
                .collect(),
            reserved_names: enumeration.reserved_names().map(str::to_owned).collect(),
        }
    }

    /// Appends every promise of `self` that `new` breaks.
    pub(super) fn problems(&self, new: &Self, problems: &mut Vec<String>) {
        let owner = &self.name;
        if self.what != new.what {
            problems.push(format!("{}: {} `{owner}` is now {}", new.at, self.what, new.what));
        }
        for old in &self.members {
            match new.members.iter().find(|member| member.number == old.number) {
                Some(member) => old.problems(member, owner, problems),
                None => new.removal_problems(old, problems),
            }
        }
        for &(first, last) in &self.reserved_numbers {
            if !new.reserves(first, last) {
                let at = &new.at;
                problems.push(format!(
                    "{at}: `{owner}` must go on reserving the numbers {first} to {last}"
                ));
            }
        }
        for name in self.reserved_names.iter().filter(|name| !new.reserved_names.contains(name)) {
            problems.push(format!("{}: `{owner}` must go on reserving the name `{name}`", new.at));
        }
    }

    /// A number or name that is free could be given to something else later.
    fn removal_problems(&self, old: &Member, problems: &mut Vec<String>) {
        let (owner, Member { name, number, .. }) = (&self.name, old);
        if let Some(member) = self.members.iter().find(|member| member.name == *name) {
            problems.push(format!(
                "{}: `{owner}.{name}` was number {number}, is {}",
                member.at, member.number
            ));
        } else if !(self.reserves(*number, *number) && self.reserved_names.contains(name)) {
            problems.push(format!(
                "{}: `{owner}.{name}` was removed: `reserved {number};` and `reserved \"{name}\";`",
                self.at
            ));
        }
    }

    fn reserves(&self, first: i64, last: i64) -> bool {
        let mut next = first;
        while next <= last {
            let range =
                self.reserved_numbers.iter().find(|(from, to)| (*from..=*to).contains(&next));
            let Some((_, to)) = range else { return false };
            next = to + 1;
        }
        true
    }
}

impl Member {
    fn problems(&self, new: &Self, owner: &str, problems: &mut Vec<String>) {
        let (at, number) = (&new.at, self.number);
        if self.name != new.name {
            let (was, is) = (&self.name, &new.name);
            problems.push(format!("{at}: number {number} of `{owner}` was `{was}`, is `{is}`"));
        }
        if self.kind != new.kind {
            let (name, was, is) = (&new.name, &self.kind, &new.kind);
            problems.push(format!("{at}: `{owner}.{name}` was `{was}`, is `{is}`"));
        }
    }
}

/// A field's type, label and oneof, as one would write them.
fn kind(field: &FieldDescriptor) -> String {
    if field.is_map() {
        let Kind::Message(entry) = field.kind() else { unreachable!("a map has entries") };
        let (key, value) = (entry.map_entry_key_field(), entry.map_entry_value_field());
        return format!("map<{}, {}>", type_name(&key.kind()), type_name(&value.kind()));
    }
    let name = type_name(&field.kind());
    match field.containing_oneof() {
        Some(oneof) if oneof.is_synthetic() => format!("optional {name}"),
        Some(oneof) => format!("{name} in oneof {}", oneof.name()),
        None if field.is_list() => format!("repeated {name}"),
        None => name,
    }
}

fn type_name(kind: &Kind) -> String {
    match kind {
        Kind::Message(message) => message.full_name().to_owned(),
        Kind::Enum(enumeration) => enumeration.full_name().to_owned(),
        scalar => format!("{scalar:?}").to_ascii_lowercase(),
    }
}

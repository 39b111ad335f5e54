//! What every `.proto` file must hold to, whatever was promised before.

use protox::prost_reflect::{
    DescriptorPool, EnumDescriptor, FieldDescriptor, FileDescriptor, Kind, MessageDescriptor,
    ServiceDescriptor,
};

use super::source::Sources;
use super::{is_ours, role};

/// Our one package.
const PACKAGE: &str = "bireme.v1";

/// Integer fields whose name ends like a size in bytes, but which count something else.
const NOT_BYTES: [&str; 2] = ["gang_size", "page_size"];

/// Every broken rule, in the order of the files.
pub(super) fn problems(pool: &DescriptorPool) -> Vec<String> {
    let mut rules = Rules { sources: Sources::new(pool), problems: Vec::new() };
    for file in pool.files().filter(|file| is_ours(file.package_name())) {
        rules.check(&file, &[2], file.package_name() == PACKAGE, || {
            format!("the package is `{}`, not `{PACKAGE}`", file.package_name())
        });
    }
    for message in pool.all_messages().filter(|it| is_ours(it.package_name())) {
        rules.message(&message);
    }
    for enumeration in pool.all_enums().filter(|it| is_ours(it.package_name())) {
        rules.enumeration(&enumeration);
    }
    for service in pool.services().filter(|it| is_ours(it.package_name())) {
        rules.service(&service);
    }
    rules.problems
}

struct Rules {
    sources: Sources,
    problems: Vec<String>,
}

impl Rules {
    fn message(&mut self, message: &MessageDescriptor) {
        if message.is_map_entry() {
            return; // Made by the compiler for a map field, which is checked itself.
        }
        let (file, name) = (message.parent_file(), message.name());
        self.commented(&file, message.path(), "message", name);
        self.camel_case(&file, message.path(), "message", name);
        for field in message.fields() {
            self.field(&file, &field);
        }
        for oneof in message.oneofs().filter(|oneof| !oneof.is_synthetic()) {
            self.commented(&file, oneof.path(), "oneof", oneof.full_name());
            self.snake_case(&file, oneof.path(), "oneof", oneof.name());
        }
    }

    fn field(&mut self, file: &FileDescriptor, field: &FieldDescriptor) {
        let (name, path) = (field.name(), field.path());
        self.commented(file, path, "field", field.full_name());
        self.snake_case(file, path, "field", name);
        // A histogram of microseconds is a message, and may say its unit too.
        let is_sound = !is_number(&field.kind()) || field.kind() == Kind::Uint64;
        self.check(file, path, !name.ends_with("_us") || is_sound, || {
            format!("field `{name}` holds microseconds and must be uint64")
        });
        let is_other_time = ["_ns", "_ms", "_secs", "_seconds"].iter().any(|it| name.ends_with(it));
        self.check(file, path, !(is_other_time && is_number(&field.kind())), || {
            format!("field `{name}`: durations are `uint64 *_us`")
        });
        let is_bytes = ["_bytes", "_size"].iter().any(|it| name.ends_with(it)) || name == "size";
        self.check(file, path, !is_bytes || NOT_BYTES.contains(&name) || is_sound, || {
            format!("field `{name}` holds a number of bytes and must be uint64")
        });
    }

    fn enumeration(&mut self, enumeration: &EnumDescriptor) {
        let (file, name) = (enumeration.parent_file(), enumeration.name());
        self.commented(&file, enumeration.path(), "enum", name);
        self.camel_case(&file, enumeration.path(), "enum", name);
        let prefix = format!("{}_", screaming(name));
        for value in enumeration.values() {
            let value_name = value.name();
            self.commented(&file, value.path(), "enum value", value_name);
            let rest = value_name.strip_prefix(&prefix);
            self.check(&file, value.path(), rest.is_some_and(is_screaming), || {
                format!("enum value `{value_name}` must be `{prefix}` and UPPER_CASE words")
            });
        }
        let first = enumeration.values().next();
        let zero = format!("{prefix}UNSPECIFIED");
        let starts_well = first.is_some_and(|value| value.number() == 0 && value.name() == zero);
        self.check(&file, enumeration.path(), starts_well, || {
            format!("enum `{name}` must start with `{zero} = 0`")
        });
    }

    fn service(&mut self, service: &ServiceDescriptor) {
        let file = service.parent_file();
        self.commented(&file, service.path(), "service", service.name());
        self.camel_case(&file, service.path(), "service", service.name());
        for method in service.methods() {
            let (name, path) = (method.name(), method.path());
            self.commented(&file, path, "method", method.full_name());
            self.camel_case(&file, path, "method", name);
            let role = role(&method);
            self.check(&file, path, role.is_some(), || {
                format!("method `{name}` states no role: option (bireme.v1.role) = ROLE_...;")
            });
            self.check(&file, path, role.as_deref() != Some("ROLE_UNSPECIFIED"), || {
                format!("method `{name}` has ROLE_UNSPECIFIED, which nobody holds")
            });
        }
    }

    fn commented(&mut self, file: &FileDescriptor, path: &[i32], what: &str, name: &str) {
        let has_comment = self.sources.has_comment(file, path);
        self.check(file, path, has_comment, || format!("{what} `{name}` has no comment"));
    }

    fn camel_case(&mut self, file: &FileDescriptor, path: &[i32], what: &str, name: &str) {
        self.check(file, path, is_camel(name), || format!("{what} `{name}` is not CamelCase"));
    }

    fn snake_case(&mut self, file: &FileDescriptor, path: &[i32], what: &str, name: &str) {
        self.check(file, path, is_snake(name), || format!("{what} `{name}` is not snake_case"));
    }

    fn check(
        &mut self,
        file: &FileDescriptor,
        path: &[i32],
        holds: bool,
        problem: impl FnOnce() -> String,
    ) {
        if !holds {
            self.problems.push(format!("{}: {}", self.sources.at(file, path), problem()));
        }
    }
}

fn is_number(kind: &Kind) -> bool {
    !matches!(kind, Kind::Bool | Kind::Bytes | Kind::Enum(_) | Kind::Message(_) | Kind::String)
}

fn is_camel(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_uppercase())
        && name.chars().all(|c| c.is_ascii_alphanumeric())
}

fn is_snake(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        && !name.contains("__")
        && !name.ends_with('_')
}

/// Whether a name is what `is_snake` wants, in capitals; may start with a digit, since a prefix stands before it.
fn is_screaming(name: &str) -> bool {
    name == name.to_ascii_uppercase() && is_snake(&format!("a{}", name.to_ascii_lowercase()))
}

/// `ErrorClass` as `ERROR_CLASS`.
fn screaming(camel: &str) -> String {
    let mut name = String::new();
    for c in camel.chars() {
        if c.is_ascii_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(c.to_ascii_uppercase());
    }
    name
}

#[cfg(test)]
mod tests;

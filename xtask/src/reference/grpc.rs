//! The page of the protocol: every service, message and enum, with the comments of `proto/`.

mod comments;

use std::fmt::Write as _;

use anyhow::Result;
use protox::prost_reflect::{
    Cardinality, DescriptorPool, EnumDescriptor, FieldDescriptor, FileDescriptor, Kind,
    MessageDescriptor, ServiceDescriptor,
};

use self::comments::Comments;
use super::pages::{HEAD, cell};
use crate::codegen::compile_protos;
use crate::proto::{is_ours, role, streaming};

const INTRODUCTION: &str = "\
# gRPC

All that `proto/bireme/v1` promises, file by file. A method is for callers whose token grants its role. Sessions, workers and
executors speak on streams; everything that a session's stream can do can be done with unary and server-streaming calls of
`Cluster` and `Store` too. [Plain gRPC](../guides/plain-grpc.md) shows how.
";

pub(super) fn page() -> Result<String> {
    let pool = compile_protos(true)?.descriptor_pool();
    Ok(format!("{HEAD}{INTRODUCTION}{}", body(&pool)?))
}

fn body(pool: &DescriptorPool) -> Result<String> {
    let mut page = Page { comments: Comments::new(pool), text: String::new() };
    for file in pool.files().filter(|file| is_ours(file.package_name())) {
        page.file(&file)?;
    }
    Ok(page.text)
}

struct Page {
    comments: Comments,
    text: String,
}

impl Page {
    fn file(&mut self, file: &FileDescriptor) -> Result<()> {
        write!(self.text, "\n## {}\n", file.name())?;
        for service in file.services() {
            self.service(&service)?;
        }
        for message in file.messages() {
            self.message(&message)?;
        }
        for one in file.enums() {
            self.enumeration(&one)?;
        }
        Ok(())
    }

    fn service(&mut self, service: &ServiceDescriptor) -> Result<()> {
        let comment = self.comments.of(&service.parent_file(), service.path());
        write!(self.text, "\n### {}\n\n{comment}\n\n", service.name())?;
        self.text.push_str("| Method | Request | Response | Streams | Role | Meaning |\n");
        self.text.push_str("| --- | --- | --- | --- | --- | --- |\n");
        for method in service.methods() {
            let comment = cell(&self.comments.of(&service.parent_file(), method.path()));
            let (input, output) = (method.input(), method.output());
            let role = role(&method).unwrap_or_default();
            let role = role.trim_start_matches("ROLE_").to_lowercase();
            let (name, input, output) = (method.name(), link(input.name()), link(output.name()));
            let streams = streaming(&method);
            writeln!(
                self.text,
                "| `{name}` | {input} | {output} | {streams} | {role} | {comment} |"
            )?;
        }
        Ok(())
    }

    fn message(&mut self, message: &MessageDescriptor) -> Result<()> {
        if message.is_map_entry() {
            return Ok(());
        }
        let comment = self.comments.of(&message.parent_file(), message.path());
        write!(self.text, "\n### {}\n\n{comment}\n", message.name())?;
        if message.fields().len() > 0 {
            self.text
                .push_str("\n| Field | Number | Type | Meaning |\n| --- | --- | --- | --- |\n");
        }
        for field in message.fields() {
            let comment = cell(&self.comments.of(&message.parent_file(), field.path()));
            let kind = kind(&field);
            writeln!(
                self.text,
                "| `{}` | {} | {kind} | {comment} |",
                field.name(),
                field.number()
            )?;
        }
        message.child_messages().try_for_each(|child| self.message(&child))?;
        message.child_enums().try_for_each(|child| self.enumeration(&child))
    }

    fn enumeration(&mut self, one: &EnumDescriptor) -> Result<()> {
        let comment = self.comments.of(&one.parent_file(), one.path());
        write!(self.text, "\n### {}\n\n{comment}\n\n| Value | Number | Meaning |\n", one.name())?;
        self.text.push_str("| --- | --- | --- |\n");
        for value in one.values() {
            let comment = cell(&self.comments.of(&one.parent_file(), value.path()));
            writeln!(self.text, "| `{}` | {} | {comment} |", value.name(), value.number())?;
        }
        Ok(())
    }
}

/// What a field holds, with a link where that is described.
fn kind(field: &FieldDescriptor) -> String {
    if field.is_map() {
        let entry = field.kind();
        let entry = entry.as_message().map(|entry| {
            let (key, value) = (entry.map_entry_key_field(), entry.map_entry_value_field());
            format!("map from {} to {}", scalar(&key.kind()), scalar(&value.kind()))
        });
        return entry.unwrap_or_default();
    }
    let kind = scalar(&field.kind());
    let one_of = field.containing_oneof().filter(|one| !one.is_synthetic());
    match (field.cardinality(), one_of) {
        (Cardinality::Repeated, _) => format!("list of {kind}"),
        (_, Some(one)) => format!("{kind}, one of `{}`", one.name()),
        (_, None) if field.field_descriptor_proto().proto3_optional() => {
            format!("{kind}, optional")
        }
        _ => kind,
    }
}

fn scalar(kind: &Kind) -> String {
    match kind {
        Kind::Message(message) if is_ours(message.package_name()) => link(message.name()),
        Kind::Message(message) => format!("`{}`", message.full_name()),
        Kind::Enum(one) => link(one.name()),
        other => format!("`{other:?}`").to_lowercase(),
    }
}

fn link(name: &str) -> String {
    format!("[`{name}`](#{})", name.to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_tells_of_methods_fields_and_values() {
        let body = body(&compile_protos(true).unwrap().descriptor_pool()).unwrap();
        assert!(body.contains("### Session\n"));
        assert!(body.contains("| submit | "));
        assert!(body.contains("| `CAPTURE_LOG` | 2 | Into the attempt's log. |"));
        assert!(body.contains("| `argv` | 1 | list of `string` | Program and arguments;"));
        assert!(body.contains("| `native` | 1 | [`Native`](#native), one of `work` |"));
        let uncommented =
            body.lines().find(|line| line.starts_with("| `") && line.ends_with("|  |"));
        assert_eq!(uncommented, None);
    }
}

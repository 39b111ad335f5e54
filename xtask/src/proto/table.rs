//! The contract at a glance.

use std::fmt::Write as _;

use protox::prost_reflect::DescriptorPool;

use super::{is_ours, role, streaming};

/// Services and methods with who may call them and how they stream, then totals.
pub(super) fn of(pool: &DescriptorPool) -> String {
    let mut table = String::new();
    let mut methods = 0;
    for service in pool.services().filter(|it| is_ours(it.package_name())) {
        writeln!(table, "{}", service.full_name()).expect("a string takes every write");
        for method in service.methods() {
            methods += 1;
            let role = role(&method).unwrap_or_else(|| "no role".to_owned());
            let (name, streaming) = (method.name(), streaming(&method));
            writeln!(table, "  {name:<24} {role:<12} {streaming}")
                .expect("a string takes every write");
        }
    }
    let messages = pool.all_messages().filter(|it| is_ours(it.package_name()));
    let messages: Vec<_> = messages.filter(|message| !message.is_map_entry()).collect();
    let fields: usize = messages.iter().map(|message| message.fields().len()).sum();
    let enums = pool.all_enums().filter(|it| is_ours(it.package_name())).count();
    let services = pool.services().filter(|it| is_ours(it.package_name())).count();
    let messages = messages.len();
    writeln!(
        table,
        "{services} services, {methods} methods, {messages} messages, {fields} fields, {enums} enums"
    )
    .expect("a string takes every write");
    table
}

//! Compares the `.proto` files with what was promised: `proto/baseline.binpb`, a descriptor set.
//!
//! Messages and enums are brought into one [`Shape`], numbered members and reservations, so that one comparison
//! serves both. A service has no numbers; its methods are compared by name.

mod shape;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use protox::prost_reflect::{DescriptorPool, MethodDescriptor, ServiceDescriptor};

use self::shape::Shape;
use super::source::Sources;
use super::{is_ours, role, streaming};

/// Every promise that `new` breaks, with the place in the new files where there is one.
pub(super) fn problems(old: &DescriptorPool, new: &DescriptorPool) -> Vec<String> {
    let sources = Sources::new(new);
    let old_shapes = shapes(old, &Sources::default());
    let new_shapes = shapes(new, &sources);
    let mut problems = Vec::new();
    for (name, old) in &old_shapes {
        match new_shapes.get(name) {
            Some(new) => old.problems(new, &mut problems),
            None => problems.push(format!("{}: {} `{name}` was removed", old.at, old.what)),
        }
    }
    for service in old.services().filter(|it| is_ours(it.package_name())) {
        service_problems(&service, new, &sources, &mut problems);
    }
    problems
}

/// Full names of what `new` has and `old` has not.
pub(super) fn additions(old: &DescriptorPool, new: &DescriptorPool) -> Vec<String> {
    let (old, new) = (names(old), names(new));
    new.difference(&old).cloned().collect()
}

fn shapes(pool: &DescriptorPool, sources: &Sources) -> BTreeMap<String, Shape> {
    let messages = pool
        .all_messages()
        .filter(|it| is_ours(it.package_name()) && !it.is_map_entry())
        .map(|message| (message.full_name().to_owned(), Shape::of_message(&message, sources)));
    let enums = pool
        .all_enums()
        .filter(|it| is_ours(it.package_name()))
        .map(|it| (it.full_name().to_owned(), Shape::of_enum(&it, sources)));
    messages.chain(enums).collect()
}

fn service_problems(
    old: &ServiceDescriptor,
    new: &DescriptorPool,
    sources: &Sources,
    problems: &mut Vec<String>,
) {
    let name = old.full_name();
    let Some(new) = new.get_service_by_name(name) else {
        let at = Sources::default().at(&old.parent_file(), &[]);
        problems.push(format!("{at}: service `{name}` was removed"));
        return;
    };
    let file = new.parent_file();
    for old in old.methods() {
        let name = old.full_name();
        let Some(new) = new.methods().find(|method| method.name() == old.name()) else {
            let at = sources.at(&file, new.path());
            problems.push(format!("{at}: method `{name}` was removed"));
            continue;
        };
        let (was, is) = (signature(&old), signature(&new));
        if was != is {
            let at = sources.at(&file, new.path());
            problems.push(format!("{at}: method `{name}` was `{was}`, is `{is}`"));
        }
    }
}

/// All that a caller of a method relies on.
fn signature(method: &MethodDescriptor) -> String {
    let role = role(method).unwrap_or_else(|| "no role".to_owned());
    let (input, output) = (method.input(), method.output());
    format!("{} -> {}, {}, {role}", input.full_name(), output.full_name(), streaming(method))
}

fn names(pool: &DescriptorPool) -> BTreeSet<String> {
    let shapes = shapes(pool, &Sources::default());
    let members = shapes.iter().flat_map(|(owner, shape)| {
        shape.members.iter().map(move |member| format!("{owner}.{}", member.name))
    });
    let services = pool.services().filter(|it| is_ours(it.package_name()));
    let methods: Vec<String> = services
        .flat_map(|service| {
            service.methods().map(|it| it.full_name().to_owned()).collect::<Vec<_>>()
        })
        .collect();
    shapes.keys().cloned().chain(members).chain(methods).collect()
}

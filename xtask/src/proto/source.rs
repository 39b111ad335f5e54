//! Where in the `.proto` files something is written, and whether it carries a comment.

use std::collections::BTreeMap;

use protox::prost_reflect::{DescriptorPool, FileDescriptor};

/// Lines and comments of every descriptor, by file and descriptor path.
#[derive(Default)]
pub(super) struct Sources {
    places: BTreeMap<(String, Vec<i32>), Place>,
}

struct Place {
    line: i32,
    has_comment: bool,
}

impl Sources {
    /// Reads what the compiler kept; a pool without source info gives places without lines.
    pub(super) fn new(pool: &DescriptorPool) -> Self {
        let mut places = BTreeMap::new();
        for file in pool.file_descriptor_protos() {
            for location in file.source_code_info.iter().flat_map(|info| &info.location) {
                let comments = [location.leading_comments(), location.trailing_comments()];
                let place = Place {
                    line: location.span.first().map_or(1, |line| line + 1),
                    has_comment: comments.iter().any(|comment| !comment.trim().is_empty()),
                };
                places.insert((file.name().to_owned(), location.path.clone()), place);
            }
        }
        Self { places }
    }

    /// Where something is, as `proto/FILE:LINE`; without the line where it is not known.
    pub(super) fn at(&self, file: &FileDescriptor, path: &[i32]) -> String {
        let name = file.name();
        match self.places.get(&(name.to_owned(), path.to_owned())) {
            Some(place) => format!("proto/{name}:{}", place.line),
            None => format!("proto/{name}"),
        }
    }

    /// Whether something has a comment before or behind it.
    pub(super) fn has_comment(&self, file: &FileDescriptor, path: &[i32]) -> bool {
        let place = self.places.get(&(file.name().to_owned(), path.to_owned()));
        place.is_some_and(|place| place.has_comment)
    }
}

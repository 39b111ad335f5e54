//! The comments of the `.proto` files.

use std::collections::BTreeMap;

use protox::prost_reflect::{DescriptorPool, FileDescriptor};

/// The comment of every descriptor, by file and descriptor path.
pub(super) struct Comments(BTreeMap<(String, Vec<i32>), String>);

impl Comments {
    /// Reads what the compiler kept.
    pub(super) fn new(pool: &DescriptorPool) -> Self {
        let mut comments = BTreeMap::new();
        for file in pool.file_descriptor_protos() {
            for location in file.source_code_info.iter().flat_map(|info| &info.location) {
                let leading = location.leading_comments();
                let text = if leading.is_empty() { location.trailing_comments() } else { leading };
                let lines: Vec<_> = text.lines().map(str::trim).collect();
                comments.insert(
                    (file.name().to_owned(), location.path.clone()),
                    lines.join("\n").trim().to_owned(),
                );
            }
        }
        Self(comments)
    }

    /// What is said of something; empty is nothing.
    pub(super) fn of(&self, file: &FileDescriptor, path: &[i32]) -> String {
        self.0.get(&(file.name().to_owned(), path.to_owned())).cloned().unwrap_or_default()
    }
}

//! Numbers by which the machine's tables know their entries. They mean nothing outside.

/// No task, edge, object or worker.
pub(super) const NONE: u32 = u32::MAX;

/// A graph by its place in the machine; never used again for another.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(super) struct GraphNo(pub(super) u32);

/// A task by its place in the machine.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(super) struct TaskRef {
    pub(super) graph: GraphNo,
    pub(super) index: u32,
}

/// A class by its place in the table.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(super) struct ClassNo(pub(super) u32);

/// An object by its place in the table.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(super) struct ObjectNo(pub(super) u32);

impl ObjectNo {
    pub(super) const NONE: Self = Self(NONE);
}

/// A kind by its place in the table.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct KindNo(pub(super) u32);

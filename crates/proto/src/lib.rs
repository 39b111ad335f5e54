//! The border: the generated gRPC types, and how they become the words of `bireme-core` and back.
//!
//! [`pb`] is the written protocol as Rust types and gRPC stubs, generated from `proto/bireme/v1`. [`convert`] is the door:
//! what comes in is checked there once, field by field, and what is let through is valid. [`status`] maps refusals to
//! `tonic::Status` and back, [`role`] tells which role a method asks of its caller, and [`access`] is the file by which
//! clients and workers of the same user find a scheduler and its token. [`bulk`] frames what is said on bulk connections.
//!
//! Start with [`convert`]. A new field of a message is a compile error there, because every message is taken apart by name.
//!
//! What this crate never does: open a socket, read a clock or the environment, or decode a payload, which only workers
//! do. Its generated types stop at the `rpc` modules of the daemons and in the client.

pub mod access;
pub mod bulk;
pub mod convert;
pub mod role;
pub mod status;

/// The written protocol, generated from `proto/bireme/v1` by `cargo xtask codegen`.
#[allow(
    clippy::all,
    clippy::pedantic,
    clippy::allow_attributes_without_reason,
    clippy::use_self,
    missing_docs,
    unreachable_pub,
    unused_qualifications,
    reason = "generated; its comments are judged where they are written, by `cargo xtask proto`"
)]
pub mod pb {
    include!("gen/bireme.v1.rs");
}

/// Descriptors of every file of the protocol with all they import, encoded as a `google.protobuf.FileDescriptorSet`: for
/// server reflection, and for [`role`].
pub const DESCRIPTOR_SET: &[u8] = include_bytes!("gen/bireme.v1.binpb");

//! Which role a method asks of its caller, as the `.proto` files say.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use prost::Message as _;

use crate::{DESCRIPTOR_SET, pb};

/// What a caller is allowed to do.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Role {
    /// Look: lists, status, results, logs, metrics.
    Read,
    /// Change one's own work: submit, cancel, release, call actors. Includes `Read`.
    Submit,
    /// Change the cluster and other people's work: drain, shut down, issue tokens. Includes `Submit`.
    Admin,
    /// Join as a worker or as an executor of one. Includes only `Read`.
    Worker,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 4] = [Self::Read, Self::Submit, Self::Admin, Self::Worker];

    /// Whether a caller with this role may call a method that asks for `needed`.
    pub fn includes(self, needed: Self) -> bool {
        match self {
            Self::Worker => matches!(needed, Self::Worker | Self::Read),
            _ => needed <= self && needed != Self::Worker,
        }
    }

    /// As people spell it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Submit => "submit",
            Self::Admin => "admin",
            Self::Worker => "worker",
        }
    }
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl From<Role> for pb::Role {
    fn from(role: Role) -> Self {
        match role {
            Role::Read => Self::Read,
            Role::Submit => Self::Submit,
            Role::Admin => Self::Admin,
            Role::Worker => Self::Worker,
        }
    }
}

/// The role that a method asks for, by its path as HTTP/2 spells it: `/bireme.v1.Session/Attach`. `None` for methods that
/// are not ours.
pub fn role_of(path: &str) -> Option<Role> {
    ROLES.get(path).copied()
}

/// Every method of ours, by its path, and the role it asks for.
pub fn methods() -> impl Iterator<Item = (&'static str, Role)> {
    ROLES.iter().map(|(path, role)| (path.as_str(), *role))
}

static ROLES: LazyLock<BTreeMap<String, Role>> = LazyLock::new(|| {
    let set = FileSet::decode(DESCRIPTOR_SET).expect("xtask codegen wrote it");
    set.roles().filter_map(|(path, role)| Some((path, role?))).collect()
});

/// As much of a `google.protobuf.FileDescriptorSet` as tells roles. The published types drop the option, which is an
/// extension, as a field they do not know.
#[derive(Clone, PartialEq, prost::Message)]
struct FileSet {
    #[prost(message, repeated, tag = "1")]
    file: Vec<File>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct File {
    #[prost(string, tag = "2")]
    package: String,
    #[prost(message, repeated, tag = "6")]
    service: Vec<Service>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Service {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, repeated, tag = "2")]
    method: Vec<Method>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Method {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, optional, tag = "4")]
    options: Option<MethodOptions>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct MethodOptions {
    #[prost(enumeration = "pb::Role", tag = "50701")]
    role: i32,
}

impl FileSet {
    fn roles(&self) -> impl Iterator<Item = (String, Option<Role>)> {
        self.file.iter().flat_map(|File { package, service }| {
            service.iter().flat_map(move |Service { name, method }| {
                method.iter().map(move |method| {
                    (format!("/{package}.{name}/{}", method.name), method.role())
                })
            })
        })
    }
}

impl Method {
    fn role(&self) -> Option<Role> {
        let number = self.options.as_ref()?.role;
        Role::ALL.into_iter().find(|role| i32::from(pb::Role::from(*role)) == number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_method_of_every_service_states_a_role() {
        let set = FileSet::decode(DESCRIPTOR_SET).unwrap();
        let roles: Vec<_> = set.roles().collect();
        assert!(roles.len() > 50, "{} methods are not all there are", roles.len());
        for (path, role) in roles {
            assert!(role.is_some(), "{path} states no role");
            assert_eq!(role_of(&path), role);
        }
    }

    #[test]
    fn methods_are_found_by_their_path() {
        assert_eq!(role_of("/bireme.v1.Session/Attach"), Some(Role::Submit));
        assert_eq!(role_of("/bireme.v1.Fleet/Join"), Some(Role::Worker));
        assert_eq!(role_of("/bireme.v1.Cluster/GetStatus"), Some(Role::Read));
        assert_eq!(role_of("/grpc.health.v1.Health/Check"), None);
        assert_eq!(role_of("bireme.v1.Session/Attach"), None);
    }

    #[test]
    fn a_worker_stands_beside_the_ladder() {
        let included = |role: Role| -> Vec<&str> {
            Role::ALL.into_iter().filter(|it| role.includes(*it)).map(Role::name).collect()
        };
        assert_eq!(included(Role::Read), ["read"]);
        assert_eq!(included(Role::Submit), ["read", "submit"]);
        assert_eq!(included(Role::Admin), ["read", "submit", "admin"]);
        assert_eq!(included(Role::Worker), ["read", "worker"]);
    }
}

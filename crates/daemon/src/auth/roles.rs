//! What a token allows.

use std::fmt;
use std::str::FromStr;

use super::Role;

/// A set of roles, closed under inclusion: submit includes read, admin includes both, worker includes read.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Roles(u8);

/// The text names no role.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("unknown role `{0}`: use read, submit, admin or worker")]
pub struct UnknownRole(String);

impl Roles {
    /// No role: may do nothing.
    pub const NONE: Self = Self(0);
    /// Every role.
    pub const ALL: Self = Self((1 << Role::ALL.len()) - 1);

    /// One bit for each role, in the order of [`Role::ALL`].
    pub(super) fn bits(self) -> u8 {
        self.0
    }

    /// The roles of these bits; those of no role are passed over.
    pub(super) fn from_bits(bits: u8) -> Self {
        Self(bits & Self::ALL.0)
    }

    /// A role and those it includes.
    pub fn of(role: Role) -> Self {
        let included = Role::ALL.into_iter().filter(|other| role.includes(*other));
        Self(included.fold(0, |bits, role| bits | bit(role)))
    }

    /// These, and a further one with those it includes.
    #[must_use]
    pub fn with(self, role: Role) -> Self {
        Self(self.0 | Self::of(role).0)
    }

    /// Whether these allow what asks for `role`.
    pub fn allow(self, role: Role) -> bool {
        self.0 & bit(role) != 0
    }
}

fn bit(role: Role) -> u8 {
    1 << role as u8
}

impl FromStr for Roles {
    type Err = UnknownRole;

    /// Reads names separated by commas.
    fn from_str(text: &str) -> Result<Self, UnknownRole> {
        text.split(',').map(str::trim).try_fold(Self::NONE, |roles, name| {
            let found = Role::ALL.into_iter().find(|role| role.name() == name);
            found.map(|role| roles.with(role)).ok_or_else(|| UnknownRole(name.to_owned()))
        })
    }
}

impl fmt::Display for Roles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let allowed = Role::ALL.into_iter().filter(|role| self.allow(*role));
        let names: Vec<_> = allowed.map(Role::name).collect();
        f.write_str(&names.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_includes_those_below_it() {
        for (granted, allowed) in [
            ("read", "read"),
            ("submit", "read,submit"),
            ("admin", "read,submit,admin"),
            ("worker", "read,worker"),
            ("worker, submit", "read,submit,worker"),
        ] {
            assert_eq!(granted.parse::<Roles>().unwrap().to_string(), allowed);
        }
        assert_eq!(Roles::ALL.to_string(), "read,submit,admin,worker");
        assert_eq!(Roles::NONE.to_string(), "");
    }

    #[test]
    fn an_unknown_role_is_named() {
        assert_eq!("read,root".parse::<Roles>(), Err(UnknownRole("root".into())));
        assert_eq!("".parse::<Roles>(), Err(UnknownRole(String::new())));
    }
}

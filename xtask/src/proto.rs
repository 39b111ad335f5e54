//! `cargo xtask proto`: the checks that keep `proto/bireme/v1` a contract.
//!
//! [`rules`] looks at the files as they are; [`baseline`] compares them with what was promised before.

mod baseline;
mod rules;
mod source;
mod table;

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use protox::prost_reflect::{DescriptorPool, ExtensionDescriptor, MethodDescriptor, Value};

use crate::codegen::compile_protos;
use crate::workspace::{root, shown, write};

/// Check the .proto files: comments, names, units, roles, and that nothing promised was changed
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Promise what is there now: rewrite proto/baseline.binpb. Additions need nothing else. Anything that the
    /// comparison refuses needs an ADR that says why the promise may be broken, and may be accepted only until the
    /// issue of that protocol closes (session, fleet, store and admin; executor and actor)
    #[arg(long)]
    accept: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let pool = compile_protos(true)?.descriptor_pool();
    print!("{}", table::of(&pool));
    fail_on(&rules::problems(&pool), "")?;
    if args.accept {
        return accept(&pool);
    }
    let path = baseline_path();
    let Ok(promised) = fs::read(&path) else {
        bail!("{} is missing: run `cargo xtask proto --accept` and commit it", shown(&path));
    };
    let promised = DescriptorPool::decode(promised.as_slice())
        .with_context(|| format!("{} is not a descriptor set", shown(&path)))?;
    fail_on(
        &baseline::problems(&promised, &pool),
        "run `cargo xtask proto --help` before --accept",
    )?;
    let added = baseline::additions(&promised, &pool);
    if !added.is_empty() {
        println!("not promised yet (`cargo xtask proto --accept`): {}", added.join(", "));
    }
    Ok(())
}

/// The same checks, as CI runs them.
pub(crate) fn check() -> Result<()> {
    run(&Args { accept: false })
}

fn accept(pool: &DescriptorPool) -> Result<()> {
    let path = baseline_path();
    if let Ok(promised) = fs::read(&path) {
        let promised = DescriptorPool::decode(promised.as_slice())
            .with_context(|| format!("{} is not a descriptor set", shown(&path)))?;
        for problem in baseline::problems(&promised, pool) {
            println!("accepted, and an ADR says why: {problem}");
        }
    }
    write(&path, compile_protos(false)?.encode_file_descriptor_set())?;
    println!("wrote {}", shown(&path));
    Ok(())
}

fn baseline_path() -> PathBuf {
    root().join("proto/baseline.binpb")
}

fn fail_on(problems: &[String], hint: &str) -> Result<()> {
    if problems.is_empty() {
        return Ok(());
    }
    let message = format!("{} broken rules\n{}\n{hint}", problems.len(), problems.join("\n"));
    bail!("{}", message.trim_end());
}

/// Whether a file is one of ours, by its package: what we import from Google is not ours to judge.
pub(crate) fn is_ours(package: &str) -> bool {
    !package.starts_with("google.")
}

/// The role that a method states, by name; `None` where it states none.
pub(crate) fn role(method: &MethodDescriptor) -> Option<String> {
    let option: ExtensionDescriptor =
        method.parent_pool().get_extension_by_name("bireme.v1.role")?;
    let options = method.options();
    if !options.has_extension(&option) {
        return None;
    }
    let Value::EnumNumber(number) = *options.get_extension(&option) else { return None };
    let role = option.kind().as_enum()?.get_value(number)?;
    Some(role.name().to_owned())
}

/// How a method streams, in words.
pub(crate) fn streaming(method: &MethodDescriptor) -> &'static str {
    match (method.is_client_streaming(), method.is_server_streaming()) {
        (false, false) => "unary",
        (true, false) => "client stream",
        (false, true) => "server stream",
        (true, true) => "both stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Compiles a file of our package that holds `text`, from its third line on.
    pub(super) fn pool(text: &str) -> DescriptorPool {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.proto");
        let head = "syntax = \"proto3\"; package bireme.v1;\nimport \"bireme/v1/options.proto\";\n";
        fs::write(&path, format!("{head}{text}")).unwrap();
        let includes = [dir.path().to_owned(), root().join("proto")];
        crate::codegen::compile(&includes, &[path], true).unwrap().descriptor_pool()
    }

    #[test]
    fn roles_and_streams_are_read_from_the_options() {
        let pool = pool(
            "message M {} service S { rpc R(M) returns (stream M) { option (role) = ROLE_ADMIN; } }",
        );
        let method = pool.services().next().unwrap().methods().next().unwrap();
        assert_eq!(role(&method).as_deref(), Some("ROLE_ADMIN"));
        assert_eq!(streaming(&method), "server stream");
    }
}

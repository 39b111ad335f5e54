//! `cargo xtask codegen`: Rust types and the descriptor set, generated from `proto/` and committed.
//!
//! protox reads the `.proto` files, so nobody needs protoc, and the workspace has no build script.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use protox::Compiler;

use crate::workspace::{files_below, read_text, root, shown, write};

/// Generate crates/proto/src/gen from proto/
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Change nothing; fail if what is committed is not what would be generated
    #[arg(long)]
    check: bool,
}

/// What few messages of their kind carry, and what would make all of them as large in memory: queues hold messages by the
/// hundred, and each is moved several times on its way.
const BOXED: [&str; 12] = [
    ".bireme.v1.CallOutcome.outcome.failure",
    ".bireme.v1.CallOutcome.outcome.user_error",
    ".bireme.v1.ExecutorOrder.Answer.answer.failed",
    ".bireme.v1.ExecutorOrder.order.actor_create",
    ".bireme.v1.ExecutorOrder.order.actor_restore",
    ".bireme.v1.ExecutorOrder.order.run",
    ".bireme.v1.ExecutorReport.ActorReply.outcome.error",
    ".bireme.v1.ExecutorReport.report.actor_failed",
    ".bireme.v1.ExecutorReport.report.actor_state",
    ".bireme.v1.ExecutorReport.report.failed",
    ".bireme.v1.HostMessage.kind.open_refused",
    ".bireme.v1.HostMessage.kind.redirect",
];

/// What is generated, and where it belongs.
struct Generated {
    path: PathBuf,
    contents: Vec<u8>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    if args.check {
        return check();
    }
    for file in generate()? {
        write(&file.path, &file.contents)?;
        println!("wrote {}", shown(&file.path));
    }
    Ok(())
}

/// Fails, naming each file under `gen/` that is not what would be generated.
pub(crate) fn check() -> Result<()> {
    let generated = generate()?;
    let mut stale = Vec::new();
    for file in &generated {
        match fs::read(&file.path) {
            Ok(contents) if contents == file.contents => {}
            Ok(_) => stale.push(format!("{} is stale", shown(&file.path))),
            Err(_) => stale.push(format!("{} is missing", shown(&file.path))),
        }
    }
    for path in files_below(&gen_dir(), &["rs", "binpb"])? {
        if !generated.iter().any(|file| file.path == path) {
            stale.push(format!("{} is generated from nothing: delete it", shown(&path)));
        }
    }
    if !stale.is_empty() {
        bail!("{}\nrun `cargo xtask codegen` and commit the result", stale.join("\n"));
    }
    println!("generated code is current");
    Ok(())
}

/// Compiles every `.proto` file of ours; with `source_info`, comments and line numbers are kept.
pub(crate) fn compile_protos(source_info: bool) -> Result<Compiler> {
    let includes = root().join("proto");
    let files = files_below(&includes.join("bireme/v1"), &["proto"])?;
    if files.is_empty() {
        bail!("no .proto file under {}", shown(&includes));
    }
    compile(&[includes], &files, source_info)
}

/// Compiles `files`, found below one of `includes`.
pub(crate) fn compile(
    includes: &[PathBuf],
    files: &[PathBuf],
    source_info: bool,
) -> Result<Compiler> {
    // protox tells file and line only through `Debug`.
    let mut compiler = Compiler::new(includes).map_err(|error| anyhow::anyhow!("{error:?}"))?;
    compiler.include_source_info(source_info).include_imports(true);
    compiler.open_files(files).map_err(|error| anyhow::anyhow!("{error:?}"))?;
    Ok(compiler)
}

fn gen_dir() -> PathBuf {
    root().join("crates/proto/src/gen")
}

fn generate() -> Result<Vec<Generated>> {
    let out = tempfile::tempdir().context("cannot make a temporary directory")?;
    let settings = tonic_prost_build::configure().bytes(".").btree_map(".").out_dir(out.path());
    let settings = BOXED.iter().fold(settings, tonic_prost_build::Builder::boxed);
    settings
        .compile_fds(compile_protos(true)?.file_descriptor_set())
        .context("cannot generate code")?;
    let code = read_text(&out.path().join("bireme.v1.rs"))?;
    let header = "// Generated from proto/bireme/v1 by `cargo xtask codegen`. Edits are lost.\n";
    let descriptors = compile_protos(false)?.encode_file_descriptor_set();
    Ok(vec![
        Generated {
            path: gen_dir().join("bireme.v1.rs"),
            contents: rustfmt(&format!("{header}{code}"))?,
        },
        Generated { path: gen_dir().join("bireme.v1.binpb"), contents: descriptors },
    ])
}

/// Formats code by the workspace's own rules, so that `cargo fmt` leaves it alone.
fn rustfmt(code: &str) -> Result<Vec<u8>> {
    // Through a file, since a pipe could fill in both directions at once.
    let mut input = tempfile::tempfile().context("cannot make a temporary file")?;
    std::io::Write::write_all(&mut input, code.as_bytes())?;
    std::io::Seek::rewind(&mut input)?;
    let output = Command::new("rustfmt")
        .args(["--edition", "2024", "--config-path"])
        .arg(root().join("rustfmt.toml"))
        .stdin(input)
        .stderr(Stdio::inherit())
        .output()
        .context("cannot run rustfmt")?;
    if !output.status.success() {
        bail!("rustfmt failed: {}", output.status);
    }
    Ok(output.stdout)
}

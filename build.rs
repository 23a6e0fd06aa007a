//! Tells the program what it is built from: the commit and the compiler, for `/version`.
//!
//! Owns the two variables that `src/version.rs` reads. Who builds may set them (docker/Dockerfile
//! does, and leaves this file out); otherwise git and rustc are asked. Without git, or outside a
//! repository, the commit is "unknown", and nothing fails. Cargo hands these variables to what it
//! runs, so they must not begin as those of the configuration do.

use std::env;
use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    for name in ["BUILT_FROM_COMMIT", "BUILT_WITH_RUSTC"] {
        println!("cargo:rerun-if-env-changed={name}");
    }
    // Changes with every commit and with every other branch.
    if let Some(log) = said("git", &["rev-parse", "--git-path", "logs/HEAD"])
        && Path::new(&log).exists()
    {
        println!("cargo:rerun-if-changed={log}");
    }
    let commit = given("BUILT_FROM_COMMIT").or_else(commit);
    let rustc = env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    let rustc = given("BUILT_WITH_RUSTC").or_else(|| said(&rustc, &["--version"]));
    for (name, value) in [("BUILT_FROM_COMMIT", commit), ("BUILT_WITH_RUSTC", rustc)] {
        println!("cargo:rustc-env={name}={}", value.unwrap_or_else(|| "unknown".to_owned()));
    }
}

fn given(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

/// The commit of this repository; another one's, in which this folder lies, says nothing of it.
fn commit() -> Option<String> {
    let top = said("git", &["rev-parse", "--show-toplevel"])?;
    let own = env::var("CARGO_MANIFEST_DIR").ok()?;
    let is_own = Path::new(&top).canonicalize().ok()? == Path::new(&own).canonicalize().ok()?;
    if is_own { said("git", &["rev-parse", "--short=12", "HEAD"]) } else { None }
}

/// What a program says in one line; `None` when it is not there or fails.
fn said(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    let line = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !line.is_empty() && !line.contains('\n')).then_some(line)
}

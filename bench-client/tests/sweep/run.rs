//! One run of the program and the files it left.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

/// What a run came to.
pub(crate) struct Run {
    output: Output,
    directory: TempDir,
}

/// Runs a quick sweep of one target.
pub(crate) fn sweep(target: &str, options: &[&str]) -> Run {
    sweep_of(&[&["--target", target][..], options].concat())
}

/// Runs a quick sweep.
pub(crate) fn sweep_of(options: &[&str]) -> Run {
    let directory = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_slotway-bench"))
        .args(["sweep", "--quick", "--out"])
        .arg(directory.path())
        .args(options)
        .env_remove("SLOTWAY_BENCH_PASSWORD")
        .output()
        .unwrap();
    Run { output, directory }
}

/// The exit code of the program with these words.
pub(crate) fn exit_code(words: &[&str]) -> Option<i32> {
    Command::new(env!("CARGO_BIN_EXE_slotway-bench")).args(words).output().unwrap().status.code()
}

impl Run {
    /// The exit code, if it is the expected one; otherwise shows what the program said.
    pub(crate) fn expect_code(&self, code: i32) {
        assert_eq!(self.output.status.code(), Some(code), "{}\n{}", self.stdout(), self.stderr());
    }

    /// The exit code.
    pub(crate) fn code(&self) -> Option<i32> {
        self.output.status.code()
    }

    /// What it printed.
    pub(crate) fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.output.stdout).into_owned()
    }

    /// What it told on the way.
    pub(crate) fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.output.stderr).into_owned()
    }

    /// Where its files are.
    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// The same as a word of a command line.
    pub(crate) fn directory(&self) -> &str {
        self.path().to_str().unwrap()
    }

    /// A file it left.
    pub(crate) fn file(&self, name: &str) -> String {
        let path = self.directory.path().join(name);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// A file it left, as JSON.
    pub(crate) fn json(&self, name: &str) -> Value {
        serde_json::from_str(&self.file(name)).unwrap()
    }

    /// The names of all files, sorted.
    pub(crate) fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(self.directory.path()).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// The phases of `summary.json`.
    pub(crate) fn phases(&self) -> Vec<Value> {
        self.json("summary.json")["phases"].as_array().unwrap().clone()
    }

    /// A counter summed over the phases of one operation.
    pub(crate) fn sum(&self, op: &str, counter: &str) -> u64 {
        let phases = self.phases();
        let of_op = phases.iter().filter(|phase| phase["op"] == op);
        of_op.map(|phase| phase[counter].as_u64().unwrap()).sum()
    }
}

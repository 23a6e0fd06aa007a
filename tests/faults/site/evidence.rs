//! What the cluster has lost itself, and how that is proven.
//!
//! Owns the rule: replication is asynchronous, so a master that dies may take an acknowledged
//! write with it. It is the cluster's loss when the master's append-only file, which a node writes
//! before it answers and which is kept here as it was when the node went away, holds the write.
//! Any other acknowledged write that is missing was lost by the gateway, which fails the test.

use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Stdio;

use slotway::resp::Value;

use super::Site;
use crate::link::Link;
use crate::load::Report;
use crate::load::ledger::Missing;
use crate::load::queue;
use crate::nodes::{Process, guarded, until};

/// The data of a node as it was when it went away.
pub(super) struct Evidence {
    folder: PathBuf,
}

impl Site {
    /// Keeps a copy of a node's data, which must not run.
    pub(super) fn keep_evidence(&mut self, at: usize) {
        let number = self.evidence.len();
        let folder = self.fleet.folder.path().join(format!("evidence-{number}"));
        let inside = folder.join("appendonlydir");
        fs::create_dir_all(&inside).unwrap();
        let files = fs::read_dir(self.fleet.nodes[at].home.join("appendonlydir"));
        for file in files.into_iter().flatten().flatten() {
            fs::copy(file.path(), inside.join(file.file_name())).unwrap();
        }
        self.evidence.push(Evidence { folder });
    }

    /// Every write that is missing must have been lost by the cluster itself.
    pub(super) fn account_for(&self, fault: &str, report: &Report) {
        let mut unproven: Vec<&Missing> = report.missing().collect();
        let count = unproven.len();
        for evidence in &self.evidence {
            if unproven.is_empty() {
                break;
            }
            let held = evidence.numbers(&unproven);
            let mut held = held.into_iter();
            unproven.retain(|missing| held.next().is_none_or(|number| number < missing.had));
        }
        if count > 0 {
            eprintln!(
                "{fault}: {} of {count} losses are the cluster's own",
                count - unproven.len()
            );
        }
        assert!(unproven.is_empty(), "lost: {unproven:?}");
    }
}

impl Evidence {
    /// The numbers that the keys had there.
    fn numbers(&self, missing: &[&Missing]) -> Vec<u64> {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let _process = Process::start(
            guarded("redis-server")
                .args(["--port", &address.port().to_string(), "--bind", "127.0.0.1"])
                .args(["--save", "", "--appendonly", "yes", "--daemonize", "no", "--dir"])
                .arg(&self.folder)
                .stdin(Stdio::null())
                .stdout(Stdio::null()),
        );
        until("a node's data", || {
            let said = Link::connect(address).and_then(|mut link| link.call(&["PING"]));
            matches!(said, Ok(Value::Simple(_)))
        });
        let mut link = Link::connect(address).unwrap();
        let mut number = |missing: &&Missing| {
            let key = missing.key.as_str();
            match link.call(&["TYPE", key]).unwrap().as_str() {
                Some("stream") => {
                    let entries = queue::entries(&link.call(&["XRANGE", key, "-", "+"]).unwrap());
                    if entries.contains(&missing.had) { missing.had } else { 0 }
                }
                Some("list" | "none") if key.ends_with("-waiting") => {
                    let number = missing.had.to_string();
                    let mut is_in = |key: &str| {
                        let at = link.call(&["LPOS", key, &number]).unwrap();
                        at.as_int().is_some()
                    };
                    let done = key.replace("-waiting", "-done");
                    if is_in(key) || is_in(&done) { missing.had } else { 0 }
                }
                _ => {
                    let value = link.call(&["GET", key]).unwrap();
                    let text = value.as_str().unwrap_or_default();
                    text.get(..16).unwrap_or(text).parse().unwrap_or(0)
                }
            }
        };
        missing.iter().map(&mut number).collect()
    }
}

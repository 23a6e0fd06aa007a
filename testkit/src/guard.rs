//! A process that ends with the tests, however they end.
//!
//! Owns that promise: a shell beside the process waits for the end of its own input, which comes
//! when the test drops it and also when the whole test program exits, panics or is killed.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::PATIENCE;

const SCRIPT: &str = r#"
signal=$1; shift
exec 3<&0
"$@" 3<&- </dev/null &
child=$!
{ cat <&3 >/dev/null; kill -s "$signal" "$child"; } >/dev/null 2>&1 &
watch=$!
exec 3<&-
wait "$child"
code=$?
kill "$watch" 2>/dev/null
exit "$code"
"#;

/// How a process is ended.
#[derive(Clone, Copy)]
pub enum EndBy {
    /// It has something to clean up.
    Term,
    /// It has not.
    Kill,
}

/// A running process and what it has said so far.
pub struct Guarded {
    shell: Child,
    lifeline: Option<ChildStdin>,
    said: Arc<Mutex<String>>,
}

impl Guarded {
    /// Starts a program.
    pub fn start(end_by: EndBy, words: &[String], variables: &[(&str, &str)]) -> Guarded {
        let signal = match end_by {
            EndBy::Term => "TERM",
            EndBy::Kill => "KILL",
        };
        let mut command = Command::new("sh");
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("SLOTWAY_") {
                command.env_remove(name);
            }
        }
        let mut shell = command
            .args(["-c", SCRIPT, "guard", signal])
            .args(words)
            .envs(variables.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Ctrl-C in a terminal is for the tests; the end of them is what counts here.
            .process_group(0)
            .spawn()
            .expect("a shell");
        let said = Arc::default();
        listen(shell.stdout.take().expect("stdout"), &said);
        listen(shell.stderr.take().expect("stderr"), &said);
        let lifeline = shell.stdin.take();
        Guarded { shell, lifeline, said }
    }

    /// All that it has said.
    pub fn said(&self) -> String {
        self.said.lock().expect("a text").clone()
    }

    /// Waits until it has said a line with these words; `None` when it has ended instead.
    pub fn wait_for(&mut self, words: &str) -> Option<String> {
        let start = Instant::now();
        loop {
            let ended = self.shell.try_wait().expect("a process").is_some();
            if let Some(line) = self.said().lines().find(|line| line.contains(words)) {
                return Some(line.to_owned());
            }
            if ended {
                return None;
            }
            assert!(start.elapsed() < PATIENCE, "it does not say {words:?}:\n{}", self.said());
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

fn listen(stream: impl Read + Send + 'static, said: &Arc<Mutex<String>>) {
    let said = Arc::clone(said);
    std::thread::spawn(move || {
        let mut lines = BufReader::new(stream);
        let mut line = Vec::new();
        while lines.read_until(b'\n', &mut line).is_ok_and(|count| count > 0) {
            said.lock().expect("a text").push_str(&String::from_utf8_lossy(&line));
            line.clear();
        }
    });
}

impl Drop for Guarded {
    fn drop(&mut self) {
        drop(self.lifeline.take());
        // The shell ends when the process has.
        let _ = self.shell.wait();
    }
}

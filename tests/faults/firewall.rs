//! Packets that disappear without a word, between addresses that only one test uses.
//!
//! Owns the rules, and that none of them stays: a shell beside the test takes a rule away when its
//! input ends, which it does when the test drops it and also when the test program dies.

use std::process::{Child, Command, Stdio};

/// Rules that are in force while this lives.
pub(crate) struct Drops(Child);

const SCRIPT: &str = r#"
trap '' INT TERM HUP
rule() { iptables -w "$1" INPUT $2 -j DROP >/dev/null 2>&1; }
for match in "$@"; do rule -I "$match"; done
echo ready
cat >/dev/null
for match in "$@"; do rule -D "$match"; done
"#;

impl Drops {
    /// Whether this machine lets us.
    pub(crate) fn are_allowed() -> bool {
        // A rule that matches nothing, at an address that nobody has.
        let rule = "iptables -w -I INPUT -d 127.255.255.253 -j DROP && \
            iptables -w -D INPUT -d 127.255.255.253 -j DROP";
        let status = Command::new("sh").args(["-c", rule]).stderr(Stdio::null()).status();
        status.is_ok_and(|status| status.success())
    }

    /// Drops all that comes from or goes to this address.
    pub(crate) fn all_of(address: std::net::IpAddr) -> Drops {
        Drops::of(&[format!("-s {address}"), format!("-d {address}")])
    }

    /// Drops what goes to and fro between two addresses.
    pub(crate) fn between(one: std::net::IpAddr, other: std::net::IpAddr) -> Drops {
        Drops::of(&[format!("-s {one} -d {other}"), format!("-s {other} -d {one}")])
    }

    fn of(matches: &[String]) -> Drops {
        let mut shell = Command::new("sh")
            .args(["-c", SCRIPT, "drops"])
            .args(matches)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut ready = [0; 6];
        std::io::Read::read_exact(shell.stdout.as_mut().unwrap(), &mut ready).unwrap();
        Drops(shell)
    }
}

impl Drop for Drops {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

//! What MONITOR shows of a request.
//!
//! Owns which requests are not shown, and which of their words are secrets: as Redis does it, see
//! <https://redis.io/docs/latest/commands/monitor/>. Pure.

use super::columns::Flags;
use super::{Command, Handling, Local};
use crate::resp::Args;

/// What stands in place of a secret.
pub const REDACTED: &[u8] = b"(redacted)";

impl Command {
    /// Whether MONITOR shows requests of this command: those that administer a server it does not.
    pub fn is_shown(&self) -> bool {
        !self.flags.contains(Flags::ADMIN)
    }

    /// From which word to which a request has secrets; to is not included.
    pub fn secrets(&self, args: Args<'_>) -> Vec<(usize, usize)> {
        let find = |option: &[u8], words: usize| {
            let is = |at: &usize| args.get(*at).eq_ignore_ascii_case(option);
            (1..args.len()).find(is).map(|at| (at + 1, (at + 1 + words).min(args.len())))
        };
        match self.handling {
            Handling::Local(Local::Auth) => vec![(1, args.len())],
            Handling::Local(Local::Hello) => find(b"auth", 2).into_iter().collect(),
            Handling::Guarded(_) if &*self.name == "migrate" => {
                find(b"auth", 1).into_iter().chain(find(b"auth2", 2)).collect()
            }
            _ => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::CommandTable;

    #[test]
    fn shown_as_a_server_shows_them() {
        let table = CommandTable::builtin();
        let shown = |name: &str| table.get(table.by_name(name).expect(name)).unwrap().is_shown();
        for name in ["get", "set", "eval", "evalsha_ro", "fcall", "multi", "exec", "auth", "hello"]
        {
            assert!(shown(name), "{name}");
        }
        for name in ["config|get", "monitor", "shutdown", "acl|setuser", "client|list"] {
            assert!(!shown(name), "{name}");
        }
    }

    #[test]
    fn passwords_are_secrets() {
        let table = CommandTable::builtin();
        let secrets = |line: &str| {
            let words: Vec<&str> = line.split(' ').collect();
            let mut ranges = Vec::new();
            let mut at = 0;
            for word in &words {
                ranges.push((at, at + word.len() as u32));
                at += word.len() as u32 + 1;
            }
            let args = Args::new(line.as_bytes(), &ranges);
            let id = table.by_name(&words[0].to_lowercase()).unwrap();
            table.get(id).unwrap().secrets(args)
        };
        assert_eq!(secrets("HELLO 3 AUTH me secret SETNAME x"), [(3, 5)]);
        assert_eq!(secrets("HELLO 3 AUTH me"), [(3, 4)]);
        assert_eq!(secrets("AUTH me secret"), [(1, 3)]);
        assert_eq!(secrets("HELLO 3"), []);
        assert_eq!(secrets("MIGRATE h 1 k 0 5 AUTH2 me secret"), [(7, 9)]);
        assert_eq!(secrets("SET auth secret"), []);
    }
}

//! What acts on nodes behind the gateway's back: denied, unless the configuration allows it by name.
//!
//! Owns which commands and which options of CONFIG SET these are, which of them can be allowed at
//! all, and how each is then carried out. Knows nothing of configurations or clients. Invariant:
//! what is allowed means the same as at one Redis; where that cannot be, it stays denied.

use std::collections::BTreeSet;

use super::{CommandTable, Handling, Local, Refusal};
use crate::resp::Args;
use crate::resp::number::parse_integer;

/// The commands that can be allowed, in lower case. The first word is a guarded row of the table,
/// or the first two are.
pub const COMMANDS: [&str; 4] =
    ["config rewrite", "debug set-active-expire", "debug sleep", "migrate"];

/// Options of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OptionKind {
    /// What they are, as one clause.
    pub what: &'static str,
    /// Their names.
    pub names: &'static [&'static str],
}

/// Options that CONFIG SET changes only when they are allowed, as `config set NAME`: where nodes
/// read and write files, and what the gateway and its other clients rely on.
#[rustfmt::skip] // a table: one row, one kind
pub const OPTIONS: [OptionKind; 6] = [
    OptionKind { what: "paths, and what is loaded from them", names: &[
        "aclfile", "appenddirname", "appendfilename", "dbfilename", "dir", "loadmodule", "logfile",
        "pidfile", "proc-title-template", "syslog-enabled", "syslog-facility", "syslog-ident",
        "unixsocketgroup",
    ] },
    OptionKind { what: "limits of a connection: clients share the gateway's connections, so a node \
                        that closes one takes the requests of all clients along", names: &[
        "client-output-buffer-limit", "client-query-buffer-limit", "max-new-connections-per-cycle",
        "max-new-tls-connections-per-cycle", "maxclients", "maxmemory-clients",
        "proto-max-bulk-len", "socket-mark-id", "tcp-backlog", "tcp-keepalive", "timeout",
    ] },
    OptionKind { what: "when a node answers, and when it says that it cannot; \
                        `busy-reply-threshold` and `lua-time-limit` of 1 to 5000 are not denied", names: &[
        "busy-reply-threshold", "key-load-delay", "lua-time-limit", "rdb-key-save-delay",
        "watchdog-period",
    ] },
    OptionKind { what: "who may do what at a node, and how the node ends", names: &[
        "acl-pubsub-default", "enable-debug-command", "enable-module-command",
        "enable-protected-configs", "oom-score-adj", "oom-score-adj-values", "shutdown-on-sigint",
        "shutdown-on-sigterm", "shutdown-timeout",
    ] },
    OptionKind { what: "how the nodes are one cluster", names: &[
        "cluster-allow-pubsubshard-when-down", "cluster-allow-reads-when-down",
        "cluster-allow-replica-migration", "cluster-blacklist-ttl", "cluster-link-sendbuf-limit",
        "cluster-manual-failover-timeout", "cluster-migration-barrier", "cluster-node-timeout",
        "cluster-ping-interval", "cluster-preferred-endpoint-type", "cluster-replica-no-failover",
        "cluster-replica-validity-factor", "cluster-require-full-coverage",
        "cluster-slave-no-failover", "cluster-slave-validity-factor", "cluster-slot-stats-enabled",
    ] },
    OptionKind { what: "how replicas follow their masters", names: &[
        "dual-channel-replication-enabled", "min-replicas-max-lag", "min-replicas-to-write",
        "min-slaves-max-lag", "min-slaves-to-write", "repl-backlog-size", "repl-backlog-ttl",
        "repl-disable-tcp-nodelay", "repl-diskless-load", "repl-diskless-sync",
        "repl-diskless-sync-delay", "repl-diskless-sync-max-replicas", "repl-ping-replica-period",
        "repl-ping-slave-period", "repl-timeout", "replica-announced",
        "replica-ignore-disk-write-errors", "replica-ignore-maxmemory", "replica-lazy-flush",
        "replica-priority", "replica-read-only", "replica-serve-stale-data", "slave-announced",
        "slave-ignore-maxmemory", "slave-lazy-flush", "slave-priority", "slave-read-only",
        "slave-serve-stale-data",
    ] },
];

/// Families of which newer servers may have more options: those are denied, too.
pub const FAMILIES: [&str; 8] = [
    "client-",
    "cluster-",
    "max-new-",
    "min-replicas-",
    "repl-",
    "replica-",
    "shutdown-",
    "slave-",
];

/// Options that cannot be allowed: how nodes are reached, and by which password. A password set by a
/// client would be asked of the gateway, which does not know it, at its next connection; and no port
/// or announced address is right for all nodes.
#[rustfmt::skip]
pub const NEVER: [&str; 14] = [
    "bind", "bind-source-addr", "cluster-config-file", "cluster-enabled", "cluster-port",
    "masterauth", "masteruser", "port", "primaryauth", "primaryuser", "protected-mode",
    "requirepass", "unixsocket", "unixsocketperm",
];
/// Families of such options.
pub const NEVER_FAMILIES: [&str; 4] =
    ["cluster-announce-", "replica-announce-", "slave-announce-", "tls-"];

/// Options that may be set to any time up to the server's own value: a node then says that a script
/// keeps it busy as soon as the gateway expects it, or sooner. Milliseconds.
pub const SOONER: [(&str, u64); 2] = [("busy-reply-threshold", 5000), ("lua-time-limit", 5000)];

/// Why an option of [`NEVER`] is not changed.
pub const OWN_OPTION: &str = "it says how each node is reached, which is set at the nodes";
/// Why what could be allowed is not carried out.
const NOT_ALLOWED: &str =
    "it acts at the nodes, behind the gateway's back; allow_commands under [routing] can allow";

/// What the configuration allows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allowed {
    names: BTreeSet<String>,
}

/// A request that is denied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denied {
    /// What it would do, such as `config set dir`.
    pub name: String,
    /// Why not, as one clause.
    pub why: String,
}

impl Allowed {
    /// What these names allow; or which of them cannot be allowed, and why.
    pub fn of(names: &[String]) -> Result<Allowed, String> {
        let mut allowed = Allowed::default();
        for given in names {
            let name = plain(given);
            match objection(&name) {
                None => allowed.names.insert(name),
                Some(why) => return Err(format!("\"{}\" {why}", given.escape_debug())),
            };
        }
        Ok(allowed)
    }

    /// Why a request of a guarded row is not carried out; `None` when it is.
    pub fn denies(&self, args: Args<'_>) -> Option<Denied> {
        let word = |at: usize| String::from_utf8_lossy(args.get(at)).to_ascii_lowercase();
        let first = word(0);
        let second = if args.len() > 1 { word(1) } else { String::new() };
        let both = format!("{first} {second}");
        let name = COMMANDS.into_iter().find(|name| *name == first || *name == both);
        match name {
            Some(name) => self.denies_name(name),
            None => Some(Denied { name: first, why: Refusal::ServerAdmin.text().to_owned() }),
        }
    }

    /// The first option of this CONFIG SET that is not changed, and why not.
    pub fn denies_config_set(&self, args: Args<'_>) -> Option<Denied> {
        (2..args.len()).step_by(2).find_map(|at| {
            let option = String::from_utf8_lossy(args.get(at)).to_ascii_lowercase();
            if at + 1 < args.len() && is_sooner(&option, args.get(at + 1)) {
                return None;
            }
            let name = format!("config set {option}");
            if is_never(&option) {
                return Some(Denied { name, why: OWN_OPTION.to_owned() });
            }
            if is_guarded(&option) { self.denies_name(&name) } else { None }
        })
    }

    fn denies_name(&self, name: &str) -> Option<Denied> {
        let why = || format!("{NOT_ALLOWED} \"{name}\"");
        (!self.names.contains(name)).then(|| Denied { name: name.to_owned(), why: why() })
    }
}

/// A name as it is kept: lower case, one blank between two words.
fn plain(name: &str) -> String {
    let words = name.split(|c: char| c.is_whitespace() || c == '|').filter(|word| !word.is_empty());
    words.map(str::to_ascii_lowercase).collect::<Vec<_>>().join(" ")
}

fn in_families(option: &str, families: &[&str]) -> bool {
    families.iter().any(|family| option.starts_with(family))
}

/// Whether it is one of [`OPTIONS`].
pub fn is_option(name: &str) -> bool {
    OPTIONS.iter().any(|kind| kind.names.contains(&name))
}

fn is_never(option: &str) -> bool {
    NEVER.contains(&option) || in_families(option, &NEVER_FAMILIES)
}

fn is_sooner(option: &str, value: &[u8]) -> bool {
    let value = parse_integer(value).and_then(|value| u64::try_from(value).ok());
    let is = |&(name, most): &(&str, u64)| {
        name == option && value.is_some_and(|value| (1..=most).contains(&value))
    };
    SOONER.iter().any(is)
}

fn is_guarded(option: &str) -> bool {
    is_option(option) || in_families(option, &FAMILIES)
}

/// Why a name cannot be allowed; `None` when it can.
fn objection(name: &str) -> Option<String> {
    if COMMANDS.contains(&name) {
        return None;
    }
    if let Some(option) = name.strip_prefix("config set ") {
        return match option {
            _ if is_never(option) => Some(format!("cannot be allowed: {OWN_OPTION}")),
            _ if is_option(option) => None,
            _ => Some(
                "is no option that is denied; docs/compatibility.md lists those that are"
                    .to_owned(),
            ),
        };
    }
    let table = CommandTable::builtin();
    let row = table.by_name(&name.replace(' ', "|")).and_then(|id| table.get(id));
    Some(match row.map(|row| row.handling) {
        None => "is no command; docs/compatibility.md lists what can be allowed".to_owned(),
        Some(Handling::Guarded(_) | Handling::ConfigSet | Handling::Refuse(Refusal::Container)) => {
            let parts = COMMANDS.into_iter().filter(|known| known.starts_with(name));
            let parts: Vec<String> = parts.map(|part| format!("\"{part}\"")).collect();
            format!("cannot be allowed as a whole; write {}", parts_or_option(&parts))
        }
        Some(Handling::Refuse(why)) => format!("cannot be allowed: {}", why.text()),
        Some(Handling::Local(Local::ClusterDisabled)) => {
            "cannot be allowed: clients of the gateway see no cluster".to_owned()
        }
        Some(_) => "is not denied, so it cannot be allowed".to_owned(),
    })
}

fn parts_or_option(parts: &[String]) -> String {
    if parts.is_empty() {
        return "what of it, such as \"config set dir\"".to_owned();
    }
    parts.join(" or ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_args<T>(line: &str, ask: impl FnOnce(Args<'_>) -> T) -> T {
        let (mut bytes, mut places) = (Vec::new(), Vec::new());
        for word in line.split(' ') {
            let begin = bytes.len() as u32;
            bytes.extend_from_slice(word.as_bytes());
            places.push((begin, bytes.len() as u32));
        }
        ask(Args::new(&bytes, &places))
    }

    fn allowed(names: &[&str]) -> Result<Allowed, String> {
        Allowed::of(&names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn only_what_is_allowed_by_name_is_carried_out() {
        let nothing = Allowed::default();
        let some = allowed(&["Config  SET dir", "migrate", "debug|sleep"]).unwrap();
        for (line, name, is_allowed) in [
            ("MIGRATE h 1 k 0 1", "migrate", true),
            ("debug SLEEP 0", "debug sleep", true),
            ("DEBUG set-active-expire 0", "debug set-active-expire", false),
            ("DEBUG JMAP", "debug", false),
            ("DEBUG", "debug", false),
            ("CONFIG REWRITE", "config rewrite", false),
        ] {
            let denied = with_args(line, |args| nothing.denies(args)).unwrap();
            assert_eq!(denied.name, name, "{line}");
            let denied = with_args(line, |args| some.denies(args));
            assert_eq!(denied.is_none(), is_allowed, "{line}: {denied:?}");
        }
    }

    #[test]
    fn options_are_open_denied_or_never_changed() {
        let some = allowed(&["config set dir", "config set maxclients"]).unwrap();
        for (line, name) in [
            ("CONFIG SET maxmemory 1gb save 1 notify-keyspace-events AKE", None),
            ("CONFIG SET DIR /tmp maxclients 100", None),
            ("CONFIG SET maxmemory 1gb dbfilename x", Some("config set dbfilename")),
            ("CONFIG SET dir / requirepass x", Some("config set requirepass")),
            ("CONFIG SET Replica-Announce-IP x", Some("config set replica-announce-ip")),
            ("CONFIG SET cluster-something-new 1", Some("config set cluster-something-new")),
            ("CONFIG SET lua-time-limit 5000 busy-reply-threshold 1", None),
            ("CONFIG SET lua-time-limit 5001", Some("config set lua-time-limit")),
            ("CONFIG SET busy-reply-threshold 0", Some("config set busy-reply-threshold")),
            ("CONFIG SET busy-reply-threshold x", Some("config set busy-reply-threshold")),
            ("CONFIG SET tls-port 1", Some("config set tls-port")),
        ] {
            let denied = with_args(line, |args| some.denies_config_set(args));
            assert_eq!(denied.map(|denied| denied.name).as_deref(), name, "{line}");
        }
    }

    #[test]
    fn a_name_that_cannot_be_allowed_is_told_why() {
        for (name, why) in [
            ("nonsense", "is no command"),
            ("config set nonsense", "is no option that is denied"),
            ("config set hz", "is no option that is denied"),
            ("config set requirepass", "cannot be allowed: it says how each node is reached"),
            ("config", "write \"config rewrite\""),
            ("config set", "such as \"config set dir\""),
            ("debug", "write \"debug set-active-expire\" or \"debug sleep\""),
            ("get", "is not denied"),
            ("shutdown", "cannot be allowed: servers are managed at the nodes"),
            ("module load", "cannot be allowed: servers are managed at the nodes"),
            ("replicaof", "cannot be allowed: replication"),
            ("cluster failover", "cannot be allowed: clients of the gateway see no cluster"),
        ] {
            let error = allowed(&["migrate", name]).unwrap_err();
            assert!(error.starts_with(&format!("\"{name}\" ")) && error.contains(why), "{error}");
        }
    }

    #[test]
    fn the_lists_are_sound() {
        let options: Vec<&str> =
            OPTIONS.iter().flat_map(|kind| kind.names.iter().copied()).collect();
        for option in &options {
            assert!(is_guarded(option) && !is_never(option), "{option}");
        }
        let once: BTreeSet<&str> = options.iter().copied().collect();
        assert_eq!(once.len(), options.len());
        let table = CommandTable::builtin();
        let guarded = |name: &str| {
            let row = table.by_name(name).and_then(|id| table.get(id));
            row.is_some_and(|row| matches!(row.handling, Handling::Guarded(_)))
        };
        for name in COMMANDS {
            let first = name.split(' ').next().unwrap();
            assert!(guarded(&name.replace(' ', "|")) || guarded(first), "{name}");
        }
    }
}

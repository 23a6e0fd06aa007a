//! THE LIST of options: what the file, the environment, `check-config` and docs/configuration.md agree on.
//!
//! Owns each option's section, name, kind, bounds and meaning; the names of environment variables
//! derive from it. Knows nothing of where a value came from. Defaults are those of `Config::default`.

use std::time::Duration;

use super::field::Field::{
    self, Bind, BindOrOff, Count, Password, PasswordFile, Seeds, Size, SmallCount, Switch, Text,
    Time, TimeOrNever,
};
use super::problem::Place;
use super::{Config, DATABASES_MAX, ListenerConfig};

/// One option: `C` is what it is an option of, the whole configuration or one listener.
pub(super) struct Key<C: 'static> {
    pub(super) section: &'static str,
    pub(super) name: &'static str,
    pub(super) field: Field<C>,
    pub(super) meaning: &'static str,
}

/// What one place says of one option.
pub(super) struct Setting {
    pub(super) target: Target,
    /// None when it could not be read; that is a problem already, and nothing more is said of it.
    pub(super) words: Option<Vec<String>>,
    pub(super) place: Place,
    /// Whether the option was given by the name that it had before.
    pub(super) by_old_name: bool,
}

/// Which option a setting is for.
#[derive(Clone, Copy)]
pub(super) enum Target {
    Main(&'static Key<Config>),
    /// The option of the listener at this index of the file, or of all of them.
    Listener(&'static Key<ListenerConfig>, Option<usize>),
}

/// One option as docs/configuration.md tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocumentedKey {
    /// The table of the file; empty for the top level.
    pub section: &'static str,
    /// The key within the table.
    pub key: &'static str,
    /// The environment variable.
    pub environment: String,
    /// What is written: "size", "duration", "text" …
    pub kind: String,
    /// The default as it would be written in the file; empty when there is none.
    pub default: String,
    /// What it does, in one line.
    pub meaning: &'static str,
}

const fn key<C>(
    section: &'static str,
    name: &'static str,
    field: Field<C>,
    meaning: &'static str,
) -> Key<C> {
    Key { section, name, field, meaning }
}

/// Offsets within a request are 32 bits wide.
const REQUEST_BYTES_MAX: usize = 2 << 30;
const MS: Duration = Duration::from_millis(1);
const ANY: std::ops::RangeInclusive<usize> = 1..=usize::MAX;

/// Every option but those of listeners.
#[rustfmt::skip] // a table: one row, one option
pub(super) static KEYS: &[Key<Config>] = &[
    key("", "workers", Count(|c| &mut c.workers, 0..=1024),
        "Worker threads; 0 is one per core"),
    key("", "worker_scale_up_percent", Count(|c| &mut c.worker_scale_up_percent, 0..=90),
        "When a worker uses so many percent of its core, more workers take part; at most 90. With 0 all take part from the start"),
    key("", "sched_batch", Switch(|c| &mut c.sched_batch),
        "Whether workers run as SCHED_BATCH: one that wakes waits for its turn and does not interrupt the program that has the core"),

    key("topology", "seeds", Seeds(|c| &mut c.topology.seeds),
        "Nodes of the cluster that are asked first; one is enough, several are safer"),
    key("topology", "username", Text(|c| &mut c.topology.username),
        "ACL user of the nodes; needs the password too"),
    key("topology", "password", Password(|c| &mut c.topology.password),
        "Password of the nodes"),
    key("topology", "password_file", PasswordFile(|c| &mut c.topology.password),
        "File that holds the password of the nodes"),
    key("topology", "refresh_interval", Time(|c| &mut c.topology.refresh_interval, Duration::from_millis(100)),
        "How often the map of slots is read again when nothing happens"),

    key("admin", "bind", BindOrOff(|c| &mut c.admin.bind),
        "Address of metrics, health and the operator's page; \"off\" for none"),
    key("admin", "password", Password(|c| &mut c.admin.password),
        "Password of the operator's page and its figures, for any user; metrics and health need none"),
    key("admin", "password_file", PasswordFile(|c| &mut c.admin.password),
        "File that holds this password"),

    key("limits", "clients_max", Count(|c| &mut c.limits.clients_max, ANY),
        "Clients connected at once"),
    key("limits", "request_bytes_max", Size(|c| &mut c.limits.request_bytes_max, 1..=REQUEST_BYTES_MAX),
        "Bytes of one request, like client-query-buffer-limit"),
    key("limits", "bulk_bytes_max", Size(|c| &mut c.limits.bulk_bytes_max, 1..=REQUEST_BYTES_MAX),
        "Bytes of one argument, like proto-max-bulk-len"),
    key("limits", "arguments_max", Count(|c| &mut c.limits.arguments_max, 1..=i32::MAX as usize),
        "Arguments of one request, as in Redis 7; its bytes are what `request_bytes_max` limits"),
    key("limits", "inline_bytes_max", Size(|c| &mut c.limits.inline_bytes_max, ANY),
        "Bytes of one inline request"),
    key("limits", "client_output_bytes_max", Size(|c| &mut c.limits.client_output_bytes_max, ANY),
        "Bytes of replies waiting for one client"),
    key("limits", "pubsub_output_bytes_max", Size(|c| &mut c.limits.pubsub_output_bytes_max, ANY),
        "Bytes waiting for one client that is sent messages; more end it at once"),
    key("limits", "pubsub_output_soft_bytes_max", Size(|c| &mut c.limits.pubsub_output_soft_bytes_max, ANY),
        "Bytes waiting for such a client; more end it after `pubsub_output_soft`"),
    key("limits", "subscriptions_max", Count(|c| &mut c.limits.subscriptions_max, ANY),
        "Channels and patterns that one client may subscribe to"),
    key("limits", "tracking_clients_max", Count(|c| &mut c.limits.tracking_clients_max, 0..=usize::MAX),
        "Clients that may track keys (`CLIENT TRACKING`) at once; each has a connection to every master for itself"),
    key("limits", "client_inflight_max", Count(|c| &mut c.limits.client_inflight_max, ANY),
        "Requests of one client that are not answered yet"),
    key("limits", "node_queue_bytes_max", Size(|c| &mut c.limits.node_queue_bytes_max, ANY),
        "Bytes waiting for one node on one worker before its clients are paused"),
    key("limits", "node_send_buffer_bytes", Size(|c| &mut c.limits.node_send_buffer_bytes, 0..=i32::MAX as usize),
        "Bytes that the system buffers on the way to a node, per connection (256 KB to 512 KB cost least); 0 lets the system decide"),
    key("limits", "held_bytes_max", Size(|c| &mut c.limits.held_bytes_max, 0..=usize::MAX),
        "Bytes of requests held for slots without a master, in the whole gateway; 0 holds none"),
    key("limits", "memory_max", Size(|c| &mut c.limits.memory_max, 0..=usize::MAX),
        "Bytes of all buffers that can grow, in the whole gateway: input and output of clients, and requests on their way. When they are exceeded, the client that has held most for longest is disconnected. 0 is 60 % of the memory of the container or the machine"),
    key("limits", "node_owed_bytes_max", Size(|c| &mut c.limits.node_owed_bytes_max, (64 << 10)..=usize::MAX),
        "Bytes of replies that one node may owe to one worker, estimated from recent ones. Above it, clients with 8 or more requests under way wait for their turn; above four times as much, all clients do"),
    key("limits", "transaction_bytes_max", Size(|c| &mut c.limits.transaction_bytes_max, ANY),
        "Bytes of one client's transaction, kept from MULTI to EXEC"),
    key("limits", "script_cache_bytes_max", Size(|c| &mut c.limits.script_cache_bytes_max, 0..=usize::MAX),
        "Bytes of clients' scripts that are remembered, for masters that lack one; those learned first are forgotten first"),
    key("limits", "watching_clients_max", Count(|c| &mut c.limits.watching_clients_max, ANY),
        "Clients that may watch keys of one node at once: each has a connection to it for itself from WATCH to EXEC"),
    key("limits", "blocked_clients_max", Count(|c| &mut c.limits.blocked_clients_max, ANY),
        "Clients that may be blocked at one node at once: each has a connection to it for itself. The node's own maxclients must leave room for them"),
    key("limits", "redirects_max", SmallCount(|c| &mut c.limits.redirects_max, 1..=1000),
        "Redirects that one request follows"),

    key("timeouts", "idle", TimeOrNever(|c| &mut c.timeouts.idle),
        "A client that sends nothing for so long is disconnected; 0 is never"),
    key("timeouts", "auth", TimeOrNever(|c| &mut c.timeouts.auth),
        "Where a password is needed: a client that has not given it after so long is disconnected, whatever else it sends. Checked once a second; 0 is never"),
    key("timeouts", "auth_delay", Time(|c| &mut c.timeouts.auth_delay, Duration::ZERO),
        "Longest delay of an AUTH after failed ones of the same address; 0 is none"),
    key("timeouts", "connect", Time(|c| &mut c.timeouts.connect, MS),
        "Longest wait for a connection to a node"),
    key("timeouts", "failover_wait", Time(|c| &mut c.timeouts.failover_wait, Duration::ZERO),
        "Longest wait for a master when a slot has none; 0 answers with an error at once"),
    key("timeouts", "response_timeout", Time(|c| &mut c.timeouts.response_timeout, MS),
        "Longest wait for the reply of a node"),
    key("timeouts", "reply_coalesce_delay", Time(|c| &mut c.timeouts.reply_coalesce_delay, Duration::ZERO),
        "Replies to requests that a client sent together leave together: how long the first ones wait for the rest (up to a millisecond longer). 0 writes each as it comes"),
    key("timeouts", "pubsub_output_soft", Time(|c| &mut c.timeouts.pubsub_output_soft, Duration::ZERO),
        "How long a client that is sent messages may leave more than `pubsub_output_soft_bytes_max` unread"),
    key("timeouts", "drain_delay", Time(|c| &mut c.timeouts.drain_delay, Duration::ZERO),
        "At shutdown: how long clients are still accepted after /readyz says no"),
    key("timeouts", "drain", Time(|c| &mut c.timeouts.drain, MS),
        "At shutdown: the deadline for everything, drain_delay included"),

    key("routing", "cross_slot", Field::CrossSlot(|c| &mut c.routing.cross_slot),
        "Commands whose keys are in several slots: split them where that is exact, or refuse all"),
    key("routing", "allow_commands", Field::Names(|c| &mut c.routing.allow_commands),
        "Commands and options that are denied unless they are named here: \"migrate\", \"config set dir\" and others"),
    key("routing", "keyless_scripts", Field::KeylessScripts(|c| &mut c.routing.keyless_scripts),
        "Scripts and functions that name no key: run them at one node, where they see only that node's keys, or refuse them"),

    key("routing", "databases", Count(|c| &mut c.routing.databases, 1..=DATABASES_MAX),
        "Databases that clients can SELECT, 0 among them: 0 is spread over all shards, each other is a whole Redis in one slot. 1 switches the others off"),
    key("routing", "database_prefix", Field::Text(|c| &mut c.routing.database_prefix),
        "How the tags of databases begin, which stand before their keys at the nodes: letters, digits and `_-:.`, \"db\" when it is not set. Another prefix means other keys: what was written before is not found any more"),

    key("keeper", "nodes", Seeds(|c| &mut c.keeper.nodes),
        "All nodes of the cluster that `slotway keeper` forms and heals"),
    key("keeper", "replicas", Count(|c| &mut c.keeper.replicas, 0..=100),
        "Replicas of each master when the keeper forms the cluster"),
    key("keeper", "interval", Time(|c| &mut c.keeper.interval, Duration::from_millis(100)),
        "Time between two looks of the keeper when nothing happens"),
    key("keeper", "timeout", Time(|c| &mut c.keeper.timeout, Duration::from_millis(10)),
        "Longest time that one node has to answer the keeper's questions, or to carry out one command"),
    key("keeper", "forget_after", TimeOrNever(|c| &mut c.keeper.forget_after),
        "Let the cluster forget a node that has failed for so long, has no slots and is not in the list; 0 is never"),
    key("keeper", "takeover_after", TimeOrNever(|c| &mut c.keeper.takeover_after),
        "Make a replica master without a vote when its master and most masters have been gone for so long; 0 is never"),
    key("keeper", "once", Switch(|c| &mut c.keeper.once),
        "End with code 0 as soon as the cluster is whole"),
    key("keeper", "wait", TimeOrNever(|c| &mut c.keeper.wait),
        "With once: end with code 1 when the cluster is not whole after so long; 0 waits for ever"),
    key("keeper", "dry_run", Switch(|c| &mut c.keeper.dry_run),
        "Tell what the keeper would do, and end"),

    key("log", "level", Field::Level(|c| &mut c.log.level),
        "The least severe events that are logged"),
    key("log", "format", Field::LogFormat(|c| &mut c.log.format),
        "Lines for people or objects for machines"),
];

/// The options of each `[[listener]]`.
#[rustfmt::skip]
pub(super) static LISTENER_KEYS: &[Key<ListenerConfig>] = &[
    key("listener", "bind", Bind(|l| &mut l.bind),
        "Address clients connect to; in the environment a comma separated list, one listener each"),
    key("listener", "password", Password(|l| &mut l.password),
        "What clients must AUTH with"),
    key("listener", "password_file", PasswordFile(|l| &mut l.password),
        "File that holds what clients must AUTH with"),
    key("listener", "protected_mode", Switch(|l| &mut l.protected_mode),
        "Without a password, clients that do not come from the loopback interface are told why and disconnected; false serves everybody who reaches the port"),
    key("listener", "database", Count(|l| &mut l.database, 0..=DATABASES_MAX - 1),
        "The database that clients of this listener are in until they SELECT another"),
];

/// Shorter names of environment variables, and the derived ones they stand for.
pub(super) const ENVIRONMENT_ALIASES: [(&str, &str); 1] =
    [("SLOTWAY_SEED", "SLOTWAY_TOPOLOGY_SEEDS")];

/// Every option, in the order of the file.
pub fn documented_keys() -> Vec<DocumentedKey> {
    let (mut config, mut listener) = (Config::default(), ListenerConfig::default());
    let main = KEYS.iter().map(|key| key.documented(&mut config));
    let listener: Vec<_> = LISTENER_KEYS.iter().map(|key| key.documented(&mut listener)).collect();
    let mut all: Vec<DocumentedKey> = main.collect();
    let after_topology = all.iter().rposition(|k| k.section == "topology").map_or(0, |at| at + 1);
    all.splice(after_topology..after_topology, listener);
    all
}

/// The tables a file may have, in order.
pub(super) fn sections() -> Vec<&'static str> {
    let mut names: Vec<&str> = documented_keys().into_iter().map(|key| key.section).collect();
    names.retain(|name| !name.is_empty());
    names.dedup();
    names
}

/// `SLOTWAY_<SECTION>_<KEY>`: the one rule by which variables are named, for `section.key`.
pub(super) fn environment_name(path: &str) -> String {
    format!("SLOTWAY_{}", path.replace('.', "_").to_ascii_uppercase())
}

// === impl Key ===

impl<C> Key<C> {
    /// `section.name`, as messages call it.
    pub(super) fn path(&self) -> String {
        if self.section.is_empty() {
            return self.name.to_owned();
        }
        format!("{}.{}", self.section, self.name)
    }

    fn environment(&self) -> String {
        environment_name(&self.path())
    }

    fn documented(&self, defaults: &mut C) -> DocumentedKey {
        DocumentedKey {
            section: self.section,
            key: self.name,
            environment: self.environment(),
            kind: self.field.kind(),
            default: self.field.show(defaults).unwrap_or_default(),
            meaning: self.meaning,
        }
    }
}

// === impl Target ===

impl Target {
    /// The option called `section.name`; of all listeners, when it is one of theirs.
    pub(super) fn of(path: &str) -> Option<Self> {
        let main = KEYS.iter().find(|key| key.path() == path).map(Target::Main);
        main.or_else(|| {
            let key = LISTENER_KEYS.iter().find(|key| key.path() == path)?;
            Some(Target::Listener(key, None))
        })
    }

    /// Whether a list is given outside the file.
    pub(super) fn takes_list(&self) -> bool {
        match self {
            Target::Main(key) => key.field.is_list(),
            Target::Listener(key, _) => matches!(key.field, Bind(_)),
        }
    }

    /// `section.name`, the same for every listener.
    pub(super) fn path(&self) -> String {
        match self {
            Target::Main(key) => key.path(),
            Target::Listener(key, _) => key.path(),
        }
    }

    /// The listener of the file it is for, when it is for one only.
    pub(super) fn listener(&self) -> Option<usize> {
        match self {
            Target::Main(_) => None,
            Target::Listener(_, index) => *index,
        }
    }

    pub(super) fn is_secret(&self) -> bool {
        match self {
            Target::Main(key) => key.field.is_secret(),
            Target::Listener(key, _) => key.field.is_secret(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_is_a_value_the_option_accepts() {
        let mut config = Config::default();
        for key in KEYS {
            let Some(shown) = key.field.show(&mut config) else { continue };
            let word = shown.trim_matches('"').to_owned();
            if !key.field.is_list() {
                key.field
                    .set(&mut config, &[word])
                    .unwrap_or_else(|e| panic!("{}: {e}", key.path()));
            }
        }
        assert_eq!(config, Config::default());
    }

    #[test]
    fn names_are_unique_and_variables_derive_from_them() {
        let keys = documented_keys();
        let variables: std::collections::BTreeSet<_> =
            keys.iter().map(|k| &k.environment).collect();
        assert_eq!(variables.len(), keys.len());
        for (section, key, variable) in [
            ("", "workers", "SLOTWAY_WORKERS"),
            ("topology", "seeds", "SLOTWAY_TOPOLOGY_SEEDS"),
            ("listener", "bind", "SLOTWAY_LISTENER_BIND"),
            ("limits", "clients_max", "SLOTWAY_LIMITS_CLIENTS_MAX"),
        ] {
            let found = keys.iter().find(|k| k.section == section && k.key == key).unwrap();
            assert_eq!(found.environment, variable);
        }
        for (_, stands_for) in ENVIRONMENT_ALIASES {
            assert!(variables.contains(&stands_for.to_owned()));
        }
        assert_eq!(
            sections(),
            ["topology", "listener", "admin", "limits", "timeouts", "routing", "keeper", "log"]
        );
    }

    #[test]
    fn defaults_are_documented_as_they_are_written() {
        let keys = documented_keys();
        for (key, kind, default) in [
            ("request_bytes_max", "size", "\"1gb\""),
            ("clients_max", "number", "10000"),
            ("response_timeout", "duration", "\"1m\""),
            ("idle", "duration", "\"0s\""),
            ("cross_slot", "\"split\" or \"refuse\"", "\"split\""),
            ("level", "\"error\", \"warn\", \"info\" or \"debug\"", "\"info\""),
            ("username", "text", ""),
        ] {
            let found = keys.iter().find(|k| k.key == key).unwrap();
            assert_eq!((found.kind.as_str(), found.default.as_str()), (kind, default));
            assert!(!found.meaning.is_empty());
        }
    }
}

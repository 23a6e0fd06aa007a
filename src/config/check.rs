//! Combinations that cannot be, each value being fine by itself.
//!
//! Owns those rules. Knows the values and where they came from, not how they were written.

use std::net::SocketAddr;

use super::draft::Draft;
use super::problem::{Place, Problem};
use super::purpose::Purpose;
use super::value::{show_duration, show_size};
use super::{DATABASE_PREFIX, DATABASE_PREFIX_LEN_MAX, KeeperConfig, MASTERS_MIN};

/// All rules; those about an option that has a problem already are left out.
pub(super) fn combinations(draft: &Draft, purpose: Purpose) -> Vec<Problem> {
    let mut problems = Vec::new();
    // A file that cannot be read says nothing of what is missing in it.
    if !draft.is_torn {
        problems.extend(seeds(draft, purpose));
        problems.extend(keeper(draft, purpose));
    }
    problems.extend(credentials(draft));
    problems.extend(sizes(draft));
    problems.extend(drain(draft));
    problems.extend(addresses(draft));
    problems.extend(databases(draft));
    problems
}

/// Tags are plain words, and a listener's database is there.
fn databases(draft: &Draft) -> Option<Problem> {
    let routing = &draft.config.routing;
    let prefix = routing.database_prefix.as_deref().unwrap_or(DATABASE_PREFIX);
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-:.".contains(&byte);
    let path = ["routing.database_prefix"];
    if draft.sound(&path)
        && (!prefix.bytes().all(is_plain) || prefix.len() > DATABASE_PREFIX_LEN_MAX)
    {
        let text = format!(
            "routing.database_prefix has letters, digits and _-:. only, {DATABASE_PREFIX_LEN_MAX} at most"
        );
        return Some(Problem { place: draft.place(&path), text });
    }
    let paths = ["routing.databases", "listener.database"];
    let other = draft.config.listeners.iter().find(|one| one.database >= routing.databases)?;
    draft.sound(&paths).then(|| Problem {
        place: draft.place(&paths),
        text: format!(
            "listener.database is {}, and with routing.databases = {} the last one is {}",
            other.database,
            routing.databases,
            routing.databases - 1
        ),
    })
}

fn seeds(draft: &Draft, purpose: Purpose) -> Option<Problem> {
    let topology = &draft.config.topology;
    match purpose {
        Purpose::Cluster if topology.seeds.is_empty() && draft.sound(&["topology.seeds"]) => {
            let text = "no seed: name at least one node of the cluster with --seed HOST:PORT, \
                        SLOTWAY_SEED or seeds in [topology]";
            Some(Problem { place: draft.place(&["topology.seeds"]), text: text.to_owned() })
        }
        Purpose::OwnNodes => {
            let given = ["topology.seeds", "topology.username", "topology.password"];
            let place = given.iter().find_map(|path| draft.places.get(&((*path).to_owned(), 0)))?;
            let text = "a local cluster is started from nothing; leave out the seeds and the \
                        password of nodes, or use `slotway run`";
            Some(Problem { place: place.clone(), text: text.to_owned() })
        }
        _ => None,
    }
}

/// The nodes of a cluster make masters that can agree, and each has a name of its own.
fn keeper(draft: &Draft, purpose: Purpose) -> Option<Problem> {
    let KeeperConfig { nodes, replicas, .. } = &draft.config.keeper;
    if !draft.sound(&["keeper.nodes", "keeper.replicas"]) {
        return None;
    }
    let place = draft.place(&["keeper.nodes", "keeper.replicas"]);
    if nodes.is_empty() {
        let text = "no nodes: name all nodes of the cluster with --nodes HOST:PORT,HOST:PORT, \
                    SLOTWAY_KEEPER_NODES or nodes in [keeper]";
        let is_needed = purpose == Purpose::Keeper;
        return is_needed.then(|| Problem { place, text: text.to_owned() });
    }
    let twice =
        nodes.iter().enumerate().find(|(at, node)| nodes.iter().take(*at).any(|n| n == *node));
    if let Some((_, node)) = twice {
        return Some(Problem { place, text: format!("keeper.nodes names {node} twice") });
    }
    let masters = nodes.len() / (replicas + 1);
    (masters < MASTERS_MIN).then(|| Problem {
        place,
        text: format!(
            "keeper.nodes: {} nodes with keeper.replicas = {replicas} make {masters} masters; a \
             cluster needs {MASTERS_MIN}, so at least {} nodes",
            nodes.len(),
            MASTERS_MIN * (replicas + 1)
        ),
    })
}

fn credentials(draft: &Draft) -> Option<Problem> {
    let paths = ["topology.username", "topology.password", "topology.password_file"];
    let topology = &draft.config.topology;
    if topology.username.is_none() || topology.password.is_some() || !draft.sound(&paths) {
        return None;
    }
    let text = "topology.username needs topology.password or topology.password_file".to_owned();
    Some(Problem { place: draft.place(&paths), text })
}

fn sizes(draft: &Draft) -> Vec<Problem> {
    let limits = &draft.config.limits;
    let whole = ("limits.request_bytes_max", limits.request_bytes_max);
    let parts = [
        ("limits.bulk_bytes_max", limits.bulk_bytes_max),
        ("limits.inline_bytes_max", limits.inline_bytes_max),
    ];
    let too_large = parts
        .into_iter()
        .filter(|(path, bytes)| *bytes > whole.1 && draft.sound(&[*path, whole.0]));
    let problem = |(path, bytes): (&str, usize)| Problem {
        place: draft.place(&[path, whole.0]),
        text: format!(
            "{path} ({}) is larger than {} ({}), of which it is a part",
            show_size(bytes),
            whole.0,
            show_size(whole.1)
        ),
    };
    too_large.map(problem).collect()
}

fn drain(draft: &Draft) -> Option<Problem> {
    let paths = ["timeouts.drain_delay", "timeouts.drain"];
    let timeouts = &draft.config.timeouts;
    if timeouts.drain_delay < timeouts.drain || !draft.sound(&paths) {
        return None;
    }
    let text = format!(
        "timeouts.drain_delay ({}) must be shorter than timeouts.drain ({}), the deadline",
        show_duration(timeouts.drain_delay),
        show_duration(timeouts.drain)
    );
    Some(Problem { place: draft.place(&paths), text })
}

/// Every port of this gateway, each against those before it.
fn addresses(draft: &Draft) -> Vec<Problem> {
    let mut problems = Vec::new();
    if !draft.sound(&["listener.bind", "admin.bind"]) {
        return problems;
    }
    let place_of = |path: &str, index| draft.places.get(&(path.to_owned(), index)).cloned();
    let mut taken: Vec<(SocketAddr, Option<Place>)> = Vec::new();
    for (index, listener) in draft.config.listeners.iter().enumerate() {
        let place = place_of("listener.bind", index);
        if let Some((other, _)) = taken.iter().find(|(other, _)| collide(*other, listener.bind)) {
            problems.push(Problem {
                place: place.clone().unwrap_or(Place::Default),
                text: format!("listeners {other} and {} need different ports", listener.bind),
            });
        }
        taken.push((listener.bind, place));
    }
    if let Some(admin) = draft.config.admin.bind
        && let Some((listener, place)) = taken.into_iter().find(|(l, _)| collide(*l, admin))
    {
        let place = place_of("admin.bind", 0).or(place).unwrap_or(Place::Default);
        let text = format!(
            "admin.bind {admin} and the listener {listener} need different ports; clients and \
             operators do not share one"
        );
        problems.push(Problem { place, text });
    }
    problems
}

/// Whether the second address could not be bound while the first is. Port 0 is any free one.
fn collide(one: SocketAddr, other: SocketAddr) -> bool {
    let same_place = one.ip() == other.ip()
        || (one.is_ipv4() == other.is_ipv4()
            && (one.ip().is_unspecified() || other.ip().is_unspecified()));
    one.port() != 0 && one.port() == other.port() && same_place
}

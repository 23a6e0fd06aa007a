//! The names of cases, and the load each stands for.
//!
//! Owns that grammar and the lists that run by default. Knows nothing of who is measured.
//!
//! A name is a verb with the size of its values, then what differs from 50 clients without
//! pipelining: `get16_p16`, `set64k_p1`, `get16_c1000`, `get16_p4_c200`, `mget10`, `mset100`,
//! `mix16_p1`; and `idle`, which is no load at all.

use crate::workload::{Load, Verb};

/// Keys of one size take about so much memory together.
const BYTES_OF_KEYS: u64 = 32 << 20;
const KEYS_MAX: u64 = 100_000;
const KEYS_MIN: u64 = 64;
const CLIENTS: usize = 50;
const CLIENTS_MAX: usize = 10_000;
const PIPELINE_MAX: usize = 1_000;
const BYTES_MAX: usize = 64 << 20;
const KEYS_OF_ONE_MAX: usize = 1_000;
const MULTI_KEY_BYTES: usize = 16;
const IDLE_CLIENTS: usize = 10_000;

/// With a usual cluster.
pub(super) const ALL: &str = "get16_p1,set16_p1,get16_p16,set16_p16,get16_p64,set16_p64,get1k_p1,\
     set1k_p1,get64k_p1,set64k_p1,get512k_p1,set512k_p1,get16_c1,get16_c1000,get16_c5000,\
     set16_c1000,mget10,mget100,mset10,mset100,mix16_p1,mix16_p16,idle";
/// With other clusters.
pub(super) const WIDE: &str = "get16_p1,get16_p16";

/// One row of a comparison.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Case {
    /// As it was written.
    pub(super) name: String,
    /// What is done.
    pub(super) work: Work,
}

/// What a case does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Work {
    /// Requests as fast as they are answered.
    Load(Load),
    /// So many clients that say PING once and nothing more.
    Idle(usize),
}

impl Case {
    /// Understands a name.
    pub(super) fn parse(name: &str) -> Result<Case, String> {
        let wrong = || {
            format!(
                "{name}: a case is written like get16_p16, set64k_p1, get16_c1000, mget10, mset100, mix16_p1 or idle"
            )
        };
        let work = parse(name).ok_or_else(wrong)?;
        Ok(Case { name: name.to_owned(), work })
    }

    /// Whether it is no load.
    pub(super) fn is_idle(&self) -> bool {
        matches!(self.work, Work::Idle(_))
    }

    /// Whether one Redis and a cluster do the same work for it.
    pub(super) fn is_comparable_to_one_redis(&self) -> bool {
        let Work::Load(load) = self.work else { return true };
        !matches!(load.verb, Verb::Mget(_) | Verb::Mset(_))
    }
}

fn parse(name: &str) -> Option<Work> {
    let mut parts = name.split('_');
    let head = parts.next()?;
    let digits = head.find(|c: char| c.is_ascii_digit()).unwrap_or(head.len());
    let (verb, size) = head.split_at(digits);
    if verb == "idle" {
        let clients = if size.is_empty() { IDLE_CLIENTS } else { size.parse().ok()? };
        return (parts.next().is_none() && (1..=IDLE_CLIENTS).contains(&clients))
            .then_some(Work::Idle(clients));
    }
    let mut load =
        Load { verb: Verb::Get, bytes: MULTI_KEY_BYTES, keys: 0, pipeline: 1, clients: 0 };
    let number = parse_size(size)?;
    match verb {
        "get" | "set" | "mix" => {
            load.bytes = number;
            load.verb = match verb {
                "get" => Verb::Get,
                "set" => Verb::Set,
                _ => Verb::Mix,
            };
        }
        "mget" | "mset" if (1..=KEYS_OF_ONE_MAX).contains(&number) => {
            load.verb = if verb == "mget" { Verb::Mget(number) } else { Verb::Mset(number) };
        }
        _ => return None,
    }
    for part in parts {
        let (which, number) = (part.get(..1)?, part.get(1..)?.parse().ok()?);
        match which {
            "p" if (1..=PIPELINE_MAX).contains(&number) => load.pipeline = number,
            "c" if (1..=CLIENTS_MAX).contains(&number) => load.clients = number,
            _ => return None,
        }
    }
    if load.clients == 0 {
        load.clients = clients_for(load.bytes);
    }
    load.keys = keys_for(load.bytes);
    Some(Work::Load(load))
}

/// `16`, `1k`, `4m`.
fn parse_size(text: &str) -> Option<usize> {
    let (digits, unit) = match text.strip_suffix('k') {
        Some(digits) => (digits, 1 << 10),
        None => match text.strip_suffix('m') {
            Some(digits) => (digits, 1 << 20),
            None => (text, 1),
        },
    };
    let number = digits.parse::<usize>().ok()?.checked_mul(unit)?;
    (1..=BYTES_MAX).contains(&number).then_some(number)
}

/// Many clients with large values would measure the memory of the machine.
fn clients_for(bytes: usize) -> usize {
    match bytes {
        0..=32_767 => CLIENTS,
        32_768..=262_143 => 20,
        _ => 8,
    }
}

fn keys_for(bytes: usize) -> u64 {
    (BYTES_OF_KEYS / bytes.max(1) as u64).clamp(KEYS_MIN, KEYS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(name: &str) -> Load {
        match Case::parse(name).unwrap().work {
            Work::Load(load) => load,
            Work::Idle(_) => panic!("{name} is idle"),
        }
    }

    #[test]
    fn a_name_says_what_is_done() {
        let shape = |name| {
            let Load { verb, bytes, keys, pipeline, clients } = load(name);
            (verb, bytes, keys, pipeline, clients)
        };
        assert_eq!(shape("get16_p16"), (Verb::Get, 16, 100_000, 16, 50));
        assert_eq!(shape("set64k_p1"), (Verb::Set, 65_536, 512, 1, 20));
        assert_eq!(shape("get512k_p1"), (Verb::Get, 524_288, 64, 1, 8));
        assert_eq!(shape("mix1k_p4_c200"), (Verb::Mix, 1024, 32_768, 4, 200));
        assert_eq!(shape("mget10"), (Verb::Mget(10), 16, 100_000, 1, 50));
        assert_eq!(Case::parse("idle").unwrap().work, Work::Idle(10_000));
    }

    #[test]
    fn the_default_names_are_understood() {
        for name in ALL.split(',').chain(WIDE.split(',')) {
            Case::parse(name).unwrap();
        }
    }

    #[test]
    fn other_names_are_refused() {
        for name in
            ["", "get", "del16", "get16_x1", "get16_p0", "get16_p", "get1g", "mget0", "idle_p1"]
        {
            assert!(Case::parse(name).is_err(), "{name}");
        }
    }
}

//! What must hold for every input from outside, tried with inputs by chance: any bytes, valid inputs,
//! and valid ones with some edits. The targets in `fuzz/` search with the same bodies for longer.

pub mod bodies;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select, subsequence};

use bodies::{HEAD_BYTES, config, inline, reply, request, slots};

/// What edits put in beside single bytes: what the formats are made of, and their limits.
const TOKENS: [&[u8]; 24] = [
    b"\r\n",
    b"\r",
    b"\n",
    b"*1\r\n",
    b"*-1\r\n",
    b"*0\r\n",
    b"$0\r\n\r\n",
    b"$-1\r\n",
    b"$",
    b"*",
    b"|1\r\n",
    b"%1\r\n",
    b"-",
    b"0",
    b"9223372036854775807",
    b"16384",
    b"-1",
    b"\"",
    b"'",
    b"\\",
    b"\\x",
    b" ",
    b"[[listener]]\n",
    b"=",
];

/// One change of an input.
#[derive(Clone, Debug)]
enum Edit {
    Put(Index, Vec<u8>),
    Replace(Index, u8),
    Remove(Index, usize),
    Repeat(Index, usize),
    Cut(Index),
}

fn edits() -> impl Strategy<Value = Vec<Edit>> {
    let at = any::<Index>;
    let token = prop_oneof![select(&TOKENS[..]).prop_map(<[u8]>::to_vec), vec(any::<u8>(), 1..4)];
    let edit = prop_oneof![
        4 => (at(), token).prop_map(|(at, bytes)| Edit::Put(at, bytes)),
        4 => (at(), any::<u8>()).prop_map(|(at, byte)| Edit::Replace(at, byte)),
        2 => (at(), 1usize..20).prop_map(|(at, len)| Edit::Remove(at, len)),
        2 => (at(), 1usize..40).prop_map(|(at, len)| Edit::Repeat(at, len)),
        1 => at().prop_map(Edit::Cut),
    ];
    vec(edit, 1..6)
}

fn edited(mut bytes: Vec<u8>, edits: Vec<Edit>) -> Vec<u8> {
    let part = |bytes: &[u8], at: Index, len: usize| {
        let start = at.index(bytes.len() + 1);
        start..(start + len).min(bytes.len())
    };
    for edit in edits {
        match edit {
            Edit::Put(at, token) => drop(bytes.splice(part(&bytes, at, 0), token)),
            Edit::Replace(at, byte) => drop(bytes.splice(part(&bytes, at, 1), [byte])),
            Edit::Remove(at, len) => drop(bytes.drain(part(&bytes, at, len))),
            Edit::Repeat(at, len) => {
                let range = part(&bytes, at, len);
                let again = bytes[range.clone()].to_vec();
                drop(bytes.splice(range.start..range.start, again));
            }
            Edit::Cut(at) => bytes.truncate(at.index(bytes.len() + 1)),
        }
    }
    bytes
}

fn any_bytes() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..300)
}

/// How an input is cut.
fn head() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), HEAD_BYTES)
}

/// A head under which all of a valid input is accepted.
fn open_head() -> impl Strategy<Value = Vec<u8>> {
    head().prop_map(|mut head| {
        head[0] = 0;
        head
    })
}

// === valid inputs ===

fn word() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![vec(any::<u8>(), 0..40), vec(select(&b"ab\r\n$*\"' \\"[..]), 0..12)]
}

fn encoded(words: &[Vec<u8>]) -> Vec<u8> {
    let bulk = |word: &Vec<u8>| [format!("${}\r\n", word.len()).as_bytes(), word, b"\r\n"].concat();
    let head = format!("*{}\r\n", words.len()).into_bytes();
    [head].into_iter().chain(words.iter().map(bulk)).collect::<Vec<_>>().concat()
}

/// Requests of both forms, how many there are, and what is stepped over between them.
fn requests() -> impl Strategy<Value = (Vec<u8>, usize)> {
    let one = prop_oneof![
        4 => vec(word(), 1..6).prop_map(|words| (encoded(&words), 1)),
        1 => "[a-zA-Z]{1,9}( [a-z0-9\"']{1,9}){0,3}\r?\n".prop_map(|line| (line.into_bytes(), 1)),
        1 => select(&["\r\n", "*0\r\n", "*-1\r\n", " \n"][..]).prop_map(|s| (s.into(), 0)),
    ];
    together(vec(one, 1..6))
}

fn together(
    parts: impl Strategy<Value = Vec<(Vec<u8>, usize)>>,
) -> impl Strategy<Value = (Vec<u8>, usize)> {
    parts.prop_map(|parts| {
        let (bytes, counts): (Vec<_>, Vec<_>) = parts.into_iter().unzip();
        (bytes.concat(), counts.into_iter().sum())
    })
}

/// One reply of any type, in either version of the protocol.
fn a_reply() -> impl Strategy<Value = Vec<u8>> {
    let line = "[+(,:#_-][a-z0-9 \n]{0,20}\r\n".prop_map(String::into_bytes);
    // Longer than what is waited for.
    let long = (4000usize..5000).prop_map(|len| [b"-".repeat(len), b"\r\n".to_vec()].concat());
    let none = select(&["$-1\r\n", "*-1\r\n", "*0\r\n", ":1\r\n"][..]).prop_map(|s| s.into());
    let bulk = (select(&b"$$$=!"[..]), word()).prop_map(|(kind, word)| {
        [&[kind], word.len().to_string().as_bytes(), b"\r\n", &word, b"\r\n"].concat()
    });
    let leaf = prop_oneof![6 => line, 1 => long, 4 => none, 6 => bulk];
    leaf.prop_recursive(5, 30, 5, |item| {
        (select(&b"****~>%|"[..]), vec(item, 0..5)).prop_map(|(kind, mut items)| {
            let len = match kind {
                b'%' => items.len() / 2,
                b'|' => items.len().saturating_sub(1) / 2,
                _ => items.len(),
            };
            match kind {
                b'%' => items.truncate(len * 2),
                // And the value that it speaks of.
                b'|' => items.resize(len * 2 + 1, b":1\r\n".to_vec()),
                _ => {}
            }
            [format!("{}{len}\r\n", kind as char).into_bytes(), items.concat()].concat()
        })
    })
}

fn replies() -> impl Strategy<Value = (Vec<u8>, usize)> {
    together(vec(a_reply().prop_map(|reply| (reply, 1)), 1..5))
}

/// A reply of `CLUSTER SLOTS` with one of `CLUSTER NODES` behind it, and how many ranges it has.
fn clusters() -> impl Strategy<Value = (Vec<u8>, usize)> {
    let endpoint = select(&["10.0.0.1", "redis-1", "::1", "", "?"][..]);
    let id = select(&["aa", "bb", "cc", ""][..]);
    let node = (endpoint, 0u16.., id, any::<bool>()).prop_map(|(endpoint, port, id, metadata)| {
        let bulk = |text: &str| format!("${}\r\n{text}\r\n", text.len());
        let metadata = if metadata { bulk("ip") + &bulk("10.0.0.9") } else { String::new() };
        let count = if metadata.is_empty() { 0 } else { 2 };
        format!("*4\r\n{}:{port}\r\n{}*{count}\r\n{metadata}", bulk(endpoint), bulk(id))
    });
    let range = (0u16..16_384, 0u16..16_384, vec(node, 1..4)).prop_map(|(one, other, nodes)| {
        let (first, last) = (one.min(other), one.max(other));
        format!("*{}\r\n:{first}\r\n:{last}\r\n{}", nodes.len() + 2, nodes.concat())
    });
    let flags = select(&["master", "myself,master", "slave", "slave,fail?", "myself,slave"][..]);
    let of = select(&["-", "aa", "bb"][..]);
    let line = ("[a-f]{2}", "10\\.0\\.0\\.[1-9]:[0-9]{1,5}@1(,redis-[1-9])?", flags, of, 0u8..9);
    let line = line.prop_map(|(id, address, flags, of, epoch)| {
        format!("{id} {address} {flags} {of} 0 1 {epoch} connected 0-5\n")
    });
    (vec(range, 0..6), vec(line, 0..6)).prop_map(|(ranges, lines)| {
        let text = format!("*{}\r\n{}{}", ranges.len(), ranges.concat(), lines.concat());
        (text.into_bytes(), ranges.len())
    })
}

/// A configuration that every purpose but one's own nodes accepts, where it names a seed and nodes.
fn configurations() -> impl Strategy<Value = Vec<u8>> {
    let top = subsequence(vec!["workers = 3", "worker_scale_up_percent = 0", "# a word"], 0..=3);
    let topology =
        vec!["username = \"u\"\npassword = \"twelve letters\"", "refresh_interval = \"3s\""];
    let topology = subsequence(topology, 0..=2);
    let listener = vec!["protected_mode = false", "password = \"a\\\"b\\u00e9 and more\"", "# é"];
    let listener = vec_of_tables(subsequence(listener, 0..=3));
    let limits = subsequence(
        vec![
            "clients_max = 7",
            "bulk_bytes_max = \"1mb\"\nrequest_bytes_max = 2_097_152",
            "memory_max = \"1gb\"",
        ],
        0..=3,
    );
    let timeouts = vec!["idle = \"1m\"", "auth = 0", "drain = \"45s\"", "failover_wait = \"3s\""];
    let timeouts = subsequence(timeouts, 0..=4);
    (top, topology, listener, limits, timeouts).prop_map(
        |(top, topology, listener, limits, timeouts)| {
            let nodes = "[keeper]\nreplicas = 0\nnodes = \"a:1,b:2,c:3\"";
            let sections = [
                top.join("\n"),
                format!("[topology]\nseeds = [\"redis-1:6379\"]\n{}", topology.join("\n")),
                listener,
                format!("[limits]\n{}", limits.join("\n")),
                format!("[timeouts]\n{}", timeouts.join("\n")),
                nodes.to_owned(),
            ];
            sections.join("\n").into_bytes()
        },
    )
}

fn vec_of_tables(lines: impl Strategy<Value = Vec<&'static str>>) -> impl Strategy<Value = String> {
    vec(lines, 0..4).prop_map(|tables| {
        let table = |(index, lines): (usize, Vec<&str>)| {
            format!("[[listener]]\nbind = \"127.0.0.1:{}\"\n{}\n", 7100 + index, lines.join("\n"))
        };
        tables.into_iter().enumerate().map(table).collect()
    })
}

/// A line of words, and how many there are.
fn lines() -> impl Strategy<Value = (Vec<u8>, usize)> {
    let word = prop_oneof![
        "[a-zA-Z0-9:{}]{1,12}",
        "\"([a-z ']|\\\\[nrtba\"\\\\q]|\\\\x[0-9a-fA-F]{2})*\"",
        "'([a-z \"]|\\\\')*'",
        "[a-z]{1,3}\"[a-z ]*\"",
    ];
    (vec(word, 0..7), select(&["", "\n", "\r\n", " \r\n"][..]))
        .prop_map(|(words, end)| ((words.join(" ") + end).into_bytes(), words.len()))
}

// === the bodies, driven ===

proptest! {
    #[test]
    fn requests_are_accepted(head in open_head(), (bytes, count) in requests()) {
        prop_assert_eq!(request::drive(&[head, bytes].concat()), count);
    }

    #[test]
    fn any_request(head in head(), bytes in any_bytes()) {
        request::drive(&[&head[..], &bytes].concat());
        request::drive(&[&head[..], b"*3\r\n$", &bytes].concat());
    }

    #[test]
    fn edited_requests(head in head(), (bytes, _) in requests(), edits in edits()) {
        request::drive(&[head, edited(bytes, edits)].concat());
    }

    #[test]
    fn replies_are_accepted(head in head(), (bytes, count) in replies()) {
        prop_assert_eq!(reply::drive(&[head, bytes].concat()), count);
    }

    #[test]
    fn any_reply(head in head(), bytes in any_bytes()) {
        reply::drive(&[&head[..], &bytes].concat());
        reply::drive(&[&head[..], b"*2\r\n$", &bytes].concat());
    }

    #[test]
    fn edited_replies(head in head(), (bytes, _) in replies(), edits in edits()) {
        reply::drive(&[head, edited(bytes, edits)].concat());
    }

    #[test]
    fn clusters_are_accepted((bytes, count) in clusters()) {
        prop_assert_eq!(slots::drive(&bytes), count);
    }

    #[test]
    fn any_cluster(bytes in any_bytes(), reply in a_reply()) {
        slots::drive(&bytes);
        slots::drive(&reply);
    }

    #[test]
    fn edited_clusters((bytes, _) in clusters(), edits in edits()) {
        slots::drive(&edited(bytes, edits));
    }

    #[test]
    fn configurations_are_accepted(bytes in configurations()) {
        prop_assert_eq!(config::drive(&bytes), 3);
    }

    #[test]
    fn any_configuration(bytes in any_bytes(), text in "\\PC{0,80}") {
        config::drive(&bytes);
        config::drive(text.as_bytes());
    }

    #[test]
    fn edited_configurations(bytes in configurations(), edits in edits()) {
        config::drive(&edited(bytes, edits));
    }

    #[test]
    fn lines_are_accepted((line, count) in lines()) {
        prop_assert_eq!(inline::drive(&line), count);
    }

    #[test]
    fn any_line(line in any_bytes()) {
        inline::drive(&line);
    }

    #[test]
    fn edited_lines((line, _) in lines(), edits in edits()) {
        inline::drive(&edited(line, edits));
    }
}

/// A body without a target is searched by nobody, and a target does nothing else than its body.
#[test]
fn every_body_has_its_target() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let names = |folder: &str| -> BTreeSet<String> {
        let entries = fs::read_dir(root.join(folder)).expect("a folder");
        let stem = |path: &Path| path.file_stem().expect("a name").to_string_lossy().into_owned();
        entries.map(|entry| stem(&entry.expect("an entry").path())).collect()
    };
    let mut bodies = names("tests/fuzz/bodies");
    assert!(bodies.remove("mod"));
    assert_eq!(names("fuzz/fuzz_targets"), bodies);
    let manifest = fs::read_to_string(root.join("fuzz/Cargo.toml")).expect("a manifest");
    for name in bodies {
        let path = format!("fuzz/fuzz_targets/{name}.rs");
        let text = fs::read_to_string(root.join(&path)).expect("a target");
        assert!(text.contains(&format!("bodies::{name}::drive(data);")), "{path}");
        assert!(
            manifest.contains(&format!("name = \"{name}\"\npath = \"fuzz_targets/{name}.rs\""))
        );
    }
}

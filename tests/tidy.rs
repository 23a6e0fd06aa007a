//! The rules of the house that a compiler does not check: layers, headers, sizes, one owner per
//! list, and docs that name everything an operator can set or see.

#[path = "tidy/circles.rs"]
mod circles;
#[path = "tidy/comparisons.rs"]
mod comparisons;
#[path = "tidy/errors.rs"]
mod errors;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Modules of `src` in layers; one may use those of lower layers, and itself.
const LAYERS: &[&[&str]] = &[
    &["slot", "clock", "resp", "config", "glob", "memory", "metrics", "net", "version"],
    &["command", "reply", "database"],
    &["backend"],
    &["topology"],
    &["router"],
    &["clients"],
    &["builtin"],
    &["session"],
    &["worker"],
    &["server", "keeper", "admin_port"],
    &["admin", "docs", "local", "healthcheck", "topology_report"],
    &["cli", "top"],
    &["lib", "main"],
];
const LINES_MAX: usize = 500;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// All Rust files below a folder, with their text.
fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    let (mut found, mut folders) = (Vec::new(), vec![root().join(folder)]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of the project") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                found.push((path.clone(), fs::read_to_string(&path).expect("text")));
            }
        }
    }
    assert!(!found.is_empty(), "no sources in {folder}");
    found
}

fn all_sources() -> Vec<(PathBuf, String)> {
    ["src", "tests", "benches", "bench-client/src", "bench-client/tests", "testkit/src"]
        .into_iter()
        .flat_map(sources)
        .collect()
}

/// The part of a file before its inline tests.
fn production(text: &str) -> &str {
    text.split("#[cfg(test)]\nmod tests {").next().unwrap_or(text)
}

/// Sources without the files that are compiled for tests only.
fn shipped(folder: &str) -> Vec<(PathBuf, String)> {
    let all = sources(folder);
    let mut test_only = Vec::new();
    for (path, text) in &all {
        let children = match path.file_stem().and_then(|stem| stem.to_str()) {
            Some("mod" | "lib" | "main") => path.parent().expect("a folder").to_owned(),
            _ => path.with_extension(""),
        };
        let mut lines = text.lines();
        while lines.by_ref().any(|line| line == "#[cfg(test)]") {
            // Attributes may stand between, a path among them.
            let mut named = None;
            for line in lines.by_ref() {
                if let Some(file) = line.strip_prefix("#[path = \"") {
                    named = Some(file.trim_end_matches("\"]").to_owned());
                } else if !line.starts_with("#[") {
                    let module = line.trim_end_matches(';').rsplit(' ').next().unwrap_or("");
                    let file = named.unwrap_or_else(|| format!("{module}.rs"));
                    test_only.extend([path.with_file_name(&file), children.join(&file)]);
                    test_only.push(children.join(module));
                    break;
                }
            }
        }
    }
    let is_shipped = |path: &PathBuf| !test_only.iter().any(|test| path.starts_with(test));
    all.into_iter().filter(|(path, _)| is_shipped(path)).collect()
}

/// Text without comments, which may name what code may not use.
fn code(text: &str) -> String {
    let is_code = |line: &&str| !line.trim_start().starts_with("//");
    production(text).lines().filter(is_code).collect::<Vec<_>>().join("\n")
}

/// The module of `src` that a file belongs to.
fn module(path: &Path) -> String {
    let inside = path.strip_prefix(root().join("src")).expect("a file of src");
    let first = inside.components().next().expect("a name").as_os_str().to_string_lossy();
    first.trim_end_matches(".rs").to_owned()
}

fn layer(module: &str) -> usize {
    LAYERS.iter().position(|layer| layer.contains(&module)).unwrap_or_else(|| {
        panic!("`{module}` has no layer: give it one in tests/tidy.rs and in the map of src/lib.rs")
    })
}

#[test]
fn imports_point_down() {
    let mut wrong = Vec::new();
    for (path, text) in shipped("src") {
        let own = module(&path);
        for (_, rest) in code(&text).match_indices("crate::").map(|(at, _)| {
            let code = code(&text);
            (at, code[at + "crate::".len()..].to_owned())
        }) {
            let used: String =
                rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            let known = LAYERS.iter().any(|layer| layer.contains(&used.as_str()));
            if known && used != own && layer(&used) >= layer(&own) {
                wrong.push(format!("{} uses {used}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "imports must point down the layers:\n{}", wrong.join("\n"));
}

#[test]
fn every_file_says_what_it_is() {
    let mut silent = Vec::new();
    let shipped: Vec<PathBuf> = shipped("src").into_iter().map(|(path, _)| path).collect();
    for (path, text) in all_sources() {
        let header: Vec<&str> = text.lines().take_while(|line| line.starts_with("//!")).collect();
        let said = header.join(" ").to_lowercase();
        let is_map = path == root().join("src/lib.rs");
        let is_data = path.starts_with(root().join("src/command/table"));
        let owns = said.contains("own") || is_map || is_data || !shipped.contains(&path);
        if header.is_empty() || !owns {
            silent.push(path.display().to_string());
        }
    }
    assert!(silent.is_empty(), "open with `//!` and what the file owns:\n{}", silent.join("\n"));
}

#[test]
fn no_file_grows_without_end() {
    let long: Vec<String> = all_sources()
        .into_iter()
        .map(|(path, text)| (path, text.lines().count()))
        .filter(|(_, lines)| *lines > LINES_MAX)
        .map(|(path, lines)| format!("{} has {lines} lines", path.display()))
        .collect();
    assert!(long.is_empty(), "split by what a reader looks for:\n{}", long.join("\n"));
}

#[test]
fn names_say_something() {
    for (path, _) in all_sources() {
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        let empty = ["util", "utils", "common", "helpers", "misc", "types"];
        assert!(!empty.contains(&name.as_str()), "{} names no concept", path.display());
    }
}

#[test]
fn what_comes_from_outside_is_never_unwrapped() {
    let mut wrong = Vec::new();
    for folder in ["src", "bench-client/src"] {
        for (path, text) in shipped(folder) {
            for (number, line) in production(&text).lines().enumerate() {
                let banned = [".unwrap()", ".expect(", "panic!(", "todo!(", "unimplemented!("];
                // Rows of the command table are checked by the compiler, which panics in a const.
                let in_const = path.ends_with("command/key_spec.rs");
                let comment = line.trim_start().starts_with("//") || in_const;
                if !comment && banned.iter().any(|word| line.contains(word)) {
                    wrong.push(format!("{}:{}: {}", path.display(), number + 1, line.trim()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn redis_protocol_has_one_door() {
    for (path, text) in shipped("src") {
        let inside = path.starts_with(root().join("src/resp"));
        assert!(inside || !code(&text).contains("redis_protocol"), "{}", path.display());
    }
}

/// The types of sockets that code names, when they are tokio's.
fn socket_types(code: &str) -> Vec<&str> {
    let types =
        ["OwnedReadHalf", "OwnedWriteHalf", "TcpSocket", "UnixStream", "UnixListener", "UdpSocket"];
    let mut found: Vec<&str> = types.into_iter().filter(|name| code.contains(name)).collect();
    // What is left of its module is no type.
    let others = code.replace("tokio::net::lookup_host", "");
    let in_lists = others.contains("tokio::{") && others.contains(" net::");
    if others.contains("tokio::net") || in_lists {
        found.push("tokio::net");
    }
    found
}

#[test]
fn socket_types_are_found() {
    for code in [
        "use tokio::net::TcpStream;",
        "use tokio::net::{TcpListener, lookup_host};",
        "let stream = tokio::net::TcpStream::from_std(stream)?;",
        "use tokio::{io, net::TcpStream};",
        "fn f(half: OwnedReadHalf) {}",
    ] {
        assert!(!socket_types(code).is_empty(), "{code}");
    }
    for code in [
        "use std::net::TcpStream;",
        "tokio::net::lookup_host((host, 0))",
        "use crate::net::{ReadHalf, WriteHalf};",
    ] {
        assert_eq!(socket_types(code), [] as [&str; 0], "{code}");
    }
}

/// What a stream goes over is `net`'s to know.
#[test]
fn sockets_have_one_door() {
    for (path, text) in shipped("src") {
        let found = socket_types(&code(&text)).join(", ");
        let inside = module(&path) == "net";
        assert_eq!(inside, !found.is_empty(), "{} names {found}", path.display());
    }
}

/// Words that are compared with and are a command's name too, by file; and the files that may ask for
/// commands by name. Each has its reason. What is not found any more must go from here.
const COMPARED: &[(&str, &[&str], &str)] = &[
    ("admin/collect.rs", &["client"], "the value of a label"),
    (
        "admin/collect.rs",
        &["get", "set", "del", "mget", "mset", "ping"],
        "have metrics from the start",
    ),
    ("reply/returned.rs", &["readonly"], "the code of an error"),
    ("docs.rs", &["type"], "a heading of a table"),
    ("router/blocked.rs", &["client", "xrevrange"], "asks a node, like the files of `backend`"),
    ("router/fanout/mod.rs", &["cluster"], "asks a node, like the files of `backend`"),
    ("router/hub/event_classes.rs", &["config", "set"], "asks a node, like the files of `backend`"),
    ("router/hub/feed.rs", &["ping"], "asks a node, like the files of `backend`"),
    (
        "router/hub/message.rs",
        &["psubscribe", "punsubscribe", "subscribe", "unsubscribe"],
        "asks a node, and the words of its messages",
    ),
    ("admin/page/csv.rs", &["auth", "type"], "a kind of failure and a column, in lists"),
    ("router/monitor.rs", &["monitor"], "asks a node, like the files of `backend`"),
    ("session/database/function.rs", &["function"], "asks a node, like the files of `backend`"),
    ("session/database/hidden.rs", &["eval"], "asks a node, like the files of `backend`"),
    ("session/database/sort.rs", &["eval", "get"], "asks a node; an option of SORT"),
    ("session/database/whole.rs", &["eval", "type"], "asks a node; an option of SCAN"),
    ("builtin/client.rs", &["info", "pubsub", "type"], "words of CLIENT and of its HELP"),
    ("builtin/command.rs", &["module"], "a word of COMMAND LIST"),
    ("builtin/hello.rs", &["auth"], "a word of HELLO"),
    ("builtin/info.rs", &["module"], "a field of INFO"),
    ("builtin/info/rules.rs", &["role"], "a field of INFO"),
    (
        "session/keyless.rs",
        &["keys", "scan", "dbsize", "randomkey", "flushall", "flushdb", "info"],
        "looked for in the text of a script, where nothing is decided",
    ),
];

/// A command's name is written in the command table. Elsewhere only the gateway's own questions to
/// nodes may name commands.
#[test]
fn there_is_one_command_table() {
    let asking = ["backend", "topology", "keeper", "local", "resp"];
    // The words of `metrics` are values of labels.
    let others = ["command", "metrics"];
    let names: BTreeSet<String> = slotway::command::CommandTable::builtin()
        .iter()
        .map(|(_, command)| command.name.to_lowercase())
        .collect();
    let (mut found, mut allowed) = (BTreeSet::new(), BTreeSet::new());
    for (path, text) in shipped("src") {
        let module = module(&path);
        if !asking.contains(&module.as_str()) && !others.contains(&module.as_str()) {
            let file = path.strip_prefix(root().join("src")).expect("a file of src");
            let words = comparisons::compared(&code(&text)).into_iter();
            let words = words.map(|word| word.to_lowercase()).filter(|word| names.contains(word));
            found.extend(words.map(|word| format!("{} compares with {word}", file.display())));
        }
    }
    for (file, words, _) in COMPARED {
        allowed.extend(words.iter().map(|word| format!("{file} compares with {word}")));
    }
    let new: Vec<_> = found.difference(&allowed).collect();
    assert!(new.is_empty(), "a command's name is the command table's: {new:#?}");
    let gone: Vec<_> = allowed.difference(&found).collect();
    assert!(gone.is_empty(), "is not so any more; remove it from the list: {gone:#?}");
}

/// Files that use each other can only be read together. In `src` the layers keep modules apart, so
/// circles are looked for within each; the load generator is looked at as a whole.
#[test]
fn files_do_not_go_in_circles() {
    let files = |folder: &str| -> Vec<(String, String)> {
        let path = |file: &Path| {
            let inside =
                file.strip_prefix(root().join(folder)).expect("a file of it").with_extension("");
            let parts = inside.components().map(|part| part.as_os_str().to_string_lossy());
            let parts = parts.filter(|part| !["mod", "lib", "main"].contains(&part.as_ref()));
            parts.collect::<Vec<_>>().join("::")
        };
        shipped(folder).into_iter().map(|(file, text)| (path(&file), code(&text))).collect()
    };
    let mut modules: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
    for (path, text) in files("src") {
        let module = path.split("::").next().unwrap_or("").to_owned();
        modules.entry(module).or_default().push((path, text));
    }
    let mut found: BTreeSet<Vec<String>> =
        modules.values().flat_map(|files| circles::circles(files)).collect();
    found.extend(circles::circles(&files("bench-client/src")));
    assert!(found.is_empty(), "files that use each other: {found:#?}");
}

#[test]
fn errors_hand_on_their_causes() {
    for (path, text) in shipped("src") {
        let code = code(&text);
        let silent = errors::without_cause(&code);
        assert!(silent.is_empty(), "{}: {silent:?} have a cause and no source()", path.display());
    }
}

#[test]
fn metric_names_are_written_once() {
    for (path, text) in shipped("src") {
        if module(&path) != "metrics" {
            let code = code(&text).replace("\"slotway_error\"", "a label's value");
            assert!(!code.contains("\"slotway_"), "{} names a metric", path.display());
        }
    }
}

fn page(path: &str) -> String {
    fs::read_to_string(root().join(path)).expect(path)
}

/// All pages, as paths from the root.
fn pages() -> impl Iterator<Item = String> {
    ["", "docs/", "docs/performance/"].into_iter().flat_map(|folder| {
        let listed = fs::read_dir(root().join(folder)).expect("a folder of pages");
        let names = listed.map(|entry| entry.expect("an entry").file_name());
        let pages = names.filter(|name| Path::new(name).extension().is_some_and(|e| e == "md"));
        pages.map(move |name| format!("{folder}{}", name.to_string_lossy()))
    })
}

/// Every file of the project that a page names is there.
#[test]
fn files_that_pages_name_are_there() {
    let mut files = 0;
    for path in pages() {
        let text = page(&path);
        for name in text.split('`').skip(1).step_by(2) {
            let is_path = ["src/", "tests/", "bench-client/", "benches/", "docker/"]
                .iter()
                .any(|folder| name.starts_with(folder))
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"/._-".contains(&b));
            if is_path {
                assert!(root().join(name).exists(), "{path} names {name}, which is not there");
                files += 1;
            }
        }
    }
    assert!(files > 20, "{files} files");
}

/// Every link from one page to another, or to a heading, leads somewhere.
#[test]
fn links_between_pages_lead_somewhere() {
    let mut links = 0;
    for path in pages() {
        let text = page(&path);
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if target.contains("://") {
                continue;
            }
            let (file, heading) = target.split_once('#').unwrap_or((target, ""));
            let own = root().join(&path);
            let file = if file.is_empty() { own } else { own.with_file_name(file) };
            let there = fs::read_to_string(&file);
            let there = there.unwrap_or_else(|_| panic!("{path} leads to {target}, which is not"));
            let is_there = heading.is_empty() || headings(&there).any(|known| known == heading);
            assert!(is_there, "{path} leads to {target}, which has no such heading");
            links += 1;
        }
    }
    assert!(links > 10, "{links} links");
}

/// The names by which the headings of a page are linked to.
fn headings(text: &str) -> impl Iterator<Item = String> {
    let is_kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
    text.lines().filter(|line| line.starts_with('#')).map(move |line| {
        let line = line.trim_start_matches('#').trim().to_lowercase();
        line.chars().filter(is_kept).collect::<String>().replace(' ', "-")
    })
}

/// The names that the map in the header of `src/lib.rs` has: cells with nothing but names, which two
/// spaces or more set apart.
fn names_on_map(text: &str) -> BTreeSet<&str> {
    let lines = text.lines().map_while(|line| line.strip_prefix("//!"));
    let map =
        lines.skip_while(|line| *line != " ```text").skip(1).take_while(|line| *line != " ```");
    let is_name = |word: &&str| word.chars().all(|c| c.is_ascii_lowercase() || c == '_');
    map.flat_map(|line| line.split("  "))
        .map(str::trim)
        .map(|cell| cell.trim_end_matches(".rs").trim_start_matches(|c: char| c.is_ascii_digit()))
        .flat_map(|cell| {
            let names: Vec<&str> = cell.trim().split(", ").collect();
            if names.iter().all(is_name) { names } else { Vec::new() }
        })
        .collect()
}

#[test]
fn only_the_map_is_read() {
    let text = "//! one\n//! ```text\n//! 1  two, three   who asks four, five   six.rs   seven()\n\
                //! 0  eight   nine of it  ten\n//! ```\n//! [`eleven`]\n\npub mod twelve;\n";
    let names = ["eight", "six", "ten", "three", "two"];
    let found = names_on_map(text);
    let found: Vec<&str> = found.into_iter().filter(|name| !name.is_empty()).collect();
    assert_eq!(found, names);
}

/// The picture in `src/lib.rs` shows every module.
#[test]
fn the_map_of_the_house_is_complete() {
    let lib = fs::read_to_string(root().join("src/lib.rs")).expect("lib.rs");
    let map = names_on_map(&lib);
    for (path, _) in sources("src") {
        let module = module(&path);
        layer(&module);
        assert!(map.contains(module.as_str()), "{module} is not on the map in src/lib.rs");
    }
}

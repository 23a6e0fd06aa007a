//! Circles of files that import each other, found in their text.
//!
//! A file may use what it is part of, as a method's file uses the type's, so what points up the
//! folders is no import here. What a folder's first file hands on is an import of where it is from.

use std::collections::{BTreeMap, BTreeSet};

type Path = Vec<String>;

/// The circles among these files, given as their module path (`session::local`) and their code: each
/// as the files that can be reached from each other.
pub(crate) fn circles(files: &[(String, String)]) -> Vec<Vec<String>> {
    let paths: BTreeMap<Path, &str> =
        files.iter().map(|(path, text)| (split(path), text.as_str())).collect();
    let mut edges: BTreeMap<&Path, BTreeSet<&Path>> = BTreeMap::new();
    for (own, text) in &paths {
        let uses = edges.entry(own).or_default();
        // A folder's first file has the others as its parts.
        uses.extend(paths.keys().filter(|path| path.split_last().is_some_and(|(_, up)| up == own)));
        for used in imports(text) {
            let Some(target) = target(own, &used, &paths) else { continue };
            if !own.starts_with(target) {
                uses.insert(target);
            }
        }
    }
    let reach: BTreeMap<&Path, BTreeSet<&Path>> =
        edges.keys().map(|from| (*from, reachable(from, &edges))).collect();
    let mut found = BTreeSet::new();
    for from in paths.keys() {
        let circle: Vec<String> = paths
            .keys()
            .filter(|to| reach[from].contains(*to) && reach[*to].contains(from))
            .map(|path| path.join("::"))
            .collect();
        if !circle.is_empty() {
            found.insert(circle);
        }
    }
    found.into_iter().collect()
}

fn split(path: &str) -> Path {
    path.split("::").filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

fn reachable<'a>(
    from: &'a Path,
    edges: &BTreeMap<&'a Path, BTreeSet<&'a Path>>,
) -> BTreeSet<&'a Path> {
    let (mut seen, mut open) = (BTreeSet::new(), vec![from]);
    while let Some(file) = open.pop() {
        open.extend(edges[file].iter().filter(|next| seen.insert(**next)));
    }
    seen
}

/// The file that a path leads to, written in the file `own`.
fn target<'a>(own: &Path, used: &[String], files: &'a BTreeMap<Path, &str>) -> Option<&'a Path> {
    let mut whole = match used.first()?.as_str() {
        "crate" => Vec::new(),
        _ => own.clone(),
    };
    for part in used {
        match part.as_str() {
            "crate" | "self" => {}
            "super" => drop(whole.pop()),
            part => whole.push(part.to_owned()),
        }
    }
    let file =
        |path: &[String]| (0..=path.len()).rev().find_map(|len| files.get_key_value(&path[..len]));
    let (found, text) = file(&whole)?;
    // What a folder hands on to its own files comes from one of them.
    if let Some(name) = whole.get(found.len()).filter(|_| own.starts_with(found)) {
        let handed_on = handed_on(text).into_iter().find(|path| path.last() == Some(name));
        if let Some(from) = handed_on {
            return file(&[found.clone(), from].concat()).map(|(path, _)| path);
        }
    }
    Some(found)
}

/// All paths that begin with `crate` or `super`, each name of a list by itself.
fn imports(text: &str) -> Vec<Path> {
    let mut paths = Vec::new();
    for start in ["crate::", "super::"] {
        for (at, _) in text.match_indices(start) {
            let inside =
                text[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':');
            if !inside {
                tree(&mut text[at..].chars().peekable(), &mut Vec::new(), &mut paths);
            }
        }
    }
    paths
}

/// The paths of `pub use`, which are relative to the file.
fn handed_on(text: &str) -> Vec<Path> {
    let mut paths = Vec::new();
    for line in text.match_indices("pub").map(|(at, _)| &text[at..]) {
        let Some((visibility, rest)) = line.split_once("use ") else { continue };
        let is_use = visibility == "pub "
            || (visibility.starts_with("pub(") && visibility.trim_end().ends_with(')'))
                && visibility.matches(')').count() == 1;
        if is_use {
            tree(&mut rest.chars().peekable(), &mut Vec::new(), &mut paths);
        }
    }
    paths
}

/// Reads a path, or a list of them, that goes on from `so_far`.
fn tree(
    text: &mut std::iter::Peekable<std::str::Chars<'_>>,
    so_far: &mut Path,
    paths: &mut Vec<Path>,
) {
    let depth = so_far.len();
    loop {
        let mut word = String::new();
        while let Some(c) = text.next_if(|c| c.is_alphanumeric() || *c == '_' || *c == '*') {
            word.push(c);
        }
        if !word.is_empty() {
            so_far.push(word);
        }
        while text.next_if_eq(&':').is_some() {}
        match text.peek() {
            Some('{') => {
                text.next();
                list(text, so_far, paths);
                break;
            }
            Some(c) if c.is_alphanumeric() || *c == '_' || *c == '*' => {}
            _ => {
                paths.push(so_far.clone());
                break;
            }
        }
    }
    so_far.truncate(depth);
}

/// Reads the paths between braces.
fn list(
    text: &mut std::iter::Peekable<std::str::Chars<'_>>,
    so_far: &mut Path,
    paths: &mut Vec<Path>,
) {
    loop {
        while text.next_if(|c| c.is_whitespace() || *c == ',').is_some() {}
        match text.peek() {
            Some('}') | None => {
                text.next();
                return;
            }
            _ => tree(text, so_far, paths),
        }
        // `as other`, or anything else that is no path.
        while text.next_if(|c| !matches!(c, ',' | '}')).is_some() {}
    }
}

#[test]
fn circles_are_found() {
    let files = |texts: &[(&str, &str)]| -> Vec<(String, String)> {
        texts.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect()
    };
    let line = files(&[
        ("a", "mod one; mod two; pub use one::One;"),
        ("a::one", "use super::two::Two;"),
        ("a::two", "use super::A; use crate::b::B;"),
        ("b", "use super::other; use crate::a;"),
    ]);
    assert_eq!(circles(&line[..3]), [] as [Vec<String>; 0]);
    // `b` and `a` use each other, by a part of `a`.
    assert_eq!(circles(&line), [["a", "a::one", "a::two", "b"]]);
    let back = [
        "use super::one::One;",
        "use super::{self, three, one};",
        "use crate::a::{three::{X, Y}, one as other};",
        "fn f() { super::one::f() }",
        // Handed on by the folder.
        "use super::{One, Three};",
        "use crate::a::One;",
    ];
    for text in back {
        let mut files = line.clone();
        files[2].1 = text.to_owned();
        assert_eq!(circles(&files[..3]), [["a::one", "a::two"]], "{text}");
    }
    let deep = files(&[
        ("a", "pub(super) use deep::Deep;"),
        ("a::deep", "use super::three::Three;"),
        ("a::deep::part", "use super::Deep; use crate::a::three;"),
        ("a::three", "use super::deep::part::Part;"),
    ]);
    assert_eq!(circles(&deep), [["a::deep::part", "a::three"]]);
}

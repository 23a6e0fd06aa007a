//! The parts of the pages in `docs/` that follow from the code: settings, metrics, commands.
//!
//! Owns what these parts say, and the markers between which they stand in a page. Must not know who
//! asks for them, nor anything of a running gateway.

mod commands;

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::config::documented_keys;
use crate::metrics;

/// One generated part of a page.
struct Part {
    /// The file in `docs/`.
    page: &'static str,
    /// What its markers call it.
    name: &'static str,
    /// Its text, which ends with a line break.
    text: fn() -> String,
}

const PARTS: [Part; 5] = [
    Part { page: "configuration.md", name: "settings", text: settings },
    Part { page: "metrics.md", name: "metrics", text: metric_list },
    Part { page: "compatibility.md", name: "commands", text: commands::by_handling },
    Part { page: "compatibility.md", name: "denied options", text: commands::denied_options },
    Part { page: "compatibility.md", name: "never allowed", text: commands::never_allowed },
];

/// Why the pages could not be brought up to date.
#[derive(Debug)]
pub enum DocsError {
    /// A page cannot be read or written.
    Page(PathBuf, io::Error),
    /// A page does not have the two markers of this part, once each and in order.
    Markers {
        /// The page.
        page: String,
        /// The part.
        name: &'static str,
    },
}

/// The pages that have generated parts, by their names in `docs/`.
pub fn pages() -> Vec<&'static str> {
    let mut pages: Vec<&str> = PARTS.iter().map(|part| part.page).collect();
    pages.dedup();
    pages
}

/// All generated parts, one after the other.
pub fn all() -> String {
    let parts =
        PARTS.iter().map(|part| format!("{}: {}\n\n{}", part.page, part.name, (part.text)()));
    parts.collect::<Vec<_>>().join("\n")
}

/// The text of a page with its generated parts as they should be.
pub fn filled(page: &str, text: &str) -> Result<String, DocsError> {
    let mut text = text.to_owned();
    for part in PARTS.iter().filter(|part| part.page == page) {
        text = replaced(&text, part)
            .ok_or_else(|| DocsError::Markers { page: page.to_owned(), name: part.name })?;
    }
    Ok(text)
}

/// Brings the pages in this folder up to date; returns those that changed.
pub fn write(folder: &Path) -> Result<Vec<PathBuf>, DocsError> {
    let mut changed = Vec::new();
    for page in pages() {
        let path = folder.join(page);
        let failed = |error| DocsError::Page(path.clone(), error);
        let before = fs::read_to_string(&path).map_err(failed)?;
        let after = filled(page, &before)?;
        if after != before {
            fs::write(&path, after).map_err(failed)?;
            changed.push(path);
        }
    }
    Ok(changed)
}

/// `None` when the markers are not as they should be.
fn replaced(text: &str, part: &Part) -> Option<String> {
    let begin = format!("<!-- generated: {} -->\n", part.name);
    let end = format!("<!-- end of generated: {} -->\n", part.name);
    if [&begin, &end].iter().any(|marker| text.matches(marker.as_str()).count() != 1) {
        return None;
    }
    let (before, rest) = text.split_once(&begin)?;
    let (_, after) = rest.split_once(&end)?;
    Some(format!("{before}{begin}{}{end}{after}", (part.text)()))
}

/// A table of Markdown.
fn table<const COLUMNS: usize>(head: [&str; COLUMNS], rows: Vec<[String; COLUMNS]>) -> String {
    let row = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let rule = format!("|{}\n", "---|".repeat(COLUMNS));
    let rows = rows.iter().map(|cells| row(&cells.clone().map(|cell| cell.replace('|', "\\|"))));
    row(&head.map(str::to_owned)) + &rule + &rows.collect::<String>()
}

/// A word as code; nothing when there is none.
fn code(word: &str) -> String {
    if word.is_empty() { String::new() } else { format!("`{word}`") }
}

fn settings() -> String {
    let row = |key: crate::config::DocumentedKey| {
        let name = match key.section {
            "" => code(key.key),
            "listener" => format!("`[[listener]]` `{}`", key.key),
            section => format!("`[{section}]` `{}`", key.key),
        };
        [name, key.kind, code(&key.default), code(&key.environment), key.meaning.to_owned()]
    };
    let rows = documented_keys().into_iter().map(row).collect();
    table(["key", "value", "default", "environment", "meaning"], rows)
}

fn metric_list() -> String {
    let row = |metric: &metrics::Metric| {
        let labels: Vec<String> = metric.labels.iter().map(|label| code(label)).collect();
        let kind = metric.kind.name().to_owned();
        [code(metric.name), kind, labels.join(", "), metric.help.to_owned()]
    };
    let rows = metrics::documented().iter().map(row).collect();
    table(["metric", "type", "labels", "meaning"], rows)
}

impl fmt::Display for DocsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DocsError::Page(path, error) => write!(f, "{}: {error}", path.display()),
            DocsError::Markers { page, name } => write!(
                f,
                "{page} needs the lines `<!-- generated: {name} -->` and \
                 `<!-- end of generated: {name} -->`, once each and in this order"
            ),
        }
    }
}

impl std::error::Error for DocsError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Page(_, error) => Some(error),
            Self::Markers { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PART: Part = Part { page: "p.md", name: "n", text: || "new\n".to_owned() };

    #[test]
    fn only_what_stands_between_the_markers_is_replaced() {
        let page = "a\n<!-- generated: n -->\nold\nolder\n<!-- end of generated: n -->\nb\n";
        let expected = "a\n<!-- generated: n -->\nnew\n<!-- end of generated: n -->\nb\n";
        assert_eq!(replaced(page, &PART).as_deref(), Some(expected));
        assert_eq!(replaced(expected, &PART).as_deref(), Some(expected));
    }

    #[test]
    fn a_page_without_its_markers_is_refused() {
        let (begin, end) = ("<!-- generated: n -->\n", "<!-- end of generated: n -->\n");
        for page in [
            String::new(),
            begin.to_owned(),
            end.to_owned(),
            format!("{end}{begin}"),
            format!("{begin}{begin}{end}"),
            format!("{begin}{end}{end}"),
            format!("{begin}{end}{begin}{end}"),
        ] {
            assert_eq!(replaced(&page, &PART), None, "{page:?}");
        }
    }

    #[test]
    fn a_cell_cannot_break_its_table() {
        let shown = table(["a", "b"], vec![["x|y".to_owned(), code("")]]);
        assert_eq!(shown, "| a | b |\n|---|---|\n| x\\|y |  |\n");
    }
}

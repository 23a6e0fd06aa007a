//! Reading the configuration file: TOML in, settings with their lines out.
//!
//! Owns files: their size, their text, their tables. Knows neither the environment nor what wins.
//! Invariant: every problem of the file is found in one reading, each with its line.

use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::field::Field;
use super::keys::{KEYS, Key, LISTENER_KEYS, Setting, Target, documented_keys, sections};
use super::problem::{Place, Problem, nearest};
use super::renamed;
use super::secret::read_bounded;
use super::value::split_list;

/// A configuration is a page of text; anything larger is the wrong file.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// What a file says, right and wrong.
#[derive(Default)]
pub(super) struct FileContents {
    pub(super) settings: Vec<Setting>,
    /// How many `[[listener]]` tables there are.
    pub(super) listeners: usize,
    pub(super) problems: Vec<Problem>,
    /// Whether parts could not be read at all, so that nothing can be said of what is missing.
    pub(super) is_torn: bool,
}

/// Reads the file at `path`.
pub(super) fn read(path: &Path) -> FileContents {
    let mut contents = FileContents::default();
    let text = match read_bounded(path, FILE_BYTES_MAX).map(String::from_utf8) {
        Ok(Ok(text)) => text,
        Ok(Err(error)) => {
            let good = error.utf8_error().valid_up_to();
            let line = error.as_bytes().iter().take(good).filter(|b| **b == b'\n').count() + 1;
            let text = "not UTF-8 text; save the file as UTF-8".to_owned();
            contents.tear(Place::File(path.to_owned(), Some(line)), text);
            return contents;
        }
        Err(text) => {
            contents.tear(Place::File(path.to_owned(), None), text);
            return contents;
        }
    };
    let (root, errors) = DeTable::parse_recoverable(&text);
    let reader = Reader { path, text: &text };
    for error in errors {
        let line = error.span().map(|span| reader.line(span.start));
        let place = Place::File(path.to_owned(), line);
        contents.tear(place, format!("not TOML: {}", error.message().replace('\n', " ")));
    }
    let torn: Vec<Place> = contents.problems.iter().map(|problem| problem.place.clone()).collect();
    reader.root(root.get_ref(), &mut contents);
    contents.mute(&torn);
    contents
}

impl FileContents {
    fn tear(&mut self, place: Place, text: String) {
        self.is_torn = true;
        self.problems.push(Problem { place, text });
    }
}

/// One file while it is walked.
struct Reader<'a> {
    path: &'a Path,
    text: &'a str,
}

impl Reader<'_> {
    fn line(&self, offset: usize) -> usize {
        self.text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
    }

    fn place(&self, offset: usize) -> Place {
        Place::File(self.path.to_owned(), Some(self.line(offset)))
    }

    fn root(&self, table: &DeTable<'_>, contents: &mut FileContents) {
        for (name, value) in in_order(table) {
            let place = self.place(name.span().start);
            let name = name.get_ref().as_ref();
            match value.get_ref() {
                // One listener written as a plain table, or one of the array of tables.
                DeValue::Array(items) if name == "listener" => {
                    for item in items.iter() {
                        match item.get_ref() {
                            DeValue::Table(table) => self.listener(table, contents),
                            _ => contents.refuse(self.place(item.span().start), LISTENER_FORM),
                        }
                    }
                }
                _ if name == "listener" => contents.refuse(place, LISTENER_FORM),
                DeValue::Table(table) if sections().contains(&name) => {
                    self.section(name, table, contents);
                }
                _ if sections().contains(&name) => {
                    contents.refuse(place, &format!("\"{name}\" is a table; write [{name}]"));
                }
                value => self.main("", name, value, place, contents),
            }
        }
    }

    fn section(&self, section: &str, table: &DeTable<'_>, contents: &mut FileContents) {
        for (name, value) in in_order(table) {
            let place = self.place(name.span().start);
            let name = name.get_ref().as_ref();
            self.main(section, name, value.get_ref(), place, contents);
        }
    }

    /// An option of the whole configuration, by its name or by the one it had before.
    fn main(
        &self,
        section: &str,
        name: &str,
        value: &DeValue<'_>,
        place: Place,
        contents: &mut FileContents,
    ) {
        let known = KEYS.iter().find(|key| key.section == section && key.name == name);
        let path = if section.is_empty() { name.to_owned() } else { format!("{section}.{name}") };
        match (known, renamed::by_path(&path)) {
            (Some(key), _) => self.setting(key, Target::Main(key), value, place, contents),
            (None, Some(target @ Target::Main(key))) => {
                self.setting(key, target, value, place, contents);
                if let Some(setting) = contents.settings.last_mut() {
                    setting.by_old_name = true;
                }
            }
            (None, _) => contents.refuse(place, &unknown(section, name)),
        }
    }

    fn listener(&self, table: &DeTable<'_>, contents: &mut FileContents) {
        let index = contents.listeners;
        contents.listeners += 1;
        for (name, value) in in_order(table) {
            let place = self.place(name.span().start);
            let name = name.get_ref().as_ref();
            match LISTENER_KEYS.iter().find(|key| key.name == name) {
                Some(key) => {
                    let target = Target::Listener(key, Some(index));
                    self.setting(key, target, value.get_ref(), place, contents);
                }
                None => contents.refuse(place, &unknown("listener", name)),
            }
        }
    }

    fn setting<C>(
        &self,
        key: &Key<C>,
        target: Target,
        value: &DeValue<'_>,
        place: Place,
        contents: &mut FileContents,
    ) {
        match words(&key.field, value) {
            Ok(words) => contents.settings.push(Setting {
                target,
                words: Some(words),
                place,
                by_old_name: false,
            }),
            Err(why) => {
                contents.refuse(place.clone(), &format!("{}: {why}", key.path()));
                contents.settings.push(Setting { target, words: None, place, by_old_name: false });
            }
        }
    }
}

impl FileContents {
    /// What is made of a line that is no TOML says nothing of what was meant.
    fn mute(&mut self, torn: &[Place]) {
        let intact = self.problems.split_off(torn.len());
        self.problems.extend(intact.into_iter().filter(|p| !torn.contains(&p.place)));
        for setting in self.settings.iter_mut().filter(|s| torn.contains(&s.place)) {
            setting.words = None;
        }
    }

    fn refuse(&mut self, place: Place, text: &str) {
        self.problems.push(Problem { place, text: text.to_owned() });
    }
}

const LISTENER_FORM: &str = "a listener is a table of its own; write [[listener]] above its keys";

/// The entries of a table as they stand in the file.
fn in_order<'t, 'i>(
    table: &'t DeTable<'i>,
) -> Vec<(&'t Spanned<toml::de::DeString<'i>>, &'t Spanned<DeValue<'i>>)> {
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(name, _)| name.span().start);
    entries
}

/// The value as words, or why it cannot be one of this kind.
fn words<C>(field: &Field<C>, value: &DeValue<'_>) -> Result<Vec<String>, String> {
    let right = field.kind();
    match value {
        DeValue::String(text) if field.is_list() => Ok(split_list(text)),
        DeValue::String(text) => Ok(vec![text.to_string()]),
        DeValue::Boolean(on) if matches!(field, Field::Switch(_)) => Ok(vec![on.to_string()]),
        DeValue::Integer(number) if field.takes_number() => {
            let number = i128::from_str_radix(number.as_str(), number.radix());
            number.map(|n| vec![n.to_string()]).map_err(|_| format!("too large for a {right}"))
        }
        DeValue::Integer(_) if !matches!(field, Field::Switch(_)) => {
            Err(format!("a number is no {right}; write it in quotes"))
        }
        DeValue::Array(items) if field.is_list() => {
            let words = items.iter().map(|item| item.get_ref().as_str().map(str::to_owned));
            words.collect::<Option<_>>().ok_or_else(|| format!("write a {right}, each in quotes"))
        }
        other => Err(format!("{} {} is no {right}", article(other), other.type_str())),
    }
}

fn article(value: &DeValue<'_>) -> &'static str {
    if matches!(value, DeValue::Array(_) | DeValue::Integer(_)) { "an" } else { "a" }
}

/// What is said of a key that does not exist: where it belongs, what was meant, or what there is.
fn unknown(section: &str, name: &str) -> String {
    let at = match section {
        "" => "at the top of the file".to_owned(),
        "listener" => "in [[listener]]".to_owned(),
        _ => format!("in [{section}]"),
    };
    let all = documented_keys();
    let here: Vec<&str> = all.iter().filter(|k| k.section == section).map(|k| k.key).collect();
    let mut candidates = here.clone();
    if section.is_empty() {
        candidates.extend(sections());
    }
    let hint = if let Some(meant) = nearest(name, &candidates) {
        format!("did you mean \"{meant}\"?")
    } else if let Some(elsewhere) = all.iter().find(|k| k.key == name) {
        match elsewhere.section {
            "" => "it belongs at the top of the file, above the first table".to_owned(),
            "listener" => "it belongs in [[listener]]".to_owned(),
            section => format!("it belongs in [{section}]"),
        }
    } else if section.is_empty() {
        format!("there are \"{}\" and the tables {}", here.join("\", \""), sections().join(", "))
    } else {
        format!("there are {}", here.join(", "))
    };
    format!("unknown key \"{name}\" {at}: {hint}")
}

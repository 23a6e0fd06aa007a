//! A configuration while it is put together: values, where each came from, and what is wrong so far.
//!
//! Owns which of two values of an option stays. Knows neither TOML nor what a value is for, nor which
//! combinations cannot be. Invariant: everything that was written is checked, also what another place
//! overrides.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use super::keys::{Setting, Target};
use super::problem::{Place, Problem};
use super::renamed;
use super::value::parse_bind;
use super::{Config, ListenerConfig};

/// A configuration while it is put together.
#[derive(Default)]
pub(super) struct Draft {
    pub(super) config: Config,
    pub(super) places: BTreeMap<(String, usize), Place>,
    pub(super) problems: Vec<Problem>,
    /// Options that have a problem already; combinations with them are not judged.
    pub(super) spoilt: BTreeSet<String>,
    pub(super) is_torn: bool,
    /// Options that were given by their old names, each with the name to write instead.
    pub(super) warnings: Vec<Problem>,
    /// The addresses that replace those of the file.
    binds: Option<(Vec<SocketAddr>, Place)>,
}

impl Draft {
    /// Takes the settings of one place; they win over those taken before.
    pub(super) fn take(&mut self, settings: Vec<Setting>) {
        self.refuse_twins(&settings);
        self.refuse_both_names(&settings);
        for Setting { target, words, place, by_old_name } in settings {
            let path = target.path();
            if by_old_name {
                self.warnings.push(renamed::warning(&target, &place));
            }
            let Some(words) = words else {
                self.spoilt.insert(path);
                continue;
            };
            match self.set(target, &words, &place) {
                Ok(()) => self.remember(target, path, place),
                Err(why) => {
                    let text = describe(&target, &path, &words, &place, &why);
                    self.problems.push(Problem { place, text });
                    self.spoilt.insert(path);
                }
            }
        }
    }

    fn set(&mut self, target: Target, words: &[String], place: &Place) -> Result<(), String> {
        let listeners = &mut self.config.listeners;
        match target {
            Target::Main(key) => key.field.set(&mut self.config, words),
            Target::Listener(key, Some(index)) => match listeners.get_mut(index) {
                Some(listener) => key.field.set(listener, words),
                None => Ok(()),
            },
            // Outside the file there is a list of addresses, and one password for all.
            Target::Listener(key, None) if key.name == "bind" => {
                if words.is_empty() {
                    return Err("is empty; give an address or leave it out".to_owned());
                }
                let parse = |w: &String| parse_bind(w).map_err(|e| format!("\"{w}\" is {e}"));
                let addresses = words.iter().map(parse).collect::<Result<_, _>>()?;
                self.binds = Some((addresses, place.clone()));
                Ok(())
            }
            Target::Listener(key, None) => {
                listeners.iter_mut().try_for_each(|listener| key.field.set(listener, words))
            }
        }
    }

    /// A password and the file of a password are one value; the place is kept where it is shown.
    fn remember(&mut self, target: Target, path: String, place: Place) {
        let path = path.strip_suffix("_file").map(str::to_owned).unwrap_or(path);
        match target {
            Target::Main(_) => {
                self.places.insert((path, 0), place);
            }
            Target::Listener(_, Some(index)) => {
                self.places.insert((path, index), place);
            }
            Target::Listener(_, None) => {
                for index in 0..self.config.listeners.len() {
                    self.places.insert((path.clone(), index), place.clone());
                }
            }
        }
    }

    /// `password` and `password_file` in one place: neither can win.
    fn refuse_twins(&mut self, settings: &[Setting]) {
        for file in settings {
            let path = file.target.path();
            let Some(twin) = path.strip_suffix("_file") else { continue };
            let given_twice = settings.iter().any(|other| {
                other.target.path() == twin
                    && other.target.listener() == file.target.listener()
                    && other.place.same_rank(&file.place)
            });
            if given_twice {
                let text = format!("{path} and {twin} are both given; keep one of them");
                self.problems.push(Problem { place: file.place.clone(), text });
            }
        }
    }

    /// An option by its old name and by its new one in one place: neither can win.
    fn refuse_both_names(&mut self, settings: &[Setting]) {
        for old in settings.iter().filter(|setting| setting.by_old_name) {
            let path = old.target.path();
            let is_both = |other: &Setting| {
                !other.by_old_name
                    && other.target.path() == path
                    && other.place.same_rank(&old.place)
            };
            if settings.iter().any(is_both) {
                let text = format!("old name of {path}, which is given too; keep only the new one");
                self.problems.push(Problem { place: old.place.clone(), text });
            }
        }
    }

    /// Puts the addresses of the environment or the command line in place of the file's.
    pub(super) fn replace_binds(&mut self) {
        let Some((addresses, place)) = self.binds.take() else { return };
        let first = self.config.listeners.first().cloned().unwrap_or_default();
        let differs = |listener: &ListenerConfig| {
            (&listener.password, listener.protected_mode) != (&first.password, first.protected_mode)
        };
        if self.config.listeners.iter().any(differs) {
            let text = "the listeners of the file have different passwords or a different \
                        protected_mode, so the addresses given here do not say which to use; \
                        change the addresses in the file"
                .to_owned();
            self.problems.push(Problem { place, text });
            return;
        }
        let kept = ["listener.password", "listener.protected_mode"].map(|path| {
            let path = path.to_owned();
            (path.clone(), self.places.get(&(path, 0)).cloned())
        });
        self.places.retain(|(path, _), _| !path.starts_with("listener."));
        self.config.listeners.clear();
        for (index, bind) in addresses.into_iter().enumerate() {
            self.places.insert(("listener.bind".to_owned(), index), place.clone());
            for (path, place) in &kept {
                if let Some(place) = place {
                    self.places.insert((path.clone(), index), place.clone());
                }
            }
            self.config.listeners.push(ListenerConfig { bind, ..first.clone() });
        }
    }

    /// Whether none of these options has a problem already.
    pub(super) fn sound(&self, paths: &[&str]) -> bool {
        paths.iter().all(|path| !self.spoilt.contains(*path))
    }

    /// The most deliberate of the places these options were written in.
    pub(super) fn place(&self, paths: &[&str]) -> Place {
        let places = paths.iter().filter_map(|path| self.places.get(&((*path).to_owned(), 0)));
        places.max().cloned().unwrap_or(Place::Default)
    }
}

/// The line a user sees for a value that cannot be.
fn describe(target: &Target, path: &str, words: &[String], place: &Place, why: &str) -> String {
    // A variable or a flag names the option already.
    let option = if matches!(place, Place::File(..)) { path } else { "" };
    let value = match words {
        [word] if !target.is_secret() && !word.is_empty() => {
            // A wrong value can be anything; a page of it helps nobody.
            format!("\"{}\"", word.chars().take(60).collect::<String>().escape_debug())
        }
        _ => String::new(),
    };
    match (option, value.as_str()) {
        ("", "") => why.to_owned(),
        ("", value) => format!("{value}: {why}"),
        (option, "") => format!("{option}: {why}"),
        (option, value) => format!("{option} = {value}: {why}"),
    }
}

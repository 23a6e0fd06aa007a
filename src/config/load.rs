//! Putting file, environment and flags together: a flag wins over the environment, the environment
//! over the file, the file over the default.
//!
//! Owns precedence and where each value came from. Knows neither TOML nor what a value is for.
//! Invariant: everything that was written is checked, also what another place overrides.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

use super::keys::{Setting, Target};
use super::problem::{ConfigError, Place, Problem};
use super::value::{parse_bind, split_list};
use super::{Config, Level, ListenerConfig, check, environment, file};

/// What the configuration is for; it decides what must be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To serve, or to ask a cluster: there must be a seed.
    Cluster,
    /// To form and heal a cluster: all its nodes must be named.
    Keeper,
    /// To serve nodes that are started for it: there must be no seed and no password of nodes.
    OwnNodes,
    /// To look at it, or to find the admin port.
    Inspect,
}

/// Everything a configuration can come from.
#[derive(Clone, Debug, Default)]
pub struct Given {
    /// The TOML file.
    pub file: Option<PathBuf>,
    /// The environment; variables that do not begin with `SLOTWAY_` are left alone.
    pub environment: Vec<(OsString, OsString)>,
    /// The flags of the command line that are options.
    pub flags: Vec<FlagValue>,
}

/// A flag of the command line that is an option.
#[derive(Clone, Debug)]
pub struct FlagValue {
    /// The flag as it is typed: `--seed`.
    pub flag: &'static str,
    /// The option as `section.key`: `topology.seeds`.
    pub option: &'static str,
    /// What was given, once per use of the flag.
    pub words: Vec<String>,
}

/// A configuration without a problem.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The values.
    pub config: Config,
    /// Where each value came from that is not a default: by `section.key` and, for `[[listener]]`,
    /// its index.
    pub(super) places: BTreeMap<(String, usize), Place>,
}

impl Loaded {
    /// That the value of an option, given as `section.key`, means nothing to the part it is for.
    pub fn objection(&self, option: &str, why: &str) -> ConfigError {
        let place = self.places.get(&(option.to_owned(), 0)).cloned().unwrap_or(Place::Default);
        ConfigError { problems: vec![Problem { place, text: format!("{option}: {why}") }] }
    }
}

/// Reads everything, and either has a configuration or all its problems.
pub fn load(given: &Given, purpose: Purpose) -> Result<Loaded, ConfigError> {
    let mut draft = Draft::default();
    if purpose == Purpose::OwnNodes {
        // Whoever tries it out wants to read what to type next, not how the nodes came up.
        draft.config.log.level = Level::Warn;
    }
    if let Some(path) = &given.file {
        let contents = file::read(path);
        draft.config.file = Some(std::path::absolute(path).unwrap_or_else(|_| path.clone()));
        if contents.listeners > 0 {
            draft.config.listeners = vec![ListenerConfig::default(); contents.listeners];
        }
        draft.is_torn = contents.is_torn;
        draft.problems = contents.problems;
        draft.take(contents.settings);
        draft.problems.sort_by(|a, b| a.place.cmp(&b.place));
    }
    let (settings, problems) = environment::read(&given.environment);
    draft.problems.extend(problems);
    draft.take(settings);
    draft.take(given.flags.iter().flat_map(flag_setting).collect());
    draft.replace_binds();
    draft.finish(purpose)
}

/// A configuration while it is put together.
#[derive(Default)]
pub(super) struct Draft {
    pub(super) config: Config,
    pub(super) places: BTreeMap<(String, usize), Place>,
    pub(super) problems: Vec<Problem>,
    /// Options that have a problem already; combinations with them are not judged.
    pub(super) spoilt: BTreeSet<String>,
    pub(super) is_torn: bool,
    /// The addresses that replace those of the file.
    binds: Option<(Vec<SocketAddr>, Place)>,
}

impl Draft {
    /// Takes the settings of one place; they win over those taken before.
    fn take(&mut self, settings: Vec<Setting>) {
        self.refuse_twins(&settings);
        for Setting { target, words, place } in settings {
            let path = target.path();
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

    /// Puts the addresses of the environment or the command line in place of the file's.
    fn replace_binds(&mut self) {
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

    fn finish(mut self, purpose: Purpose) -> Result<Loaded, ConfigError> {
        let found = check::combinations(&self, purpose);
        self.problems.extend(found);
        if self.problems.is_empty() {
            return Ok(Loaded { config: self.config, places: self.places });
        }
        Err(ConfigError { problems: self.problems })
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

// === flags ===

/// A flag whose option does not exist is a slip in this program; a test of `cli.rs` finds it.
fn flag_setting(flag: &FlagValue) -> Option<Setting> {
    let words = Some(flag.words.iter().flat_map(|word| split_flag(flag, word)).collect());
    let target = Target::of(flag.option)?;
    Some(Setting { target, words, place: Place::Flag(flag.flag) })
}

/// A flag that may be repeated may hold a list as well.
fn split_flag(flag: &FlagValue, word: &str) -> Vec<String> {
    match Target::of(flag.option) {
        Some(target) if target.takes_list() => split_list(word),
        _ => vec![word.to_owned()],
    }
}

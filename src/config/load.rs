//! Putting file, environment and flags together: a flag wins over the environment, the environment
//! over the file, the file over the default.
//!
//! Owns precedence. Knows neither TOML nor what a value is for.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

use super::draft::Draft;
use super::keys::{Setting, Target};
use super::problem::{ConfigError, Place, Problem};
use super::purpose::Purpose;
use super::value::split_list;
use super::{Config, Level, ListenerConfig, check, environment, file, renamed};

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
    draft.problems.extend(check::combinations(&draft, purpose));
    if draft.problems.is_empty() {
        draft.config.warnings = draft.warnings;
        return Ok(Loaded { config: draft.config, places: draft.places });
    }
    Err(ConfigError { problems: draft.problems })
}

// === flags ===

/// A flag whose option does not exist is a slip in this program; a test of `cli.rs` finds it.
fn flag_setting(flag: &FlagValue) -> Option<Setting> {
    let words = Some(flag.words.iter().flat_map(|word| split_flag(flag, word)).collect());
    let place = Place::Flag(flag.flag);
    if let Some(target) = Target::of(flag.option) {
        return Some(Setting { target, words, place, by_old_name: false });
    }
    let target = renamed::by_path(flag.option)?;
    Some(Setting { target, words, place, by_old_name: true })
}

/// A flag that may be repeated may hold a list as well.
fn split_flag(flag: &FlagValue, word: &str) -> Vec<String> {
    match Target::of(flag.option) {
        Some(target) if target.takes_list() => split_list(word),
        _ => vec![word.to_owned()],
    }
}

//! Reading the environment: `SLOTWAY_<SECTION>_<KEY>`, settings out.
//!
//! Owns which variables are ours. Knows neither files nor what wins.
//! Invariant: a variable of ours that means nothing is a problem, never ignored.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};

use super::keys::{ENVIRONMENT_ALIASES, Setting, Target, documented_keys};
use super::problem::{Place, Problem, nearest};
use super::renamed;
use super::value::split_list;

/// What the variables say, and what is wrong with them.
pub(super) fn read(variables: &[(OsString, OsString)]) -> (Vec<Setting>, Vec<Problem>) {
    let (mut settings, mut problems) = (Vec::new(), Vec::new());
    let mut variables: Vec<_> = variables.iter().map(|(n, v)| (n.to_string_lossy(), v)).collect();
    variables.retain(|(name, _)| name.starts_with("SLOTWAY_") && !is_foreign(name));
    variables.sort();
    let mut seen: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in variables {
        let place = Place::Environment(name.to_string());
        let alias = ENVIRONMENT_ALIASES.iter().find(|(short, _)| *short == name);
        let full = alias.map_or(name.as_ref(), |(_, full)| full).to_owned();
        if let Some(other) = seen.insert(full.clone(), name.to_string()) {
            let text = format!("{other} is set as well and means the same; keep one of them");
            problems.push(Problem { place: place.clone(), text });
        }
        match variable(&full, value) {
            Ok((target, words)) => {
                let by_old_name = renamed::by_variable(&full).is_some();
                settings.push(Setting { target, words: Some(words), place, by_old_name });
            }
            Err(text) => problems.push(Problem { place, text }),
        }
    }
    (settings, problems)
}

fn variable(name: &str, value: &OsStr) -> Result<(Target, Vec<String>), String> {
    let keys = documented_keys();
    let known = keys.iter().find(|key| key.environment == name);
    let current = known.and_then(|key| match key.section {
        "" => Target::of(key.key),
        section => Target::of(&format!("{section}.{}", key.key)),
    });
    let Some(target) = current.or_else(|| renamed::by_variable(name)) else {
        return Err(unknown_variable(name, keys.iter().map(|k| k.environment.as_str()).collect()));
    };
    let value = value.to_str().ok_or_else(|| "the value is not UTF-8 text".to_owned())?;
    let is_list = target.takes_list();
    if is_list && split_list(value).is_empty() {
        return Err("is set and empty; give a value or unset it".to_owned());
    }
    Ok((target, if is_list { split_list(value) } else { vec![value.to_owned()] }))
}

/// Variables that are not options: those of other programs of the project, and those that container
/// platforms set by themselves when a service is called after this one.
fn is_foreign(name: &str) -> bool {
    let ends_platform = |rest: &str| {
        let port = rest.split('_').next().unwrap_or_default();
        !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit())
    };
    // A service may be called "slotway" or "slotway-keeper".
    let rest = name.strip_prefix("SLOTWAY_").unwrap_or_default();
    let rest = rest.strip_prefix("KEEPER_").unwrap_or(rest);
    name == "SLOTWAY_CONFIG"
        || name.starts_with("SLOTWAY_BENCH_")
        || rest == "PORT"
        || rest.strip_prefix("PORT_").is_some_and(ends_platform)
        || rest == "SERVICE_HOST"
        || rest.starts_with("SERVICE_PORT")
}

fn unknown_variable(name: &str, mut names: Vec<&str>) -> String {
    names.extend(ENVIRONMENT_ALIASES.iter().map(|(short, _)| *short));
    // Often the section is left out, or the key.
    let bare = name.strip_prefix("SLOTWAY").unwrap_or(name);
    let meant = nearest(name, &names)
        .or_else(|| names.iter().copied().find(|known| known.ends_with(bare)))
        .or_else(|| names.iter().copied().find(|known| known.starts_with(name)));
    match meant {
        Some(meant) => format!("unknown variable: did you mean {meant}?"),
        None => "unknown variable; they are named SLOTWAY_<SECTION>_<KEY> after the keys of the \
                 file, see `slotway check-config`"
            .to_owned(),
    }
}

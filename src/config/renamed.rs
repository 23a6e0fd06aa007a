//! Options under the names that they had before.
//!
//! Owns that list, and the warning that names the new one. Knows no value. An old name is read for one
//! release; then its row goes.

use super::keys::{Target, environment_name};
use super::problem::{Place, Problem};

/// `section.key` as it was, and as it is.
const RENAMED: [(&str, &str); 5] = [
    ("worker_fill_percent", "worker_scale_up_percent"),
    ("batch_scheduling", "sched_batch"),
    ("timeouts.node_silence", "timeouts.response_timeout"),
    ("timeouts.partial_replies", "timeouts.reply_coalesce_delay"),
    ("keeper.patience", "keeper.timeout"),
];

/// The option that was called so, given as `section.key`.
pub(super) fn by_path(old: &str) -> Option<Target> {
    let (_, new) = RENAMED.iter().find(|(known, _)| *known == old)?;
    Target::of(new)
}

/// The option whose environment variable was called so.
pub(super) fn by_variable(old: &str) -> Option<Target> {
    let (_, new) = RENAMED.iter().find(|(known, _)| environment_name(known) == old)?;
    Target::of(new)
}

/// What is said of an old name to those who wrote it at `place`.
pub(super) fn warning(target: &Target, place: &Place) -> Problem {
    let path = target.path();
    let key = path.rsplit('.').next().unwrap_or(&path);
    let new = match place {
        Place::Environment(_) => environment_name(&path),
        Place::Flag(_) => format!("--{}", key.replace('_', "-")),
        Place::File(..) | Place::Default => path.clone(),
    };
    let text = format!("old name, which the next release will not read; write {new}");
    Problem { place: place.clone(), text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_names_lead_to_options_and_are_none_themselves() {
        for (old, new) in RENAMED {
            assert!(Target::of(old).is_none(), "{old} is an option");
            assert_eq!(by_path(old).map(|target| target.path()).as_deref(), Some(new));
            let variable = environment_name(old);
            assert_eq!(by_variable(&variable).map(|target| target.path()).as_deref(), Some(new));
        }
        assert!(by_path("workers").is_none() && by_variable("SLOTWAY_WORKERS").is_none());
    }
}

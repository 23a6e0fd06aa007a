//! The configuration file: what an operator writes.

use std::fs;
use std::path::Path;

use slotway::config::{ConfigError, Given, Loaded, Place, Purpose, load};

/// Longest text of one problem; the longest lists all keys of a section.
const PROBLEM_BYTES_MAX: usize = 2000;

/// Loads the bytes as a configuration file and checks that:
/// - there is a configuration or a problem, each in short words and with a line that the file has;
/// - there are not more problems than the file has bytes, and those of the values together;
/// - the report of what was understood is a file that means the same;
/// - a password shows in neither.
///
/// A file that names the file of a password is left out: it would read what this machine has there.
/// Returns how often it was accepted.
pub fn drive(data: &[u8]) -> usize {
    let text = String::from_utf8_lossy(data);
    if text.contains("_file") {
        return 0;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("slotway.toml");
    fs::write(&path, data).expect("a file");
    let lines = data.iter().filter(|byte| **byte == b'\n').count() + 1;
    let mut accepted = 0;
    for purpose in [Purpose::Cluster, Purpose::Keeper, Purpose::OwnNodes, Purpose::Inspect] {
        match read(&path, purpose) {
            Ok(_) => accepted += 1,
            Err(error) => problems_help(&error, lines, data.len()),
        }
    }
    // `slotway check-config` reports what is read so.
    if let Ok(loaded) = read(&path, Purpose::Inspect) {
        report_means_the_same(&path, &loaded);
    }
    accepted
}

fn read(path: &Path, purpose: Purpose) -> Result<Loaded, ConfigError> {
    load(&Given { file: Some(path.to_owned()), ..Given::default() }, purpose)
}

fn problems_help(error: &ConfigError, lines: usize, bytes: usize) {
    assert!(!error.problems.is_empty(), "neither a configuration nor a problem");
    // Beside those of the bytes there are those of combinations.
    assert!(error.problems.len() <= bytes + 10, "{} problems", error.problems.len());
    for problem in &error.problems {
        assert!(!problem.text.is_empty() && problem.text.len() <= PROBLEM_BYTES_MAX, "{problem}");
        assert!(!problem.text.contains('\n'), "{problem:?} has more than one line");
        if let Place::File(_, Some(line)) = &problem.place {
            assert!((1..=lines).contains(line), "{problem} is not within {lines} lines");
        }
    }
}

/// Puts the report where the file was.
fn report_means_the_same(path: &Path, loaded: &Loaded) {
    let (report, mut want) = (loaded.report(), loaded.config.clone());
    let passwords = want.listeners.iter_mut().map(|listener| listener.password.take());
    let passwords: Vec<_> = passwords.chain([want.topology.password.take()]).flatten().collect();
    for password in &passwords {
        // A short one can stand anywhere by chance.
        assert!(password.expose().len() < 12 || !report.contains(password.expose()));
    }
    // Without its password a user is refused.
    if !passwords.is_empty() && want.topology.username.is_some() {
        return;
    }
    fs::write(path, &report).expect("a file");
    match read(path, Purpose::Inspect) {
        Ok(again) => assert_eq!(again.config, want, "{report}"),
        Err(error) => panic!("{error}\n{report}"),
    }
}

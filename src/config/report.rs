//! Showing the configuration in effect: TOML again, with the place each value came from.
//!
//! Owns that page. Knows no option by name; secrets stay hidden.

use std::fmt::Write;

use super::Loaded;
use super::field::Field;
use super::keys::{KEYS, Key, LISTENER_KEYS};
use super::problem::Place;

/// Column of the places, where the lines are not longer.
const PLACE_COLUMN: usize = 40;

impl Loaded {
    /// The whole configuration as a file, each line with its place. The lines that could not be
    /// pasted into a file, such as secrets, are comments.
    pub fn report(&self) -> String {
        let mut page = String::new();
        let mut config = self.config.clone();
        let mut section = "";
        for key in KEYS {
            if key.section != section {
                if section == "topology" {
                    self.report_listeners(&mut page);
                }
                section = key.section;
                push(&mut page, format_args!("\n[{section}]"));
            }
            let place = self.places.get(&(key.path(), 0));
            report_key(&mut page, key, key.field.show(&mut config), place);
        }
        for warning in &self.config.warnings {
            push(&mut page, format_args!("\n# {warning}"));
        }
        page
    }

    fn report_listeners(&self, page: &mut String) {
        for (index, listener) in self.config.listeners.iter().enumerate() {
            let mut listener = listener.clone();
            push(page, format_args!("\n[[listener]]"));
            for key in LISTENER_KEYS {
                let place = self.places.get(&(key.path(), index));
                report_key(page, key, key.field.show(&mut listener), place);
            }
        }
    }
}

fn report_key<C>(page: &mut String, key: &Key<C>, value: Option<String>, place: Option<&Place>) {
    let place = place.unwrap_or(&Place::Default);
    match value {
        // The file of a password is shown as the password.
        _ if matches!(key.field, Field::PasswordFile(_)) => {}
        None => push(page, format_args!("# {} is not set", key.name)),
        Some(value) => {
            let mark = if key.field.is_secret() { "# " } else { "" };
            let line = format!("{mark}{} = {value}", key.name);
            push(page, format_args!("{line:PLACE_COLUMN$} # {place}"));
        }
    }
}

fn push(page: &mut String, line: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = writeln!(page, "{line}");
}

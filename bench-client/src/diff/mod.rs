//! Two runs beside each other: what the second does otherwise than the first.
//!
//! Owns which records are read. `rows` holds figure against figure,
//! `conditions` says in what the runs themselves differ, `text` writes both for people. Measures
//! nothing, and judges nobody: the exit code says only that there was something to compare.

mod conditions;
mod rows;
mod text;

use std::io::Write;
use std::path::Path;

use anyhow::{Result, ensure};

use crate::options::DiffArgs;
use crate::record;

use self::rows::Diff;

/// Compares two runs and prints what came of it.
pub(crate) fn run(args: &DiffArgs) -> Result<u8> {
    let (first, second) = (record::read(&args.first)?, record::read(&args.second)?);
    let place = |path: &Path| path.display().to_string();
    let diff = Diff::of((&place(&args.first), &first), (&place(&args.second), &second));
    ensure!(!diff.rows.is_empty(), "the runs have no operation at a size in common");
    let shown = match args.json {
        true => serde_json::to_string_pretty(&diff)? + "\n",
        false => text::of(&diff),
    };
    // A reader that closed the pipe has seen enough.
    let _ = std::io::stdout().write_all(shown.as_bytes());
    Ok(0)
}

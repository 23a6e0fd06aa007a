//! What was built: the program's version, the commit and the compiler.
//!
//! Owns these three words. The build says the last two in `SLOTWAY_COMMIT` and `SLOTWAY_RUSTC`;
//! a build that does not is "unknown".

/// The version, as in `Cargo.toml`.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The commit it was built from.
pub const COMMIT: &str = said(option_env!("SLOTWAY_COMMIT"));

/// The compiler it was built with.
pub const RUSTC: &str = said(option_env!("SLOTWAY_RUSTC"));

const fn said(word: Option<&'static str>) -> &'static str {
    match word {
        Some(word) if !word.is_empty() => word,
        _ => "unknown",
    }
}

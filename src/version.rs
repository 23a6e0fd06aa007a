//! What was built: the program's version, the commit and the compiler.
//!
//! Owns these three words. `build.rs` says the last two in `BUILT_FROM_COMMIT` and `BUILT_WITH_RUSTC`;
//! what it does not know is "unknown".

/// The version, as in `Cargo.toml`.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The commit it was built from.
pub const COMMIT: &str = said(option_env!("BUILT_FROM_COMMIT"));

/// The compiler it was built with.
pub const RUSTC: &str = said(option_env!("BUILT_WITH_RUSTC"));

const fn said(word: Option<&'static str>) -> &'static str {
    match word {
        Some(word) if !word.is_empty() => word,
        _ => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_build_says_what_it_is_made_of() {
        assert!(RUSTC.starts_with("rustc "), "{RUSTC}");
        // There may be no git, or no repository.
        let is_hash = COMMIT.len() >= 7 && COMMIT.bytes().all(|b| b.is_ascii_hexdigit());
        assert!(is_hash || COMMIT == "unknown", "{COMMIT}");
    }
}

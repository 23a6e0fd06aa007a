//! Passwords: kept from view, and read from files.
//!
//! Owns the one type that may hold a password, and bounded reading. Knows no option.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;

const SECRET_BYTES_MAX: u64 = 4096;

/// A password. It can be used, but it never shows in a log, an error or a debug print.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Keeps `text` from view.
    pub fn new(text: impl Into<String>) -> Self {
        Secret(text.into())
    }

    /// The password itself, for the one place that must send or compare it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(hidden)")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

/// Reads a password from a file, without the line break at its end.
pub(super) fn read_secret(path: &Path) -> Result<Secret, String> {
    let bytes = read_bounded(path, SECRET_BYTES_MAX)?;
    let text = String::from_utf8(bytes).map_err(|_| "the file is not UTF-8 text".to_owned())?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    if text.is_empty() {
        return Err("the file is empty; it must hold the password".to_owned());
    }
    Ok(Secret::new(text))
}

/// The whole file, or why not. Bounded while reading: a size can lie, and a pipe has none.
pub(super) fn read_bounded(path: &Path, bytes_max: u64) -> Result<Vec<u8>, String> {
    let cannot = |error: std::io::Error| format!("cannot read the file: {error}");
    let file = File::open(path).map_err(cannot)?;
    let mut bytes = Vec::new();
    file.take(bytes_max + 1).read_to_end(&mut bytes).map_err(cannot)?;
    if bytes.len() as u64 > bytes_max {
        return Err(format!("the file is larger than {bytes_max} bytes; is it the right one?"));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_never_shows() {
        let secret = Secret::new("hunter2");
        assert_eq!(secret.expose(), "hunter2");
        assert!(!format!("{secret} {secret:?} {:#?}", Some(&secret)).contains("hunter2"));
    }

    #[test]
    fn a_secret_file_loses_only_its_line_break() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        for (text, secret) in [("a b \n", "a b "), ("x\r\n", "x"), ("x", "x"), ("x\n\n", "x\n")] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(read_secret(&path).unwrap().expose(), secret);
        }
        std::fs::write(&path, "\n").unwrap();
        assert!(read_secret(&path).unwrap_err().contains("empty"));
        std::fs::write(&path, "x".repeat(5000)).unwrap();
        assert!(read_secret(&path).unwrap_err().contains("larger than 4096 bytes"));
        assert!(read_secret(&folder.path().join("none")).unwrap_err().contains("No such file"));
    }
}
